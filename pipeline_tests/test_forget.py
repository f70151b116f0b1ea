"""A person is forgotten for good, and the report says what could not be forgotten."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from pipeline.errors import (
    AuditRefused,
    KeyringError,
    SettingsError,
    TableMismatch,
    TokenError,
    WarehouseUnavailable,
)
from pipeline.masking.key_file import KeyFile
from pipeline.masking.policies import IpCrypt, Pseudonymize
from pipeline.operate.custody import load_keyring
from pipeline.operate.erasure import Erasure, Remainder
from pipeline.operate.forget import (
    Persons,
    by_pseudonyms,
    by_value,
    delete_rows,
    forget,
)
from pipeline.operate.unmask import unmask
from pipeline.resources.outside import Outside
from pipeline_tests.access_case import member_of
from pipeline_tests.custody_case import COLUMNS, ORDERS, Desk, desk_at, wanted
from pipeline_tests.outside_world import ask, cut_at_commit
from pipeline_tests.samples import CANARY, eventually

ANN = {"email": "ann@x.org", "phone": "+49 30 1", "ip": "10.0.0.1", "name": "Ann", "city": "Ulm"}
BOB = {"email": "bob@x.org", "phone": "+49 30 2", "ip": "10.0.0.2", "name": "Bob", "city": None}


@pytest.fixture
def desk(warehouse_url: str, tmp_path: Path) -> Iterator[Desk]:
    with desk_at(warehouse_url, tmp_path) as desk:
        yield desk


def person(desk: Desk, column: str, value: str) -> Persons:
    return by_value(ORDERS, COLUMNS[column], value, load_keyring(desk.outside, desk.url, ORDERS))


def forgotten(desk: Desk, column: str = "customer", value: str = "ann@x.org") -> Erasure:
    return forget(desk.outside, person(desk, column, value), "request 9", "Eve")


def customers(desk: Desk) -> list[str | None]:
    """The values that a custodian can still see, row by row."""
    tokens = desk.column("customer")
    found = unmask(
        desk.outside, ORDERS, [COLUMNS["customer"]], wanted("customer", list(set(tokens)))
    )
    values = {each.token: each.value for each in found}
    return [values[token] for token in tokens]


def test_the_vault_rows_go_and_the_pseudonym_stays_one_way(desk: Desk) -> None:
    desk.load(ANN, BOB, ANN)
    before = desk.column("customer")

    erasure = forgotten(desk)

    assert (erasure.destroyed, erasure.rows, erasure.deleted) == (1, 2, None)
    assert desk.column("customer") == before
    assert customers(desk) == [None, "bob@x.org", None]
    erasure.check()


def test_the_report_says_what_could_not_be_forgotten(desk: Desk) -> None:
    desk.load(ANN, BOB, ANN)
    ask(
        desk.url,
        "INSERT INTO pipeline.quarantine (feed, key, message_id, reason, receive_count,"
        " sent_at, body_sealed) VALUES ('orders', 'k', 'm', 'missing', 1, now(), '')",
    )
    erasure = forgotten(desk)

    assert erasure.sealed == 1
    assert erasure.others == (
        Remainder("phone", "encrypt", 2),
        Remainder("ip", "ip_crypt", 2),
        Remainder("sealed_ip", "encrypt", 2),
        Remainder("name", "pseudonymize", 2),
        Remainder("city", "keep", 2),
    )
    told = "\n".join(erasure.lines())
    assert "not forgotten: city (keep) in 2 rows: it stands in the clear" in told
    assert "not forgotten: phone (encrypt) in 2 rows: whoever has the key can open it" in told
    assert "not searched: 1 sealed messages in the quarantine" in told
    assert "backups and the write-ahead log" in told
    assert "ann" not in told.lower()


def test_a_second_time_there_is_nothing_to_do_and_that_is_recorded_too(desk: Desk) -> None:
    desk.load(ANN)
    forgotten(desk)
    records = len(desk.audit())

    again = forgotten(desk)

    assert (again.destroyed, again.rows) == (0, 1)
    assert "there was nothing left to do" in again.lines()
    again.check()
    assert len(desk.audit()) == 2 * records
    assert {token for _, _, token in desk.audit()} == set(desk.column("customer"))


def test_all_key_versions_are_forgotten_by_value_and_by_any_pseudonym(desk: Desk) -> None:
    desk.load(ANN, BOB)
    desk.keys.add_version()
    desk.load(ANN, BOB)
    ann_first, bob_first, *_ = desk.column("customer")

    by_its_value = forgotten(desk)
    keyring = load_keyring(desk.outside, desk.url, ORDERS)
    bob = by_pseudonyms(ORDERS, COLUMNS["customer"], [bob_first], keyring)
    by_a_pseudonym = forget(desk.outside, bob, "request 10", "Eve")

    for erasure in (by_its_value, by_a_pseudonym):
        assert (erasure.destroyed, erasure.rows) == (2, 2)
    assert desk.vault() == set()
    assert ann_first != bob_first


def test_whoever_comes_back_is_not_kept_again(desk: Desk) -> None:
    """New rows, which can be joined with the old ones, and nothing in the vault."""
    desk.load(ANN)
    forgotten(desk)
    desk.load(ANN, BOB)

    assert len(desk.column("customer")) == 3
    assert customers(desk) == [None, None, "bob@x.org"]
    first, second, _ = desk.column("customer")
    assert first == second


def test_whoever_was_never_there_is_left_out_from_now_on(desk: Desk) -> None:
    desk.load(BOB)
    assert (forgotten(desk).destroyed, forgotten(desk).rows) == (0, 0)
    desk.load(ANN)
    assert customers(desk) == ["bob@x.org", None]


def test_the_spelling_of_a_value_does_not_matter(desk: Desk) -> None:
    desk.load({"email": "zoe\u0308@x.org", "ip": "::ffff:10.0.0.9"})
    assert forgotten(desk, value="zo\u00eb@x.org").destroyed == 1
    assert forgotten(desk, "sealed_ip", "::ffff:10.0.0.9").rows == 1
    assert forgotten(desk, "sealed_ip", "10.0.0.9").rows == 1


@pytest.mark.parametrize("column", ["phone", "ip", "sealed_ip", "name"])
def test_other_policies_forget_by_deleting_the_rows_of_every_version(
    desk: Desk, column: str
) -> None:
    desk.load(ANN, BOB)
    desk.keys.add_version()
    desk.load(ANN, BOB)
    value = {"sealed_ip": ANN["ip"]}.get(column) or ANN[COLUMNS[column].path]
    assert value is not None

    looked = forgotten(desk, column, value)
    assert (looked.destroyed, looked.rows, looked.deleted) == (0, 2, None)
    with pytest.raises(AuditRefused, match="by deleting rows, or the key"):
        looked.check()
    assert desk.column("city") == ["Ulm", None, "Ulm", None]
    asked = len(desk.audit())

    done = delete_rows(desk.outside, person(desk, column, value), "request 9", "Eve")
    assert (done.rows, done.deleted) == (2, 2)
    done.check()
    assert desk.column("city") == [None, None]
    assert {(action, field) for action, field, _ in desk.audit()[asked:]} == {
        ("delete", COLUMNS[column].path)
    }


@pytest.mark.parametrize("column", ["phone", "ip", "name"])
def test_who_only_looks_is_recorded_before_the_answer(desk: Desk, column: str) -> None:
    desk.load(ANN)
    value = ANN[COLUMNS[column].path]
    assert value is not None
    ann = person(desk, column, value)
    with pytest.raises(AuditRefused, match="states its reason"):
        forget(desk.outside, ann, " ", "Eve")
    assert desk.audit() == []

    with cut_at_commit(desk.outside.custodian_url(), delivered=True) as cut:
        outside = replace(desk.outside, custodian=cut)
        with pytest.raises(WarehouseUnavailable):
            forget(outside, ann, "request 9", "Eve")

    assert {token for _, _, token in desk.audit()} >= set(desk.column(column))
    told = ask(desk.url, "SELECT DISTINCT action, reason, detail FROM pipeline.audit")
    assert told == [("delete", "request 9", "asked only, nothing deleted")]


@pytest.mark.parametrize("act", [forget, delete_rows])
def test_an_address_that_the_table_does_not_have_is_neither_recorded_nor_acted_on(
    desk: Desk, act: Callable[[Outside, Persons, str, str], Erasure]
) -> None:
    """It may be somebody's own, pasted by mistake; a second time nothing is left of the others."""
    desk.load(ANN, BOB)
    ann, _ = desk.column("ip")
    keyring = load_keyring(desk.outside, desk.url, ORDERS)
    given = by_pseudonyms(ORDERS, COLUMNS["ip"], [ann, "2001:db8::7"], keyring)

    erasure = act(desk.outside, given, "request 9", "Eve")

    assert (erasure.rows, erasure.unknown) == (1, 1)
    assert "not in this column, and not recorded: 1 of the given addresses" in erasure.lines()
    assert [token for _, _, token in desk.audit()] == [ann]
    delete_rows(desk.outside, given, "request 9", "Eve")
    again = act(desk.outside, given, "request 9", "Eve")
    again.check()
    assert (again.rows, again.unknown) == (0, 2)
    assert any(line.startswith("nobody was found") for line in again.lines())
    assert {token for _, _, token in desk.audit()} == {ann, None}
    assert len(desk.column("ip")) == 1


def test_addresses_of_every_key_version_go_by_value(desk: Desk) -> None:
    """The contract names another version of the key than when the first were loaded."""
    desk.load(ANN, BOB)
    desk.keys.add_version()
    column = replace(COLUMNS["ip"], policy=IpCrypt(key_version=2))
    keyring = load_keyring(desk.outside, desk.url, ORDERS)
    ann = by_value(ORDERS, column, "10.0.0.1", keyring)

    assert delete_rows(desk.outside, ann, "request 9", "Eve").deleted == 1
    assert desk.column("city") == [None]


def test_rows_from_when_a_column_was_pseudonymised_go_by_value(desk: Desk) -> None:
    desk.load(ANN, BOB)
    keyring = desk.keys.load()
    keys = keyring.field_keys("orders", "phone")
    (old,) = Pseudonymize().mask([ANN["phone"]], COLUMNS["phone"].type, keys)
    ask(desk.url, "UPDATE shop.orders SET phone = %s WHERE city IS NOT NULL", old)
    desk.keys.add_version()

    ann = person(desk, "phone", "+49 30 1")

    assert delete_rows(desk.outside, ann, "request 9", "Eve").deleted == 1
    assert desk.column("city") == [None]


@pytest.mark.parametrize("column", ["customer", "phone"])
def test_who_was_not_found_does_not_read_as_forgotten(desk: Desk, column: str) -> None:
    desk.load(ANN)
    nobody = person(desk, column, "nobody")
    for act in (forget, delete_rows):
        erasure = act(desk.outside, nobody, "request 9", "Eve")
        erasure.check()
        assert any(line.startswith("nobody was found: never there") for line in erasure.lines())
        assert "there was nothing left to do" not in erasure.lines()
    found = forgotten(desk)
    assert not any(line.startswith("nobody was found") for line in found.lines())


@pytest.mark.parametrize(
    ("column", "times"), [("name", 1), ("ip", 1), ("phone", 0), ("customer", 0)]
)
def test_pseudonyms_of_other_versions_that_may_remain_are_named(
    desk: Desk, column: str, times: int
) -> None:
    desk.load(ANN)
    keyring = load_keyring(desk.outside, desk.url, ORDERS)
    named = by_pseudonyms(ORDERS, COLUMNS[column], desk.column(column), keyring)
    value = ANN[COLUMNS[column].path]
    assert value is not None
    by_its_value = forgotten(desk, column, value)
    deleted = delete_rows(desk.outside, named, "request 9", "Eve")
    line = "not searched: this person's pseudonyms of other key versions, which may remain"
    assert list(deleted.lines()).count(line) == times
    assert line not in by_its_value.lines()


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_the_end_of_the_line_is_not_part_of_a_value(desk: Desk, end: str) -> None:
    desk.load(ANN)
    assert forgotten(desk, value=f"ann@x.org{end}").destroyed == 1


@pytest.mark.parametrize("value", ["", "\n", "\r\n", "a\nb", "a\n\n", "a\rb", "a\udcff"])
def test_what_is_not_one_line_is_nobody(desk: Desk, value: str) -> None:
    with pytest.raises(TokenError, match=r"one value on one line.*nothing was done"):
        person(desk, "customer", value)


@pytest.mark.parametrize("column", ["customer", "phone"])
@pytest.mark.parametrize("role", ["loader", "analyst", "nobody"])
def test_a_log_in_that_is_no_custodian_is_told_so(desk: Desk, role: str, column: str) -> None:
    desk.load(ANN)
    ann = person(desk, column, ANN[COLUMNS[column].path] or "")
    with member_of(desk.url, *([] if role == "nobody" else [role])) as url:
        outside = replace(desk.outside, custodian=url)
        for act in (forget, delete_rows):
            with pytest.raises(AuditRefused, match=r"no custodian.*PIPELINE_CUSTODIAN_URL"):
                act(outside, ann, "request 9", "Eve")
    assert desk.audit() == []
    assert len(desk.column(column)) == 1


def test_a_custodian_without_a_right_on_the_table_is_told_so(desk: Desk) -> None:
    desk.load(ANN)
    ask(desk.url, "REVOKE DELETE ON shop.orders FROM custodian")
    with pytest.raises(AuditRefused, match="no custodian"):
        delete_rows(desk.outside, person(desk, "phone", "+49 30 1"), "request 9", "Eve")
    assert desk.audit() == []


def test_encrypted_rows_of_every_version_go_by_any_pseudonym(desk: Desk) -> None:
    desk.load(ANN, BOB)
    desk.keys.add_version()
    desk.load(ANN)
    keyring = load_keyring(desk.outside, desk.url, ORDERS)
    _, _, newest = desk.column("phone")

    done = delete_rows(
        desk.outside, by_pseudonyms(ORDERS, COLUMNS["phone"], [newest], keyring), "x", "Eve"
    )

    assert done.deleted == 2
    assert desk.column("city") == [None]


def test_rows_of_a_vault_column_go_together_with_what_the_vault_has(desk: Desk) -> None:
    desk.load(ANN, BOB)
    done = delete_rows(desk.outside, person(desk, "customer", "ann@x.org"), "request 9", "Eve")
    assert (done.destroyed, done.deleted) == (1, 1)
    assert customers(desk) == ["bob@x.org"]


def test_rows_and_their_record_go_together_or_not_at_all(desk: Desk) -> None:
    desk.load(ANN)
    ann = person(desk, "customer", "ann@x.org")
    with cut_at_commit(desk.outside.custodian_url(), delivered=False) as cut:
        outside = replace(desk.outside, custodian=cut)
        with pytest.raises(WarehouseUnavailable):
            delete_rows(outside, ann, "request 9", "Eve")
    assert desk.audit() == []
    assert len(desk.column("customer")) == len(desk.vault()) == 1


def test_a_blank_reason_is_refused_and_nothing_is_done(desk: Desk) -> None:
    desk.load(ANN)
    ann = person(desk, "customer", "ann@x.org")
    for act in (forget, delete_rows):
        with pytest.raises(AuditRefused, match="states its reason"):
            act(desk.outside, ann, " ", "Eve")
    with pytest.raises(AuditRefused, match="states its reason"):
        delete_rows(desk.outside, person(desk, "phone", "+49 30 1"), " ", "Eve")
    assert len(desk.column("customer")) == len(desk.vault()) == 1


@pytest.mark.parametrize("value", [CANARY * 4, f"{CANARY}\0"])
def test_a_value_that_the_column_cannot_hold_is_refused_and_not_repeated(
    desk: Desk, value: str
) -> None:
    with pytest.raises(TokenError, match="no value of this column") as caught:
        person(desk, "customer", value)
    assert CANARY not in str(caught.value)


def test_another_keyring_is_refused_before_anything_is_done(desk: Desk, tmp_path: Path) -> None:
    """With it nobody would be found, and everybody would seem forgotten."""
    other = KeyFile(tmp_path / "other" / "keyring.json")
    other.load_or_make()
    with pytest.raises(KeyringError, match="not the keyring that the warehouse was filled with"):
        load_keyring(replace(desk.outside, keyring=other), desk.url, ORDERS)


def test_a_warehouse_without_the_table_is_refused(desk: Desk) -> None:
    ask(desk.url, "DROP TABLE shop.orders")
    with pytest.raises(TableMismatch, match="Nothing was ever loaded"):
        load_keyring(desk.outside, desk.url, ORDERS)


def test_without_a_custodians_log_in_nothing_is_done(desk: Desk) -> None:
    ann = person(desk, "customer", "ann@x.org")
    with pytest.raises(SettingsError, match="PIPELINE_CUSTODIAN_URL"):
        forget(replace(desk.outside, custodian=None), ann, "request 9", "Eve")


def test_the_loaders_log_in_suffices_beside_the_custodians(desk: Desk) -> None:
    desk.load(ANN)
    with member_of(desk.url, "loader") as loader:
        outside = replace(desk.outside, postgres_url=loader)
        keyring = load_keyring(outside, outside.postgres_url, ORDERS)
        ann = by_value(ORDERS, COLUMNS["customer"], "ann@x.org", keyring)
        erasure = forget(outside, ann, "request 9", "Eve")
    assert (erasure.destroyed, erasure.sealed) == (1, 0)


def test_persons_show_no_value(desk: Desk) -> None:
    assert json.dumps("ann@") not in repr(person(desk, "customer", "ann@x.org"))


def test_a_load_that_runs_meanwhile_does_not_bring_the_value_back(desk: Desk) -> None:
    """It has read the value before, and commits after: one of the two waits for the other."""
    ask(
        desk.url,
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$;"
        "CREATE TRIGGER wait BEFORE INSERT ON shop.orders"
        " FOR EACH ROW EXECUTE FUNCTION wait()",
    )
    ann = person(desk, "customer", "ann@x.org")
    loading = threading.Thread(target=lambda: desk.load(ANN))
    forgetting = threading.Thread(target=lambda: forget(desk.outside, ann, "request 9", "Eve"))
    with psycopg.connect(desk.url) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(1)")
        waiting = (
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        loading.start()
        eventually(lambda: holder.execute(waiting).fetchone() == (1,))
        forgetting.start()
        eventually(lambda: holder.execute(waiting).fetchone() == (2,) or not forgetting.is_alive())
    loading.join()
    forgetting.join()

    assert len(desk.column("customer")) == 1
    assert desk.vault() == set()
