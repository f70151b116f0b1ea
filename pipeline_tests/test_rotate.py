"""Every pseudonym gets the current key version, and none is lost."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import (
    KeyringError,
    TableMismatch,
    TokenError,
    WarehouseUnavailable,
)
from pipeline.masking.key_file import KeyFile
from pipeline.operate.custody import load_keyring
from pipeline.operate.forget import by_value, forget
from pipeline.operate.rotate import Order, rotate
from pipeline.operate.unmask import unmask
from pipeline_tests.access_case import member_of
from pipeline_tests.custody_case import COLUMNS, ORDERS, Desk, desk_at, wanted
from pipeline_tests.outside_world import ask
from pipeline_tests.rotate_case import (
    ANN,
    BOB,
    KEPT,
    RENEWED,
    assert_complete,
    person,
    rotated,
    values,
    versions,
)
from pipeline_tests.samples import CANARY


@pytest.fixture
def desk(warehouse_url: str, tmp_path: Path) -> Iterator[Desk]:
    with desk_at(warehouse_url, tmp_path) as desk:
        yield desk


def test_every_pseudonym_is_renewed_and_the_earlier_ones_still_open(desk: Desk) -> None:
    """Fault 69."""
    desk.load(ANN, BOB, ANN)
    before = {column: desk.column(column) for column in (*RENEWED, *KEPT)}
    desk.keys.add_version()
    desk.load(BOB)

    rotation = rotated(desk)

    rotation.check()
    assert rotation.tally.renewed == {"customer": 3, "phone": 2, "sealed_ip": 3}
    for column in RENEWED:
        assert versions(desk, column) == {"v2"}
        earlier = {token for token in before[column] if token}
        for tokens in (earlier, {token for token in desk.column(column) if token}):
            found = unmask(desk.outside, ORDERS, [COLUMNS[column]], wanted(column, list(tokens)))
            assert {each.value for each in found} <= {*ANN.values(), *BOB.values()}
            assert None not in {each.value for each in found}
    for column in KEPT:
        assert desk.column(column)[:3] == before[column]
    # Persons of before and after are one again.
    assert len(set(desk.column("customer"))) == 2


def test_what_is_renewed_is_what_a_load_would_write(desk: Desk) -> None:
    desk.load(ANN)
    desk.keys.add_version()
    rotated(desk)
    desk.load(ANN)
    for column in RENEWED:
        assert len(set(desk.column(column))) == 1


def test_nothing_in_the_vault_is_sealed_with_an_earlier_key_any_more(desk: Desk) -> None:
    desk.load(ANN, BOB)
    desk.keys.add_version()
    rotated(desk)
    sealed = ask(desk.url, "SELECT sealed FROM pipeline.vault")
    assert len(sealed) == 4
    assert {content[:4] for (content,) in sealed} == {(2).to_bytes(4)}


def test_the_columns_that_keep_their_version_are_named(desk: Desk) -> None:
    desk.load(ANN)
    told = list(rotated(desk).lines())
    assert "ip: as it was: the contract says its key version" in told
    assert "name: as it was: one-way, so nobody can give it another key" in told


def test_a_second_time_there_is_nothing_to_do(desk: Desk) -> None:
    desk.load(ANN)
    desk.keys.add_version()
    rotated(desk)
    before = ask(desk.url, "SELECT ctid, * FROM shop.orders")
    assert not rotated(desk).tally.renewed
    assert ask(desk.url, "SELECT ctid, * FROM shop.orders") == before


def test_the_beginning_and_the_end_are_recorded(desk: Desk) -> None:
    desk.load(ANN)
    desk.keys.add_version()
    rotated(desk)
    records = ask(desk.url, "SELECT field, detail, reason FROM pipeline.audit ORDER BY id")
    assert [(field, detail.split(":")[1][:10]) for field, detail, _ in records] == [
        *((path, " begun") for path in ("email", "phone", "ip")),
        *((path, " 1 values ") for path in ("email", "phone", "ip")),
    ]
    assert {reason for _, _, reason in records} == {"a new key"}


def test_the_forgotten_stay_as_they_are_and_are_counted(desk: Desk) -> None:
    desk.load(ANN, ANN, BOB)
    keyring = load_keyring(desk.outside, desk.url, ORDERS)
    forget(desk.outside, by_value(ORDERS, COLUMNS["customer"], "ann@x.org", keyring), "x", "Eve")
    before = desk.column("customer")
    desk.keys.add_version()

    rotation = rotated(desk)

    rotation.check()
    assert rotation.tally.forgotten == {"customer": 2}
    assert desk.column("customer")[:2] == before[:2]
    assert versions(desk, "customer") == {"v1", "v2"}
    assert values(desk, "customer") == Counter([None, None, "bob@x.org"])


def test_whoever_is_forgotten_after_a_rotation_is_gone_under_every_version(desk: Desk) -> None:
    desk.load(ANN)
    desk.keys.add_version()
    rotated(desk)
    keyring = load_keyring(desk.outside, desk.url, ORDERS)
    forget(desk.outside, by_value(ORDERS, COLUMNS["customer"], "ann@x.org", keyring), "x", "Eve")
    assert desk.vault() == set()


def test_what_does_not_open_is_left_and_named_at_the_end(desk: Desk) -> None:
    """A value that somebody put there in the clear is counted, and not named."""
    desk.load(ANN, BOB)
    foreign = "v1." + "A" * 64
    ask(desk.url, "UPDATE shop.orders SET phone = %s WHERE phone IS NOT NULL", foreign)
    ask(desk.url, "UPDATE shop.orders SET phone = %s WHERE phone IS NULL", CANARY)
    desk.keys.add_version()

    rotation = rotated(desk)

    assert sorted(desk.column("phone")) == sorted([foreign, CANARY])
    assert versions(desk, "customer") == versions(desk, "sealed_ip") == {"v2"}
    with pytest.raises(TokenError, match="2 rows hold what does not open") as caught:
        rotation.check()
    assert foreign in str(caught.value)
    assert CANARY not in str(caught.value)


def test_each_transaction_is_as_small_as_its_pages(desk: Desk) -> None:
    for first in range(0, 400, 100):
        desk.load(*(person(place) for place in range(first, first + 100)))
    (most,) = ask(
        desk.url,
        "SELECT max(count) FROM (SELECT count(*) FROM shop.orders"
        " GROUP BY (ctid::text::point)[0]) AS page",
    )[0]
    desk.keys.add_version()
    lines: list[str] = []

    rotated(desk, pages=1, tell=lines.append)

    per_transaction = ask(desk.url, "SELECT count(*) FROM shop.orders GROUP BY xmin::text")
    assert len(per_transaction) > 5
    assert max(count for (count,) in per_transaction) <= most
    assert len(lines) >= len(per_transaction)
    assert_complete(desk, range(400), "v2")


def part(desk: Desk) -> None:
    """Makes the table one of partitions, of which the first in order has one of its own."""
    ask(
        desk.url,
        "CREATE TABLE whole (LIKE shop.orders) PARTITION BY RANGE (id);"
        "DROP TABLE shop.orders; ALTER TABLE whole SET SCHEMA shop;"
        "ALTER TABLE shop.whole RENAME TO orders;"
        "CREATE TABLE shop.low PARTITION OF shop.orders FOR VALUES FROM (MINVALUE) TO (0);"
        "CREATE TABLE shop.rest PARTITION OF shop.orders DEFAULT PARTITION BY LIST (name);"
        "CREATE TABLE shop.deep PARTITION OF shop.rest DEFAULT",
    )


def test_the_rows_of_every_partition_are_renewed(desk: Desk) -> None:
    part(desk)
    desk.load({**ANN, "id": -5}, BOB)
    desk.keys.add_version()
    rotated(desk).check()
    assert all(versions(desk, column) == {"v2"} for column in RENEWED)
    assert values(desk, "customer") == Counter(["ann@x.org", "bob@x.org"])


def test_it_comes_back_for_what_was_loaded_behind_it(desk: Desk) -> None:
    """By a run that began with the earlier key, into a part that is done."""
    part(desk)
    earlier = desk.keys.load()
    desk.load({**ANN, "id": -5}, BOB)
    desk.keys.add_version()
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            desk.load(BOB, keyring=earlier)

    rotated(desk, tell=tell).check()
    assert all(versions(desk, column) == {"v2"} for column in RENEWED)
    assert len(desk.column("customer")) == 3


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03"])
def test_what_loses_against_others_is_tried_again_and_counted_once(desk: Desk, state: str) -> None:
    desk.load(ANN)
    ask(
        desk.url,
        "CREATE SEQUENCE times; CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$"
        f" BEGIN IF nextval('times') < 3 THEN RAISE EXCEPTION USING ERRCODE = '{state}'; END IF;"
        " RETURN NEW; END $$;"
        "CREATE TRIGGER lose BEFORE UPDATE ON shop.orders FOR EACH ROW EXECUTE FUNCTION lose()",
    )
    desk.keys.add_version()
    assert rotated(desk).tally.renewed == {"customer": 1, "phone": 1, "sealed_ip": 1}
    assert versions(desk, "customer") == {"v2"}


def test_a_constraint_that_stands_against_it_is_a_clear_error(desk: Desk) -> None:
    """A person is there under both versions, and the table allows one row each."""
    desk.load(ANN, BOB)
    ask(desk.url, "CREATE UNIQUE INDEX one_row_each ON shop.orders (customer)")
    desk.keys.add_version()
    desk.load(ANN)
    before = ask(desk.url, "SELECT * FROM shop.orders ORDER BY id")
    with pytest.raises(TableMismatch, match=r"does not take new pseudonyms.*'one_row_each'"):
        rotated(desk)
    assert ask(desk.url, "SELECT * FROM shop.orders ORDER BY id") == before
    assert all(
        "begun" in detail for (detail,) in ask(desk.url, "SELECT detail FROM pipeline.audit")
    )


def test_a_trigger_that_drops_changes_is_a_clear_error(desk: Desk) -> None:
    desk.load(ANN)
    ask(
        desk.url,
        "CREATE FUNCTION drop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        "CREATE TRIGGER drop BEFORE UPDATE ON shop.orders"
        " FOR EACH ROW EXECUTE FUNCTION drop()",
    )
    desk.keys.add_version()
    with pytest.raises(TableMismatch, match="0 of 1 rows were changed"):
        rotated(desk)
    assert len(desk.vault()) == 1


def test_a_trigger_that_keeps_the_old_pseudonym_is_a_clear_error(desk: Desk) -> None:
    """Else it would go on for ever."""
    desk.load(ANN, BOB)
    ask(
        desk.url,
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.name = OLD.name AND OLD.phone IS NULL THEN NEW.customer := OLD.customer; END IF;"
        " RETURN NEW; END $$;"
        "CREATE TRIGGER keep BEFORE UPDATE ON shop.orders"
        " FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    desk.keys.add_version()
    before = ask(desk.url, "SELECT * FROM shop.orders ORDER BY id")
    with pytest.raises(TableMismatch, match="1 of 2 rows were changed"):
        rotated(desk)
    assert ask(desk.url, "SELECT * FROM shop.orders ORDER BY id") == before
    assert len(desk.vault()) == 2


VIEW = (
    "ALTER TABLE shop.orders RENAME TO hidden;CREATE VIEW shop.orders AS SELECT * FROM shop.hidden"
)
FOREIGN = (
    "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing;"
    "CREATE FOREIGN TABLE shop.afar () INHERITS (shop.orders) SERVER elsewhere"
)


@pytest.mark.parametrize(("spoil", "name"), [(VIEW, "orders"), (FOREIGN, "afar")])
def test_rows_that_are_not_in_a_table_here_are_not_passed_over(
    desk: Desk, spoil: str, name: str
) -> None:
    desk.load(ANN)
    ask(desk.url, spoil)
    desk.keys.add_version()
    with pytest.raises(TableMismatch, match=rf"shop\.{name} is no table of this database"):
        rotated(desk)
    assert desk.audit() == []


def test_pseudonyms_of_a_version_that_is_added_meanwhile_are_left_to_the_next(desk: Desk) -> None:
    desk.load(ANN)
    desk.keys.add_version()
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        if len(lines) == 1:
            desk.keys.add_version()
            desk.load(BOB, ANN)

    rotation = rotated(desk, tell=tell)

    rotation.check()
    assert not rotation.tally.unopened
    assert not rotation.tally.forgotten
    assert all(versions(desk, column) == {"v2", "v3"} for column in RENEWED)
    rotated(desk).check()
    assert all(versions(desk, column) == {"v3"} for column in RENEWED)


@pytest.mark.parametrize("role", ["loader", "custodian", "analyst", "nobody"])
def test_who_is_not_the_owner_is_told_whose_log_in_is_wanted(desk: Desk, role: str) -> None:
    """Before anything is recorded, also with a right to change the rows."""
    desk.load(ANN)
    with member_of(desk.url, *([] if role == "nobody" else [role])) as url:
        for right in ("SELECT", "UPDATE"):
            ask(desk.url, f"GRANT {right} ON shop.orders TO PUBLIC")
            with pytest.raises(TableMismatch, match="PIPELINE_OWNER_URL") as caught:
                rotate(
                    replace(desk.outside, owner=url), Order(ORDERS, "x", "Eve"), lambda _line: None
                )
            assert "CUSTODIAN" not in str(caught.value)
    assert desk.audit() == []


def test_who_may_do_all_but_change_the_rows_is_told_before_anything_is_recorded(desk: Desk) -> None:
    desk.load(ANN)
    desk.keys.add_version()
    ask(desk.url, "GRANT SELECT, INSERT, UPDATE ON pipeline.vault TO custodian")
    with (
        member_of(desk.url, "custodian") as url,
        pytest.raises(TableMismatch, match="PIPELINE_OWNER_URL"),
    ):
        rotate(replace(desk.outside, owner=url), Order(ORDERS, "x", "Eve"), lambda _line: None)
    assert desk.audit() == []


def test_another_keyring_is_refused(desk: Desk, tmp_path: Path) -> None:
    desk.load(ANN)
    other = KeyFile(tmp_path / "other" / "keyring.json")
    other.load_or_make()
    with pytest.raises(KeyringError):
        rotated(replace(desk, outside=replace(desk.outside, keyring=other)))


def test_a_postgres_that_is_down_is_one_clear_error(desk: Desk) -> None:
    desk.load(ANN)
    url = f"postgresql://eve:{CANARY}@127.0.0.1:1/warehouse"
    with pytest.raises(WarehouseUnavailable) as caught:
        rotated(replace(desk, outside=replace(desk.outside, owner=url)))
    assert CANARY not in str(caught.value)
