"""What is old goes, what is younger never does, whatever is asked: on both sides of each bound."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import dagster as dg
import psycopg
import pytest
from dagster._core.test_utils import freeze_time

from pipeline.errors import SettingsError, WarehouseError, WarehouseUnavailable
from pipeline.feeds.user_logins import FEED
from pipeline.operate.retention.history import History
from pipeline.operate.retention.portions import Pruned
from pipeline.operate.retention.retain import retain
from pipeline.operate.retention.settings import LEDGER_FLOOR, Retention
from pipeline.operate.retention.tables import prune_tables
from pipeline.warehouse.migrate import migrate
from pipeline_tests.access_case import member_of
from pipeline_tests.alert_case import run
from pipeline_tests.load_case import batch, logins, settle, users
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import message

MOMENTS: Final = {
    "ledger": "settled_at",
    "quarantine": "quarantined_at",
    "quarantine_left": "left_at",
    "account": "committed_at",
    "audit": "at",
}
FLOORS: Final = {
    "ledger": 28,
    "quarantine": 28,
    "quarantine_left": 90,
    "account": 90,
    "audit": 1_096,
}
ROWS: Final = {
    "ledger": "(feed, key, content) VALUES ('f', sha256(random()::text::bytea), '')",
    "quarantine": "(feed, key, message_id, reason, receive_count, sent_at, body_sealed)"
    " VALUES ('f', sha256(random()::text::bytea), '', '', 1, now(), '')",
    "quarantine_left": "(feed, key, quarantined_at, how) VALUES ('f', '', now(), 'purged')",
    "account": "(batch_id, feed, run_id, received, loaded, duplicate, quarantined)"
    " VALUES (gen_random_uuid(), 'f', '', 0, 0, 0, 0)",
    "audit": "(request, stated_by, action, feed, field, reason)"
    " VALUES (gen_random_uuid(), '', 'unmask', '', '', '')",
}
DEFAULTS: Final = Retention()
KEPT: Final = {
    "ledger": 35,
    "quarantine": 90,
    "quarantine_left": 366,
    "account": 366,
    "audit": 1_096,
}
A_MINUTE: Final = timedelta(minutes=1)


@pytest.fixture
def warehouse(warehouse_url: str) -> str:
    migrate(warehouse_url, [FEED])
    return warehouse_url


@pytest.fixture
def loader(warehouse: str) -> Iterator[str]:
    """The warehouse, with the log-in that the scheduled run has."""
    with member_of(warehouse, "loader") as url:
        yield url


def put(url: str, table: str, ages: Sequence[timedelta]) -> None:
    """A row of each age."""
    columns, _, values = ROWS[table].partition(" VALUES ")
    for age in ages:
        ask(
            url,
            f"INSERT INTO pipeline.{table} {columns[:-1]}, {MOMENTS[table]})"
            f" VALUES {values[:-1]}, now() - %s)",
            age,
        )


def left(url: str, table: str) -> int:
    ((count,),) = ask(url, f"SELECT count(*) FROM pipeline.{table}")
    assert isinstance(count, int)
    return count


def prune(url: str, retention: Retention = DEFAULTS, portion: int = 10_000) -> dict[str, int]:
    """How many rows went from each table, of which any did."""
    until = time.monotonic() + 60
    done = prune_tables(url, retention, until=until, tell=lambda _: None, portion=portion)
    for each in done:
        if each.error is not None:
            raise each.error
    assert all(each.finished for each in done)
    return {each.what: each.gone for each in done if each.gone}


@pytest.mark.parametrize("table", MOMENTS)
def test_what_is_older_than_its_days_goes_and_nothing_younger(
    warehouse: str, loader: str, table: str
) -> None:
    days = timedelta(days=KEPT[table])
    put(warehouse, table, [days + A_MINUTE, days - A_MINUTE, timedelta()])

    assert prune(loader) == {table: 1}

    recorded = {"audit": 1}.get(table, 0)
    assert left(warehouse, table) == 2 + recorded
    assert prune(loader) == {}


@pytest.mark.parametrize("table", MOMENTS)
def test_the_database_refuses_less_than_the_floor(warehouse: str, loader: str, table: str) -> None:
    """Whatever the settings are, and whoever asks."""
    floor = FLOORS[table]
    put(warehouse, table, [timedelta(days=40_000), timedelta(days=floor) - A_MINUTE])
    statement = "SELECT gone FROM pipeline.prune(%s, %s, %s, 10)"
    for url in (loader, warehouse):
        for asked in (floor - 1, 0, -1, None, 36_501):
            with pytest.raises(psycopg.Error) as caught:
                ask(url, statement, table, asked, None)
            assert caught.value.sqlstate == "PP020"
    assert ask(loader, statement, table, floor, "infinity") == [(0,)]
    assert ask(loader, statement, table, floor, None) == [(1,)]


def test_what_is_not_kept_for_a_time_is_not_pruned(loader: str) -> None:
    for table in ("vault", "forgotten", "keyring", "fetch", "idempotency", "ledger; --", None):
        with pytest.raises(psycopg.Error) as caught:
            ask(loader, "SELECT * FROM pipeline.prune(%s, 4000, NULL, 10)", table)
        assert caught.value.sqlstate == "PP020"


def test_a_setting_below_the_floor_gets_past_nobody(warehouse: str, loader: str) -> None:
    put(warehouse, "ledger", [timedelta(days=40_000), timedelta(days=10)])
    with pytest.raises(SettingsError, match="what is in ledger is kept for at least 28 days"):
        prune(loader, replace(DEFAULTS, ledger_days=LEDGER_FLOOR - 1))
    assert left(warehouse, "ledger") == 2


@pytest.mark.parametrize(("day", "loaded"), [(27, 0), (34, 0), (36, 1)])
def test_a_redelivery_is_a_duplicate_for_as_long_as_there_can_be_one(
    warehouse: str, loader: str, day: int, loaded: int
) -> None:
    """Fault 53: 14 days on the source queue and 14 on its dead-letter queue are 28."""
    settle(batch(logins(3)), loader)
    ask(warehouse, "UPDATE pipeline.ledger SET settled_at = now() - %s", timedelta(days=day))
    prune(loader)

    again = settle(batch(logins(1)), loader)

    assert (again.loaded, again.duplicate) == (loaded, 1 - loaded)
    assert len(users(warehouse)) == 3 + loaded


def test_at_the_floor_a_redelivery_at_day_27_is_a_duplicate_too(
    warehouse: str, loader: str
) -> None:
    settle(batch(logins(1)), loader)
    ask(warehouse, "UPDATE pipeline.ledger SET settled_at = now() - interval '27 days 23:59'")
    assert prune(loader, replace(DEFAULTS, ledger_days=LEDGER_FLOOR)) == {}
    assert settle(batch(logins(1)), loader).duplicate == 1


def test_a_message_that_expires_in_the_quarantine_leaves_a_note(
    warehouse: str, loader: str
) -> None:
    """So that the account of its batch adds up."""
    settle(batch([message("no JSON", event_id="event-1")]), loader)
    ask(warehouse, "UPDATE pipeline.quarantine SET quarantined_at = now() - interval '91 days'")
    ((key, at),) = ask(warehouse, "SELECT key, quarantined_at FROM pipeline.quarantine")

    assert prune(loader) == {"quarantine": 1}

    noted = "SELECT feed, key, quarantined_at, how FROM pipeline.quarantine_left"
    assert ask(warehouse, noted) == [(FEED.name, key, at, "expired")]


def test_the_audit_says_what_left_it(warehouse: str, loader: str) -> None:
    put(warehouse, "audit", [timedelta(days=1_200), timedelta(days=1_100), timedelta(days=1)])
    assert prune(loader) == {"audit": 2}
    ((feed, reason, stated_by, detail, user),) = ask(
        warehouse,
        "SELECT feed, reason, stated_by, detail, db_user FROM pipeline.audit"
        " WHERE action = 'prune'",
    )
    assert (feed, reason, stated_by) == ("", "kept for 1096 days", "the job retention")
    assert detail.startswith("2 records until 20")
    assert user.startswith("somebody_")


@pytest.mark.parametrize("replication", ["origin", "replica"])
def test_the_audit_is_only_added_to_within_its_days_and_left_by_the_function(
    warehouse: str, replication: str
) -> None:
    put(warehouse, "audit", [timedelta(days=1_500), timedelta(days=1_096) - A_MINUTE])
    for statement in (
        "DELETE FROM pipeline.audit",
        "DELETE FROM pipeline.audit WHERE at < now() - interval '4 years'",
        "SET pipeline.pruning = 'audit'; DELETE FROM pipeline.audit",
        "SET pipeline.pruning = 'audit'; TRUNCATE pipeline.audit",
        "SET pipeline.pruning = 'audit'; UPDATE pipeline.audit SET reason = 'another'",
    ):
        with pytest.raises(psycopg.Error) as caught:
            ask(warehouse, f"SET session_replication_role = {replication}; {statement}")
        assert caught.value.sqlstate == "PP001"
    assert left(warehouse, "audit") == 2


def test_after_the_function_the_audit_is_as_closed_as_before(warehouse: str) -> None:
    put(warehouse, "audit", [timedelta(days=1_500)] * 2)
    with psycopg.connect(warehouse) as owner:
        owner.execute("SELECT * FROM pipeline.prune('audit', 1096, NULL, 1)")
        with pytest.raises(psycopg.Error) as caught:
            owner.execute("DELETE FROM pipeline.audit WHERE at < now() - interval '4 years'")
    assert caught.value.sqlstate == "PP001"


def test_many_go_in_portions_each_of_which_commits(warehouse: str, loader: str) -> None:
    rows = "SELECT 'f', sha256(n::text::bytea), '', now() - (40 + n % 7) * interval '1 day'"
    ask(warehouse, f"INSERT INTO pipeline.ledger {rows} FROM generate_series(1, 2500) n")
    put(warehouse, "ledger", [timedelta(days=1)] * 3)
    with psycopg.connect(loader) as connection:
        statement = "SELECT gone FROM pipeline.prune('ledger', 35, NULL, 1000)"
        assert connection.execute(statement).fetchone() == (1000,)
    assert left(warehouse, "ledger") == 1503
    assert prune(loader, portion=100) == {"ledger": 1500}
    assert left(warehouse, "ledger") == 3


def test_each_portion_has_committed_before_the_next_one_begins(warehouse: str, loader: str) -> None:
    """The third one fails; what the first two have deleted is gone, and locked no more."""
    put(warehouse, "ledger", [timedelta(days=40)] * 5)
    ask(
        warehouse,
        "CREATE SEQUENCE public.portions;"
        "CREATE FUNCTION public.fill_the_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('public.portions') = 3 THEN RAISE EXCEPTION USING ERRCODE = '53100'; END IF;"
        " RETURN NULL; END $$;"
        "CREATE TRIGGER fill_the_disk AFTER DELETE ON pipeline.ledger"
        " FOR EACH STATEMENT EXECUTE FUNCTION public.fill_the_disk()",
    )
    with pytest.raises(WarehouseUnavailable, match="53100"):
        prune(loader, portion=1)
    assert left(warehouse, "ledger") == 3


def test_when_the_time_is_over_the_rest_is_the_next_ones(warehouse: str, loader: str) -> None:
    put(warehouse, "ledger", [timedelta(days=40)] * 3)
    done = prune_tables(loader, DEFAULTS, until=time.monotonic(), tell=lambda _: None)
    assert done[-1] == Pruned("ledger", 0, finished=False)
    assert str(done[-1]) == "ledger: 0 deleted, and more are left"
    assert prune(loader) == {"ledger": 3}


def test_two_at_once_neither_wait_for_each_other_nor_delete_twice(
    warehouse: str, loader: str
) -> None:
    rows = "SELECT 'f', sha256(n::text::bytea), '', now() - interval '40 days'"
    ask(warehouse, f"INSERT INTO pipeline.ledger {rows} FROM generate_series(1, 400) n")
    together = threading.Barrier(2, timeout=20)

    def work(_: int) -> int:
        together.wait()
        return prune(loader, portion=20).get("ledger", 0)

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(work, range(2))) == 400


def test_what_another_holds_is_left_for_the_next_time(warehouse: str, loader: str) -> None:
    put(warehouse, "quarantine", [timedelta(days=100)] * 2)
    with psycopg.connect(warehouse) as holder:
        holder.execute("SELECT FROM pipeline.quarantine LIMIT 1 FOR UPDATE")
        assert prune(loader) == {"quarantine": 1}
    assert prune(loader) == {"quarantine": 1}


def test_clocks_that_differ_stop_it(warehouse: str, loader: str) -> None:
    """Fault 71: to a clock that has jumped ahead everything is old."""
    put(warehouse, "ledger", [timedelta(days=40)])
    # In place of the database's own clock, which cannot be set.
    ask(
        warehouse,
        "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql"
        " RETURN pg_catalog.now() + interval '2 hours'",
    )
    ahead = f"{loader}?options=-c%20search_path%3Dpublic,pg_catalog"
    with pytest.raises(SettingsError, match="differ by more than an hour"):
        prune(ahead)
    assert left(warehouse, "ledger") == 1


REFUSE: Final = (
    "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " RAISE EXCEPTION USING ERRCODE = '55000'; END $$;"
    "CREATE TRIGGER refuse BEFORE DELETE ON pipeline.{}"
    " FOR EACH STATEMENT EXECUTE FUNCTION public.refuse()"
)


def test_one_table_that_fails_keeps_no_other_from_its_turn(
    warehouse: str, loader: str, home: Path
) -> None:
    """Nor Dagster's history; the first error is told at the end."""
    put(warehouse, "quarantine", [timedelta(days=100)])
    put(warehouse, "ledger", [timedelta(days=40)])
    ask(warehouse, REFUSE.format("quarantine"))
    lines: list[str] = []
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        with freeze_time(datetime.now(UTC) - timedelta(days=40)):
            run(instance, "ingest_user_logins")
        history = History(instance, None, {"ingest_user_logins"})
        with pytest.raises(WarehouseError, match="55000"):
            retain(loader, DEFAULTS, history, lines.append)
        assert instance.get_run_ids() == []
    assert (left(warehouse, "quarantine"), left(warehouse, "ledger")) == (1, 0)
    assert lines[0].startswith("quarantine: 0 deleted, E_TABLE_MISMATCH")
    assert lines[-2:] == ["ledger: 1 deleted", "runs: 1 deleted"]


def test_bodies_go_in_small_portions(warehouse: str, loader: str) -> None:
    """One has a megabyte at most: ten thousand would fill the disk with write-ahead log."""
    put(warehouse, "quarantine", [timedelta(days=100)] * 150)
    ask(
        warehouse,
        "CREATE TABLE public.portions AS SELECT 0::bigint AS rows;"
        "CREATE FUNCTION public.count_them() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO public.portions SELECT count(*) FROM gone; RETURN NULL; END $$;"
        "CREATE TRIGGER count_them AFTER DELETE ON pipeline.quarantine"
        " REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.count_them()",
    )
    assert prune(loader) == {"quarantine": 150}
    portions = ask(warehouse, "SELECT rows FROM public.portions WHERE rows > 0 ORDER BY rows")
    assert portions == [(50,), (100,)]
