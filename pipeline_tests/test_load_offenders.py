"""A row that the database refuses costs only itself, unless it is the table that refuses."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.consume.batch import Account
from pipeline.consume.load import settle
from pipeline.errors import TableMismatch
from pipeline_tests.load_case import (
    EXAMPLES,
    NOTHING,
    batch,
    counts,
    logins,
    prepared,
    users,
)
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import login, message


@pytest.fixture
def warehouse(warehouse_url: str) -> str:
    """A warehouse in which the table of `user_logins` is prepared."""
    return prepared(warehouse_url)


_REFUSING = {
    # The row that is there already must not keep the check from being made.
    "a check": "ALTER TABLE user_logins ADD CHECK (user_id <> 'taken') NOT VALID",
    "an index of the user's own": "CREATE UNIQUE INDEX mine ON user_logins (user_id)",
    "a constraint that is checked at the end": (
        "ALTER TABLE user_logins ADD UNIQUE (user_id) DEFERRABLE INITIALLY DEFERRED"
    ),
    "a trigger": """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.user_id = 'taken' THEN RAISE EXCEPTION 'no: %', NEW.user_id; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON user_logins
            FOR EACH ROW EXECUTE FUNCTION refuse()
    """,
    "a trigger that fires at the end": """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.user_id = 'taken' THEN RAISE EXCEPTION 'no: %', NEW.user_id; END IF;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON user_logins
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()
    """,
}


class TestOffenders:
    """One row that the database refuses costs only itself."""

    @pytest.mark.parametrize("ddl", _REFUSING.values(), ids=_REFUSING)
    def test_a_refused_row_is_found_and_its_neighbours_land(self, warehouse: str, ddl: str) -> None:
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

    def test_rows_that_are_refused_for_several_causes_are_bad_rows(self, warehouse: str) -> None:
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
