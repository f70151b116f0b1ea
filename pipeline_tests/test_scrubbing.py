"""No text and no exception tells a personal value once it has been through the scrubber."""

import pytest

from pipeline.errors import KeyringError
from pipeline.scrubbing import Withheld, scrub, withhold
from pipeline_tests.samples import CANARY


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("ann@example.org wrote", "[email] wrote"),
        ("from 203.0.113.77:5432 to [2001:db8::1]:80", "from [address]:5432 to [[address]]:80"),
        ("paid with 4111 1111 1111 1111.", "paid with [card]."),
        ("call +1 (415) 555-0100!", "call [phone]!"),
        ("device 593-47-5928", "device [us_ssn]"),
        ("postgresql://ann:secret@db.example.org/x", "postgresql://ann:[email]/x"),
        ("203.0.113.77 203.0.113.78", "[address] [address]"),
    ],
)
def test_each_value_is_replaced_by_its_kind(text: str, clean: str) -> None:
    assert scrub(text) == clean
    assert scrub(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "listening on 127.0.0.1:3000, ::1 and 0.0.0.0",
        "run 424cdd21-063a-43a7-b91b-7ca1a833afae: received 100 = loaded 99 + quarantined 1",
        "2024-11-22 05:42:00 +0000 - dagster - DEBUG - Started execution of step in 1.25s",
        "arn:aws:sqs:us-east-1:000000000000:login-queue",
        "",
    ],
)
def test_what_a_reader_of_logs_needs_stays(text: str) -> None:
    assert scrub(text) == text


def fail() -> None:
    """Fails as drivers do: the value is in the text, in a cause, in a context and in a note."""
    try:
        int(CANARY)
    except ValueError as error:
        error.add_note(CANARY)
        raise LookupError(CANARY) from error


def caught() -> Exception:
    """The exception of a failure."""
    try:
        fail()
    except LookupError as error:
        return error
    raise AssertionError


def test_of_a_foreign_exception_types_and_places_stay() -> None:
    told = str(withhold(caught()))
    line = fail.__code__.co_firstlineno
    assert CANARY not in told
    assert "LookupError (its text is withheld)" in told
    assert f"at {__file__}:{line + 6}, in fail" in told
    assert "after ValueError (its text is withheld)" in told
    assert f"at {__file__}:{line + 3}, in fail" in told


def test_this_projects_own_errors_keep_their_text_but_not_what_led_to_them() -> None:
    error = KeyringError("the key is gone", remedy="Look for it")
    error.__cause__ = caught()
    told = str(withhold(error))
    assert told.startswith("E_KEYRING: the key is gone. Look for it")
    assert "after LookupError" in told
    assert CANARY not in told


def test_a_group_and_a_circle_are_told_without_their_texts() -> None:
    inner, outer = ValueError(CANARY), ExceptionGroup(CANARY, [caught(), KeyError(CANARY)])
    inner.__cause__ = outer
    outer.__cause__ = inner
    told = str(withhold(outer))
    assert CANARY not in told
    assert all(name in told for name in ("ExceptionGroup", "LookupError", "KeyError"))


def test_what_was_withheld_once_stays_as_it_is() -> None:
    error = withhold(caught())
    assert withhold(error) is error
    assert isinstance(error, Withheld)
