"""A batch that fails leaves nothing, and its error says who has to act."""

from collections import Counter
from typing import Final

import pytest

from pipeline.consume.batch import Account
from pipeline.consume.ports import MachineClock
from pipeline.errors import AccountError, TableMismatch, WarehouseUnavailable
from pipeline_tests.load_case import (
    NOTHING,
    batch,
    counts,
    logins,
    on_insert,
    prepared,
    settle,
)
from pipeline_tests.outside_world import ask, cut_at_commit, unused_port
from pipeline_tests.samples import CANARY, message

DOUBLED: Final = (0.1, 0.2, 0.4, 0.8)
"""Seconds before the second to the fifth attempt, without their jitter."""


class ImpatientClock(MachineClock):
    """A clock on which no pause takes any time."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
def warehouse(warehouse_url: str) -> str:
    """A warehouse in which the table of `user_logins` is prepared."""
    return prepared(warehouse_url)


class TestRefusals:
    """What the server says decides who has to act."""

    @pytest.mark.parametrize("state", ["55P03", "57014", "53100", "53300", "57P01", "25006"])
    def test_what_passes_by_itself_is_an_outage(self, warehouse: str, state: str) -> None:
        """Faults 47 and 49."""
        on_insert(warehouse, f"RAISE EXCEPTION '{CANARY}' USING ERRCODE = '{state}';")

        with pytest.raises(WarehouseUnavailable, match=state) as caught:
            settle(batch(logins(12)), warehouse)

        assert CANARY not in str(caught.value)
        assert caught.value.__cause__ is None
        assert counts(warehouse) == NOTHING

    def test_an_outage_is_no_fault_of_a_few_rows_either(self, warehouse: str) -> None:
        """Fault 49: so few that they would prove nothing against the table."""
        on_insert(warehouse, "RAISE EXCEPTION USING ERRCODE = '53100';")

        with pytest.raises(WarehouseUnavailable, match="53100"):
            settle(batch(logins(3)), warehouse)

        assert counts(warehouse) == NOTHING

    @pytest.mark.parametrize("state", ["42703", "42501", "42804", "23502", "XX000"])
    def test_what_a_person_must_mend_is_a_mismatch(self, warehouse: str, state: str) -> None:
        """Fault 51: nothing goes to the quarantine, not even what is broken itself."""
        on_insert(warehouse, f"RAISE EXCEPTION '{CANARY}' USING ERRCODE = '{state}';")

        with pytest.raises(TableMismatch, match=state) as caught:
            settle(batch([*logins(2), message("not JSON")]), warehouse)

        assert CANARY not in str(caught.value)
        assert caught.value.feed == "user_logins"
        assert counts(warehouse) == NOTHING

    @pytest.mark.parametrize(
        ("ddl", "state"),
        [
            ("ALTER TABLE user_logins DROP COLUMN locale", "42703"),
            ("ALTER TABLE user_logins ADD COLUMN new integer NOT NULL", "23502"),
            ("ALTER TABLE user_logins ALTER COLUMN locale TYPE integer USING NULL", "42804"),
            ("DROP TABLE user_logins", "42P01"),
            ("DROP TABLE pipeline.ledger", "42P01"),
            ("CREATE RULE r AS ON INSERT TO user_logins DO INSTEAD NOTHING", "0A000"),
        ],
    )
    def test_a_table_that_changes_after_the_check_stops_the_batch(
        self, warehouse: str, ddl: str, state: str
    ) -> None:
        """Fault 51."""
        ask(warehouse, ddl)

        with pytest.raises(TableMismatch, match=state):
            settle(batch(logins(3)), warehouse)

    def test_rows_that_vanish_without_an_error_undo_everything(self, warehouse: str) -> None:
        """Fault 54."""
        on_insert(warehouse, "IF NEW.user_id = 'user-3' THEN RETURN NULL; END IF; RETURN NEW;")

        with pytest.raises(AccountError, match="took 4 of 5 rows"):
            settle(batch([*logins(5), message("not JSON")]), warehouse)

        assert counts(warehouse) == NOTHING

    @pytest.mark.parametrize("table", ["pipeline.ledger", "pipeline.quarantine"])
    def test_entries_of_ours_that_vanish_undo_everything(self, warehouse: str, table: str) -> None:
        """Fault 54: they must not pass for duplicates."""
        on_insert(warehouse, "RETURN NULL;", table=table)

        with pytest.raises(AccountError, match="othing was committed"):
            settle(batch([*logins(2), message("not JSON")]), warehouse)

        assert counts(warehouse) == NOTHING


class TestTriedAgain:
    """A transaction that loses against another one is tried again as a whole."""

    @pytest.mark.parametrize("state", ["40001", "40P01"])
    def test_a_lost_transaction_passes_the_next_time(self, warehouse: str, state: str) -> None:
        """Fault 46. A sequence does not go back with its transaction: it can tell them apart."""
        ask(warehouse, "CREATE SEQUENCE tries; CREATE SEQUENCE lost")
        on_insert(
            warehouse,
            "IF nextval('tries') = 1 THEN PERFORM setval('lost', txid_current());"
            f" RAISE EXCEPTION 'lost' USING ERRCODE = '{state}'; END IF; RETURN NULL;",
            each="STATEMENT",
        )

        account = settle(batch([*logins(5), message("not JSON")]), warehouse)

        assert account == Account(received=6, loaded=5, quarantined=Counter(not_json=1))
        assert counts(warehouse) == {
            "user_logins": 5,
            "pipeline.ledger": 5,
            "pipeline.quarantine": 1,
            "pipeline.account": 1,
        }
        assert ask(warehouse, "SELECT last_value FROM tries") == [(2,)]
        [(whole,)] = ask(
            warehouse,
            "SELECT a.xmin::text::bigint <> last_value FROM pipeline.account a, lost",
        )
        assert whole

    def test_a_transaction_that_is_lost_at_its_commit_passes_the_next_time(
        self, warehouse: str
    ) -> None:
        """Fault 46, at the moment at which a serializable transaction meets it."""
        ask(warehouse, "CREATE SEQUENCE tries")
        on_insert(
            warehouse,
            "SET CONSTRAINTS ALL DEFERRED; RETURN NEW;",
            table="pipeline.account",
        )
        ask(
            warehouse,
            "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF nextval('tries') = 1 THEN RAISE EXCEPTION USING ERRCODE = '40001'; END IF;"
            " RETURN NULL; END $$;"
            "CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON pipeline.account"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lose()",
        )

        account = settle(batch(logins(5)), warehouse)

        assert account == Account(received=5, loaded=5)
        assert ask(warehouse, "SELECT last_value FROM tries") == [(2,)]
        assert counts(warehouse)["pipeline.account"] == 1

    def test_a_transaction_that_always_loses_is_given_up(self, warehouse: str) -> None:
        """Fault 46: after four pauses that double, each with a jitter of its own."""
        ask(warehouse, "CREATE SEQUENCE tries")
        on_insert(
            warehouse,
            "PERFORM nextval('tries'); RAISE EXCEPTION 'lost' USING ERRCODE = '40001';",
            each="STATEMENT",
        )

        clock = ImpatientClock()
        with pytest.raises(WarehouseUnavailable, match="40001"):
            settle(batch(logins(5)), warehouse, clock)

        assert ask(warehouse, "SELECT last_value FROM tries") == [(5,)]
        assert counts(warehouse) == NOTHING
        shares = [pause / doubled for pause, doubled in zip(clock.pauses, DOUBLED, strict=True)]
        assert all(0.5 <= share <= 1.5 for share in shares)
        assert len(set(shares)) == len(DOUBLED)  # or those that met would meet again


class TestBrokenConnections:
    """Where the answer is lost, the redelivery tells by the ledger."""

    def test_a_warehouse_that_is_down_is_an_outage(self) -> None:
        """Fault 43."""
        with unused_port() as port, pytest.raises(WarehouseUnavailable):
            settle(batch(logins(1)), f"postgresql://u:secret@127.0.0.1:{port}/d")

    def test_a_connection_that_is_killed_leaves_nothing(self, warehouse: str) -> None:
        """Fault 43."""
        on_insert(
            warehouse,
            "IF NEW.user_id = 'user-3' THEN PERFORM pg_terminate_backend(pg_backend_pid());"
            " END IF; RETURN NEW;",
        )

        with pytest.raises(WarehouseUnavailable):
            settle(batch([*logins(5), message("not JSON")]), warehouse)

        assert counts(warehouse) == NOTHING

    @pytest.mark.parametrize(
        ("delivered", "again"),
        [
            (True, Account(received=6, duplicate=6)),
            (False, Account(received=6, loaded=5, quarantined=Counter(not_json=1))),
        ],
        ids=["the answer is lost", "the request is lost"],
    )
    def test_a_lost_commit_is_settled_by_the_redelivery(
        self, warehouse: str, *, delivered: bool, again: Account
    ) -> None:
        """Fault 44."""
        messages = [*logins(5), message("not JSON", event_id="bad")]

        with (
            cut_at_commit(warehouse, delivered=delivered) as cut,
            pytest.raises(WarehouseUnavailable),
        ):
            settle(batch(messages), cut)

        assert settle(batch(messages), warehouse) == again
        assert counts(warehouse) == {
            "user_logins": 5,
            "pipeline.ledger": 5,
            "pipeline.quarantine": 1,
            "pipeline.account": 2 if delivered else 1,
        }
