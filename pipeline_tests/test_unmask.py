"""A pseudonym opens for a custodian with a reason, and only once the record of it is committed."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from pipeline import feeds
from pipeline.contract import Field
from pipeline.errors import (
    AuditRefused,
    ContractError,
    KeyringError,
    PipelineError,
    SettingsError,
    TableMismatch,
    TokenError,
    WarehouseUnavailable,
)
from pipeline.masking.key_file import KeyFile
from pipeline.operate.columns import OPENABLE, find_column, read_pseudonyms
from pipeline.operate.unmask import Opened, ask, unmask, unmask_asked
from pipeline_tests.custody_case import COLUMNS, ORDERS, Desk, desk_at, wanted
from pipeline_tests.outside_world import ask as query
from pipeline_tests.outside_world import cut_at_commit, unused_port
from pipeline_tests.samples import CANARY

ANN = {"email": "ann@x.org", "phone": "+49 30 1", "ip": "2001:db8::7", "name": "Ann"}
BOB = {"email": "bob@x.org", "phone": None, "ip": "10.0.0.1", "name": "Bob"}
TOKEN = "v1." + "a" * 43


@pytest.fixture
def desk(warehouse_url: str, tmp_path: Path) -> Iterator[Desk]:
    with desk_at(warehouse_url, tmp_path) as desk:
        yield desk


def opened(desk: Desk, column: str, tokens: list[str]) -> list[Opened]:
    return unmask(desk.outside, ORDERS, [COLUMNS[column]], wanted(column, tokens))


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("customer", ["ann@x.org", "bob@x.org"]),
        ("phone", ["+49 30 1"]),
        ("ip", ["2001:db8::7", "10.0.0.1"]),
        ("sealed_ip", ["2001:db8::7", "10.0.0.1"]),
    ],
)
def test_each_reversible_policy_leads_back_and_leaves_a_record(
    desk: Desk, column: str, values: list[str]
) -> None:
    desk.load(ANN, BOB)
    tokens = [token for token in desk.column(column) if token]

    assert [each.value for each in opened(desk, column, tokens)] == values
    path = COLUMNS[column].path
    assert sorted(desk.audit()) == sorted(("unmask", path, token) for token in tokens)


def test_the_record_says_who_and_why(desk: Desk) -> None:
    desk.load(ANN)
    opened(desk, "customer", desk.column("customer"))

    ((user, stated, reason),) = query(
        desk.url, "SELECT db_user, stated_by, reason FROM pipeline.audit"
    )
    assert (stated, reason) == ("Eve", "ticket 12")
    assert f"//{user}:" in desk.outside.custodian_url()


def test_values_show_in_no_representation(desk: Desk) -> None:
    desk.load(ANN)
    assert "ann@" not in repr(opened(desk, "customer", desk.column("customer")))


def test_earlier_key_versions_open_too(desk: Desk) -> None:
    desk.load(ANN)
    desk.keys.add_version()
    desk.load(BOB)
    tokens = desk.column("customer")

    assert [token[:3] for token in tokens] == ["v1.", "v2."]
    assert [each.value for each in opened(desk, "customer", tokens)] == ["ann@x.org", "bob@x.org"]


def test_what_does_not_open_says_why_and_the_others_open(desk: Desk) -> None:
    desk.load(ANN)
    (good,) = desk.column("phone")
    foreign = f"{good[:-2]}{'A' if good[-2] != 'A' else 'B'}{good[-1]}"
    unknown_version = f"v9{good[2:]}"

    found = opened(desk, "phone", [foreign, good, unknown_version])

    assert [each.token for each in found] == [foreign, good, unknown_version]
    assert [each.value for each in found] == [None, "+49 30 1", None]
    assert [each.problem for each in found] == [
        "this pseudonym does not open",
        "",
        "the keyring has no version 9",
    ]


def test_what_the_vault_does_not_have_says_so(desk: Desk) -> None:
    (found,) = opened(desk, "customer", [TOKEN])
    assert found.value is None
    assert "the vault does not have it" in found.problem


def test_a_vault_row_of_another_pseudonym_does_not_open(desk: Desk) -> None:
    """Somebody who may write the vault cannot have another person's value shown."""
    desk.load(ANN, BOB)
    query(
        desk.url, "UPDATE pipeline.vault SET sealed = (SELECT sealed FROM pipeline.vault LIMIT 1)"
    )
    found = opened(desk, "customer", desk.column("customer"))
    assert sum(each.value is None for each in found) == 1


def test_nothing_opens_where_the_commit_was_not_answered(desk: Desk) -> None:
    """Whether the record is there or not: who cannot know that it is must not see."""
    desk.load(ANN)
    tokens = desk.column("customer")
    for delivered in (False, True):
        with cut_at_commit(desk.outside.custodian_url(), delivered=delivered) as cut:
            outside = replace(desk.outside, custodian=cut)
            with pytest.raises(WarehouseUnavailable):
                unmask(outside, ORDERS, [COLUMNS["customer"]], wanted("customer", tokens))
        assert len(desk.audit()) == delivered


def test_the_record_is_there_before_the_vault_is_read(desk: Desk) -> None:
    """Held up between the two, another connection sees the record already."""
    desk.load(ANN)
    tokens = desk.column("customer")
    found: list[list[Opened]] = []
    reader = threading.Thread(target=lambda: found.append(opened(desk, "customer", tokens)))
    with psycopg.connect(desk.url) as holder:
        holder.execute("LOCK TABLE pipeline.vault IN ACCESS EXCLUSIVE MODE")
        reader.start()
        waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'pipeline.vault'::regclass"
        while not holder.execute(waits).fetchall():
            assert reader.is_alive()
        assert [token for _, _, token in desk.audit()] == tokens
        assert not found
    reader.join()
    assert [each.value for each in found[0]] == ["ann@x.org"]


def test_an_asked_request_opens_nothing_and_a_custodian_makes_it_their_own(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_orders(tmp_path, monkeypatch)
    desk.load(ANN)
    (token,) = desk.column("sealed_ip")
    number = ask(desk.outside, ORDERS, COLUMNS["sealed_ip"], wanted("sealed_ip", [token]))
    assert desk.audit() == [("unmask asked", "ip", token)]

    (found,) = unmask_asked(desk.outside, number, "Mallory")

    assert found.value == "2001:db8::7"
    assert desk.audit()[1:] == [("unmask", "ip", token)]
    ((stated, reason),) = query(
        desk.url, "SELECT stated_by, reason FROM pipeline.audit WHERE action = 'unmask'"
    )
    assert stated == "Mallory"
    assert reason == f"ticket 12 (request {number} of Eve)"


def test_a_request_that_nobody_made_is_refused(desk: Desk) -> None:
    with pytest.raises(AuditRefused, match="nobody has made such a request"):
        unmask_asked(desk.outside, uuid4(), "Eve")


def declare_orders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the feed one of the deployed ones."""
    (folder / "orders_feed.py").write_text(
        "from pipeline_tests.custody_case import ORDERS as FEED\n__all__ = ['FEED']\n"
    )
    monkeypatch.setattr(feeds, "__path__", [*feeds.__path__, str(folder)])


@pytest.mark.parametrize("line", [CANARY, "10.0.0.1", "v1.short", f"x{TOKEN}", f"{TOKEN}\0", "ü"])
def test_what_has_not_the_shape_of_a_pseudonym_is_refused_and_not_repeated(line: str) -> None:
    with pytest.raises(TokenError, match="number 3 ") as caught:
        read_pseudonyms([TOKEN, "", line], COLUMNS["customer"])
    assert line not in str(caught.value)


def test_an_address_that_the_table_does_not_have_is_refused_and_not_recorded(desk: Desk) -> None:
    """It may be somebody's own, and looks like another's pseudonym."""
    desk.load(ANN)
    for act in (opened, asked):
        with pytest.raises(TokenError, match="1 of the addresses do not occur") as caught:
            act(desk, "ip", [*desk.column("ip"), "2001:db8::7"])
        assert "2001" not in str(caught.value)
    assert desk.audit() == []


def asked(desk: Desk, column: str, tokens: list[str]) -> object:
    return ask(desk.outside, ORDERS, COLUMNS[column], wanted(column, tokens))


def test_a_list_is_read_each_once_and_in_order() -> None:
    other = "v2." + "b" * 43
    assert read_pseudonyms([f"{other}\r\n", "\n", TOKEN, f" {other} "], COLUMNS["customer"]) == (
        other,
        TOKEN,
    )


def test_no_more_than_a_thousand_pseudonyms_are_asked_for_at_once() -> None:
    many = [f"v1.{place:043}" for place in range(1_001)]
    assert len(read_pseudonyms(many[:-1], COLUMNS["customer"])) == 1_000
    with pytest.raises(AuditRefused, match="1000 pseudonyms at most"):
        read_pseudonyms(many, COLUMNS["customer"])
    with pytest.raises(TokenError, match="no pseudonym is given"):
        read_pseudonyms(["", " \n"], COLUMNS["customer"])


@pytest.mark.parametrize("name", ["name", "city", "id", CANARY])
def test_a_column_that_does_not_open_is_refused(name: str) -> None:
    with pytest.raises(ContractError, match="Choose one of: customer, phone, ip") as caught:
        find_column(ORDERS, name, OPENABLE)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("column", ["ip", "phone", "customer"])
def test_another_warehouses_keyring_opens_and_records_nothing(
    desk: Desk, tmp_path: Path, column: str
) -> None:
    """An address would open with it, and show somebody else's."""
    desk.load(ANN)
    other = KeyFile(tmp_path / "other" / "keyring.json")
    other.load_or_make()
    wrong = replace(desk, outside=replace(desk.outside, keyring=other))
    with pytest.raises(KeyringError, match="not the keyring that the warehouse was filled with"):
        opened(wrong, column, desk.column(column))
    assert desk.audit() == []


def not_migrated(desk: Desk) -> Desk:
    query(desk.url, "DROP SCHEMA pipeline CASCADE")
    return desk


def without_functions(desk: Desk) -> Desk:
    query(desk.url, "DROP FUNCTION pipeline.request_unmask, pipeline.read_request")
    return desk


def without_versions(desk: Desk) -> Desk:
    query(desk.url, "DROP TABLE pipeline.keyring_version")
    return desk


def without_the_role(desk: Desk) -> Desk:
    """As on an embedded server where nothing was ever loaded."""
    url = f"{desk.url}?options=-c%20role%3Dno_such_custodian"
    return replace(desk, outside=replace(desk.outside, custodian=url))


@pytest.mark.parametrize(
    "spoil", [not_migrated, without_functions, without_versions, without_the_role]
)
def test_a_warehouse_that_nobody_migrated_leads_to_the_command(
    desk: Desk, spoil: Callable[[Desk], Desk]
) -> None:
    desk.load(ANN)
    tokens = desk.column("customer")
    spoilt = spoil(desk)
    with pytest.raises(TableMismatch, match="`pipeline migrate`") as caught:
        opened(spoilt, "customer", tokens)
    assert "queue" not in str(caught.value)
    if spoil is not without_versions:
        with pytest.raises(TableMismatch, match="`pipeline migrate`"):
            unmask_asked(spoilt.outside, uuid4(), "Eve")


def no_log_in(desk: Desk) -> Desk:
    return replace(desk, outside=replace(desk.outside, custodian=None))


def no_custodian(desk: Desk) -> Desk:
    query(desk.url, "REVOKE EXECUTE ON FUNCTION pipeline.request_unmask FROM custodian")
    return desk


def no_keyring(desk: Desk) -> Desk:
    return replace(desk, outside=replace(desk.outside, keyring=KeyFile(desk.keys.path / "none")))


def no_postgres(desk: Desk) -> Desk:
    with unused_port() as port:
        url = f"postgresql://eve:{CANARY}@127.0.0.1:{port}/warehouse"
        return replace(desk, outside=replace(desk.outside, custodian=url))


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (no_log_in, SettingsError),
        (no_custodian, AuditRefused),
        (no_keyring, KeyringError),
        (no_postgres, WarehouseUnavailable),
    ],
)
def test_what_is_missing_is_one_clear_error_and_nothing_is_recorded(
    desk: Desk, spoil: object, error: type[PipelineError]
) -> None:
    desk.load(ANN)
    tokens = desk.column("customer")
    with pytest.raises(error) as caught:
        opened(spoil(desk), "customer", tokens)  # type: ignore[operator] # one of those above
    assert CANARY not in str(caught.value)
    assert desk.audit() == []


def test_a_blank_reason_is_refused(desk: Desk) -> None:
    column: Field = COLUMNS["customer"]
    with pytest.raises(AuditRefused, match="states its reason"):
        unmask(desk.outside, ORDERS, [column], wanted("customer", [TOKEN], reason=" \n"))
    assert desk.audit() == []
