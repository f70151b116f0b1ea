"""What is kept for years is text, and a reason holds nothing personal."""

from pathlib import Path

import pytest

from pipeline.errors import AuditRefused
from pipeline.operate.statement import check_reason, check_text
from pipeline_tests.cli_case import fails
from pipeline_tests.outside_world import unused_port
from pipeline_tests.world import settings


@pytest.mark.parametrize(
    "reason",
    ["ticket 4711: fraud", "Anfrage 12 vom 22.11.2026, Müller", "", "a new key version", "v1.2.3"],
)
def test_a_reason_without_anything_personal_stays_as_it_is(reason: str) -> None:
    assert check_reason(reason) == reason


@pytest.mark.parametrize(
    ("personal", "kind"),
    [
        ("203.0.113.7", "address"),
        ("2001:db8::7", "address"),
        ("ann@example.org", "email"),
        ("4111 1111 1111 1111", "card"),
        ("+49 30 1234567", "phone"),
    ],
)
def test_a_reason_that_holds_something_personal_is_refused_and_not_repeated(
    personal: str, kind: str
) -> None:
    with pytest.raises(AuditRefused, match=rf"personal \({kind}\).*ticket number") as caught:
        check_reason(f"complaint of {personal} today")
    assert personal not in str(caught.value)


@pytest.mark.parametrize("text", ["a\0b", "a\udcffb", "\ud800"])
def test_what_postgres_cannot_keep_is_refused(text: str) -> None:
    for check in (check_reason, check_text):
        with pytest.raises(AuditRefused, match="not plain text"):
            check(text)


def test_who_asks_may_be_named_by_an_e_mail_address() -> None:
    assert check_text("eve@example.org \U0010ffff \ue000") == "eve@example.org \U0010ffff \ue000"


def test_who_redrives_dead_letters_states_no_such_reason_either(tmp_path: Path) -> None:
    """It is refused before anything is looked at."""
    arguments = ("dead-letters", "redrive", "user_logins", "--reason", "for ann@x.org")
    with unused_port() as port:
        nowhere = f"127.0.0.1:{port}"
        environment = settings(f"http://{nowhere}", f"postgresql://a:b@{nowhere}/c", tmp_path)
        code, told = fails(environment, *arguments)
    assert (code, "ann@x.org" in told) == ("E_AUDIT_REFUSED", False)
