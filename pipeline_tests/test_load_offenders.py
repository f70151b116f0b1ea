"""A row that the database refuses costs only itself, unless it is the table that refuses."""

from collections import Counter
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.consume.batch import Account
from pipeline.errors import TableMismatch
from pipeline.messages import Message
from pipeline_tests.load_case import (
    EXAMPLES,
    NOTHING,
    batch,
    counts,
    logins,
    on_insert,
    prepared,
    settle,
    users,
)
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import login, message


@pytest.fixture
def warehouse(warehouse_url: str) -> str:
    """A warehouse in which the table of `user_logins` is prepared."""
    return prepared(warehouse_url)


STRICT: Final = "ALTER TABLE user_logins ADD CONSTRAINT strict CHECK (locale <> 'XX')"

_REFUSING = {
    # The row that is there already must not keep the check from being made.
    "a check": (
        "ALTER TABLE user_logins ADD CHECK (user_id <> 'taken') NOT VALID",
        "23514, table 'user_logins', constraint 'user_logins_user_id_check'",
    ),
    "an index of the user's own": (
        "CREATE UNIQUE INDEX mine ON user_logins (user_id)",
        "23505, table 'user_logins', constraint 'mine'",
    ),
    "a constraint that is checked at the end": (
        "ALTER TABLE user_logins ADD UNIQUE (user_id) DEFERRABLE INITIALLY DEFERRED",
        "23505, table 'user_logins', constraint 'user_logins_user_id_key'",
    ),
    "a trigger": (
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.user_id = 'taken' THEN RAISE EXCEPTION 'no: %', NEW.user_id; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON user_logins
            FOR EACH ROW EXECUTE FUNCTION refuse()
        """,
        "P0001",
    ),
    "a trigger that fires at the end": (
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.user_id = 'taken' THEN RAISE EXCEPTION 'no: %', NEW.user_id; END IF;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON user_logins
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()
        """,
        "P0001",
    ),
}


def mixed(good: int, bad: int) -> tuple[list[Message], list[Message]]:
    """Logins that the table takes, and others that `STRICT` refuses."""
    refused = [message(login(locale="XX"), event_id=f"refused-{place}") for place in range(bad)]
    return logins(good), refused


class TestOffenders:
    """One row that the database refuses costs only itself."""

    @pytest.mark.parametrize(("ddl", "told"), _REFUSING.values(), ids=_REFUSING)
    def test_a_refused_row_is_found_and_its_neighbours_land(
        self, warehouse: str, caplog: pytest.LogCaptureFixture, *, ddl: str, told: str
    ) -> None:
        """Faults 15 and 52."""
        ask(warehouse, "INSERT INTO user_logins (user_id) VALUES ('taken')")
        ask(warehouse, ddl)
        bad = message(login(user_id="taken"), event_id="bad")

        account = settle(batch([*logins(20), bad, *logins(40)[20:]]), warehouse)

        assert account == Account(
            received=41, loaded=40, quarantined=Counter(refused_by_database=1)
        )
        assert len(set(users(warehouse))) == 41
        assert ask(warehouse, "SELECT message_id FROM pipeline.quarantine") == [(bad.message_id,)]
        assert counts(warehouse)["pipeline.ledger"] == 40
        assert [each.getMessage() for each in caplog.records] == [
            f"1 rows refused by table user_logins: SQLSTATE {told}"
        ]

    @given(bad=st.sets(st.integers(0, 8)))
    @EXAMPLES
    def test_any_few_refused_rows_are_found(self, warehouse: str, bad: set[int]) -> None:
        ask(
            warehouse,
            "TRUNCATE user_logins, pipeline.ledger, pipeline.quarantine;"
            "ALTER TABLE user_logins DROP CONSTRAINT IF EXISTS mine;"
            "ALTER TABLE user_logins ADD CONSTRAINT mine CHECK (device_type <> 'bad')",
        )
        kinds = ["bad" if place in bad else "good" for place in range(9)]
        messages = [
            message(login(user_id=f"user-{place}", device_type=kind), event_id=f"event-{place}")
            for place, kind in enumerate(kinds)
        ]

        account = settle(batch(messages), warehouse)

        assert account.loaded == 9 - len(bad)
        assert account.quarantined == Counter({"refused_by_database": len(bad)})
        assert users(warehouse) == [f"user-{n}" for n in range(9) if n not in bad]
        quarantined = ask(warehouse, "SELECT message_id FROM pipeline.quarantine")
        assert {name for (name,) in quarantined} == {messages[n].message_id for n in bad}

    def test_a_refused_row_may_come_again(self, warehouse: str) -> None:
        ask(warehouse, "ALTER TABLE user_logins ADD CHECK (device_type <> 'bad')")
        bad = message(login(device_type="bad"), event_id="bad")
        settle(batch([bad, *logins(2)]), warehouse)

        account = settle(batch([bad, *logins(2)]), warehouse)

        assert account == Account(received=3, duplicate=3)

    @pytest.mark.parametrize("count", [10, 25])
    def test_rows_that_are_refused_one_after_the_other_are_the_tables_fault(
        self, warehouse: str, count: int
    ) -> None:
        """Fault 51."""
        ask(warehouse, "ALTER TABLE user_logins ADD CONSTRAINT never CHECK (user_id IS NULL)")

        with pytest.raises(TableMismatch, match=r"SQLSTATE 23514.*'never'"):
            settle(batch([*logins(count), message("not JSON")]), warehouse)

        assert counts(warehouse) == NOTHING

    def test_nine_refused_rows_are_nine_bad_rows(self, warehouse: str) -> None:
        ask(warehouse, "ALTER TABLE user_logins ADD CHECK (user_id IS NULL)")

        account = settle(batch(logins(9)), warehouse)

        assert account.quarantined == Counter(refused_by_database=9)

    def test_rows_that_are_refused_for_several_causes_are_bad_rows(
        self, warehouse: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Fault 52: each cause is told, once."""
        ask(
            warehouse,
            "ALTER TABLE user_logins ADD CHECK (device_type <> 'a'), ADD CHECK (locale <> 'b')",
        )
        messages = [
            message(login(device_type="a", locale="c") if n % 2 else login(locale="b"))
            for n in range(40)
        ]

        account = settle(batch(messages), warehouse)

        assert account.quarantined == Counter(refused_by_database=40)
        constraints = ("user_logins_device_type_check", "user_logins_locale_check")
        assert sorted(each.getMessage() for each in caplog.records) == [
            "20 rows refused by table user_logins:"
            f" SQLSTATE 23514, table 'user_logins', constraint {name!r}"
            for name in constraints
        ]

    @pytest.mark.parametrize("state", ["45000", "P0002", "21000", "55000"])
    def test_what_a_trigger_says_of_one_row_costs_only_that_row(
        self, warehouse: str, state: str
    ) -> None:
        """Fault 52: whatever the words in which it refuses."""
        on_insert(
            warehouse,
            f"IF NEW.user_id = 'user-3' THEN RAISE SQLSTATE '{state}'; END IF; RETURN NEW;",
        )

        account = settle(batch(logins(20)), warehouse)

        assert account == Account(
            received=20, loaded=19, quarantined=Counter(refused_by_database=1)
        )
        assert "user-3" not in users(warehouse)

    def test_a_partition_that_is_missing_is_the_tables_fault(self, warehouse: str) -> None:
        """Fault 51: it refuses some rows only, and yet nothing is wrong with these."""
        ask(
            warehouse,
            "CREATE TABLE parts (LIKE user_logins) PARTITION BY LIST (locale);"
            "CREATE TABLE part PARTITION OF parts FOR VALUES IN ('RU');"
            "DROP TABLE user_logins; ALTER TABLE parts RENAME TO user_logins",
        )
        good, bad = mixed(20, 3)
        settle(batch(good[:10]), warehouse)
        before = counts(warehouse)

        with pytest.raises(TableMismatch, match="SQLSTATE 23514"):
            settle(batch([*good, *bad]), warehouse)

        assert counts(warehouse) == before


class TestBlame:
    """Whether it is the rows or the table is told by all rows, not by those that are new."""

    @pytest.fixture
    def strict(self, warehouse: str) -> str:
        """A warehouse whose table refuses one locale."""
        ask(warehouse, STRICT)
        return warehouse

    def test_a_batch_that_comes_again_is_all_duplicates(self, strict: str) -> None:
        """Fault 10: its acknowledgement was lost."""
        good, bad = mixed(88, 12)

        first = settle(batch([*good, *bad]), strict)
        again = settle(batch([*good, *bad]), strict)

        assert first == Account(
            received=100, loaded=88, quarantined=Counter(refused_by_database=12)
        )
        assert again == Account(received=100, duplicate=100)

    def test_refused_rows_that_come_again_by_themselves_are_duplicates(self, strict: str) -> None:
        """Fault 10."""
        good, bad = mixed(88, 12)
        settle(batch([*good, *bad]), strict)

        assert settle(batch(bad), strict) == Account(received=12, duplicate=12)

    def test_new_refusals_among_known_rows_are_bad_rows(self, strict: str) -> None:
        """Fault 10: the table takes the others still, even if it has them already."""
        good, bad = mixed(20, 12)
        settle(batch(good), strict)

        assert settle(batch([*good, *bad]), strict) == Account(
            received=32, duplicate=20, quarantined=Counter(refused_by_database=12)
        )

    def test_a_few_good_rows_after_many_bad_ones_are_loaded(self, strict: str) -> None:
        entries = sorted(batch(logins(50)).batch.entries, key=lambda entry: entry.key)
        ids = [entry.message.event_id for entry in entries]  # as the load comes to them
        bad = [message(login(locale="XX"), event_id=name) for name in ids[:45]]
        good = [message(login(), event_id=name) for name in ids[45:]]

        assert settle(batch([*bad, *good]), strict) == Account(
            received=50, loaded=5, quarantined=Counter(refused_by_database=45)
        )

    def test_a_great_many_rows_are_not_refused_to_the_last(self, strict: str) -> None:
        """Fault 51: to isolate each of thousands would take minutes."""
        _, bad = mixed(0, 150)
        ask(strict, "CREATE SEQUENCE tried")
        on_insert(strict, "PERFORM nextval('tried'); RETURN NEW;", each="STATEMENT")

        with pytest.raises(TableMismatch, match=r"SQLSTATE 23514.*'strict'"):
            settle(batch(bad), strict)

        assert counts(strict) == NOTHING
        assert ask(strict, "SELECT last_value < 2 * 110 FROM tried") == [(True,)]

    @pytest.mark.parametrize("new", [9, 10])
    def test_only_new_refusals_prove_something(self, strict: str, new: int) -> None:
        """Faults 10 and 51."""
        _, bad = mixed(0, 9 + new)
        settle(batch(bad[:9]), strict)
        before = counts(strict)

        if new == 9:
            assert settle(batch(bad), strict) == Account(
                received=18, duplicate=9, quarantined=Counter(refused_by_database=9)
            )
        else:
            with pytest.raises(TableMismatch):
                settle(batch(bad), strict)
            assert counts(strict) == before
