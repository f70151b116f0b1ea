"""A connection gives up in time, and what is told of a refusal holds no value."""

import time
from contextlib import closing

import psycopg
import pytest

from pipeline.errors import SettingsError, TableMismatch, WarehouseUnavailable
from pipeline.resources.postgres import Refusal, classify, connect, describe, translated
from pipeline_tests.outside_world import ask, silent_port, unused_port
from pipeline_tests.samples import CANARY


class TestConnecting:
    """To the warehouse of the settings."""

    def test_a_session_gives_up_waiting_and_keeps_utc(self, warehouse_url: str) -> None:
        """Faults 45 and 47."""
        settings = (
            "statement_timeout",
            "lock_timeout",
            "idle_in_transaction_session_timeout",
            "timezone",
            "application_name",
        )
        with closing(connect(warehouse_url)) as connection:
            found = [
                connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
                for name in settings
            ]
            parameters = connection.info.get_parameters()

        assert found == [("2min",), ("10s",), ("2min",), ("UTC",), ("pipeline",)]
        assert parameters["tcp_user_timeout"] == "15000"
        assert parameters["connect_timeout"] == "5"
        assert parameters["keepalives_idle"] == "5"

    def test_the_servers_own_defaults_weaken_nothing(self, warehouse_url: str) -> None:
        """What is promised of locks, commits and checks rests on these."""
        safe = {
            "transaction_isolation": "read committed",
            "synchronous_commit": "on",
            "datestyle": "ISO, MDY",
        }
        database = warehouse_url.rpartition("/")[2]
        for setting, value in (
            ("default_transaction_isolation", "repeatable read"),
            ("synchronous_commit", "off"),
            ("datestyle", "SQL, MDY"),
        ):
            ask(warehouse_url, f"ALTER DATABASE {database} SET {setting} = '{value}'")
        with closing(connect(warehouse_url)) as connection:
            for setting, value in safe.items():
                found = connection.execute("SELECT current_setting(%s)", (setting,)).fetchone()
                assert found == (value,)

    def test_what_the_url_says_for_itself_wins(self, warehouse_url: str) -> None:
        url = f"{warehouse_url}?application_name=mine&options=-c%20lock_timeout%3D3s"
        with closing(connect(url)) as connection:
            found = connection.execute(
                "SELECT current_setting('lock_timeout'), current_setting('statement_timeout'),"
                " current_setting('application_name')"
            ).fetchone()

        assert found == ("3s", "2min", "mine")

    @pytest.mark.parametrize(
        "url", [f"mysql://u:{CANARY}@h/d", CANARY, f"postgresql://u:{CANARY}@h:port:port/d?x=y"]
    )
    def test_what_is_no_url_is_refused_without_its_password(self, url: str) -> None:
        with pytest.raises(SettingsError, match="not a Postgres URL") as caught:
            connect(url)

        assert CANARY not in str(caught.value)
        assert caught.value.__suppress_context__

    def test_a_server_that_is_down_is_an_outage(self) -> None:
        """Fault 43."""
        with (
            unused_port() as port,
            pytest.raises(WarehouseUnavailable, match="not available") as caught,
        ):
            connect(f"postgresql://u:{CANARY}@127.0.0.1:{port}/d")

        assert CANARY not in str(caught.value)

    def test_a_wrong_password_is_not_told(self, warehouse_url: str) -> None:
        user, _, place = warehouse_url.rpartition("@")
        wrong = f"{user.rpartition(':')[0]}:{CANARY}@{place}"

        with pytest.raises(WarehouseUnavailable) as caught:
            connect(wrong)

        assert CANARY not in str(caught.value)

    def test_a_server_that_never_answers_is_given_up(self) -> None:
        """Fault 45."""
        started = time.monotonic()
        with silent_port() as port, pytest.raises(WarehouseUnavailable):
            connect(f"postgresql://u@127.0.0.1:{port}/d?connect_timeout=2")

        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("states", "refusal"),
    [
        ("40001 40P01", Refusal.CONTENDED),
        ("08006 25006 25P03 25P04 53100 53200 53300 55P03", Refusal.TRANSIENT),
        ("57014 57P01 57P03 58000 58030 58P01 72000", Refusal.TRANSIENT),
        ("21000 22001 22003 22P05 23503 23505 23P01 27000 2F002", Refusal.ROW),
        ("38000 39000 44000 54000 55000 P0001 P0002 P0004", Refusal.ROW),
        ("0A000 23502 23514 25P02 42501 42703 42804 42P01 XX000", Refusal.SYSTEMIC),
    ],
    ids=lambda value: value.name if isinstance(value, Refusal) else "",
)
def test_a_code_tells_whose_fault_it_is(states: str, refusal: Refusal) -> None:
    """Faults 46 to 52."""
    assert {state: classify(psycopg.errors.lookup(state)("")) for state in states.split()} == (
        dict.fromkeys(states.split(), refusal)
    )


@pytest.mark.parametrize(
    ("statement", "state", "refusal"),
    [
        ("INSERT INTO seen VALUES (3)", "23514", Refusal.ROW),
        ("INSERT INTO seen VALUES (2)", "23514", Refusal.SYSTEMIC),
        ("DO $$ BEGIN RAISE SQLSTATE '45000'; END $$", "45000", Refusal.ROW),
    ],
    ids=["a check", "a missing partition", "a state that Postgres does not know"],
)
def test_a_code_alone_does_not_always_tell(
    warehouse_url: str, statement: str, state: str, refusal: Refusal
) -> None:
    """Faults 51 and 52: a row that breaks a check, and one for which there is no partition."""
    ask(
        warehouse_url,
        "CREATE TABLE seen (value integer CHECK (value < 3)) PARTITION BY LIST (value);"
        "CREATE TABLE seen_once PARTITION OF seen FOR VALUES IN (1, 3)",
    )

    with pytest.raises(psycopg.Error) as caught:
        ask(warehouse_url, statement)

    assert caught.value.sqlstate == state
    assert classify(caught.value) is refusal


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (psycopg.OperationalError(), Refusal.TRANSIENT),
        (psycopg.InterfaceError(), Refusal.TRANSIENT),
        (psycopg.errors.ConnectionTimeout(), Refusal.TRANSIENT),
        (psycopg.ProgrammingError(), Refusal.SYSTEMIC),
        (psycopg.DataError(), Refusal.SYSTEMIC),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, psycopg.Error) else "",
)
def test_without_a_code_only_the_connection_is_to_blame(
    error: psycopg.Error, refusal: Refusal
) -> None:
    """Fault 48: a server that has no connection left says so without a code."""
    assert classify(error) is refusal


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "INSERT INTO seen VALUES (%(value)s)",
            "SQLSTATE 23505, table 'seen', constraint 'seen_once'",
        ),
        (
            "INSERT INTO seen SELECT %(value)s WHERE false UNION ALL SELECT NULL",
            "SQLSTATE 23502, table 'seen', column 'value'",
        ),
        ("SELECT %(value)s::text::integer", "SQLSTATE 22P02"),
        ("SELECT nowhere, %(value)s", "SQLSTATE 42703"),
    ],
)
def test_names_are_told_and_values_are_not(warehouse_url: str, statement: str, told: str) -> None:
    ask(warehouse_url, "CREATE TABLE seen (value text NOT NULL CONSTRAINT seen_once UNIQUE)")
    ask(warehouse_url, "INSERT INTO seen VALUES (%s)", CANARY)

    with closing(connect(warehouse_url)) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.encode(), {"value": CANARY})

    assert describe(caught.value) == told


def test_an_error_without_a_code_is_told_by_its_type() -> None:
    assert describe(psycopg.OperationalError(CANARY)) == "OperationalError"


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("40001", WarehouseUnavailable),
        ("53100", WarehouseUnavailable),
        ("23505", TableMismatch),
        ("42501", TableMismatch),
    ],
)
def test_the_drivers_errors_do_not_get_out(state: str, error: type[Exception]) -> None:
    with (
        pytest.raises(error, match=rf"SQLSTATE {state}.*'user_logins'") as caught,
        translated(feed="user_logins"),
    ):
        raise psycopg.errors.lookup(state)(CANARY)

    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__
