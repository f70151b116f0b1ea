"""Faults between a load and its server: silence, lost races, other tables, other contracts."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from chaos.proxy import PostgresProxy
from pipeline.consume import stages
from pipeline.consume.batch import Account
from pipeline.contract import Feed
from pipeline.errors import AccountError, TableMismatch, WarehouseUnavailable
from pipeline.feeds.user_logins import FEED
from pipeline.masking.policies import Pseudonymize
from pipeline.resources import postgres
from pipeline.resources.bounded import BoundedConnection
from pipeline_tests.delivery_case import Delivery
from pipeline_tests.load_case import NOTHING, batch, counts, logins, on_insert, prepared, settle
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import eventually, message
from pipeline_tests.world import lock

_OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pipeline'"
_HELD = f"{_OURS} AND datname = current_database()"
_WAITS = f"{_HELD} AND wait_event_type = 'Lock'"


@pytest.fixture
def warehouse(warehouse_url: str) -> str:
    """A warehouse in which the table of `user_logins` is prepared."""
    return prepared(warehouse_url)


@pytest.fixture
def proxy(warehouse: str) -> Iterator[PostgresProxy]:
    """A proxy before the warehouse."""
    parts = conninfo_to_dict(warehouse)
    proxy = PostgresProxy(lambda: (str(parts["host"]), int(str(parts["port"]))))
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def through(proxy: PostgresProxy, warehouse: str) -> str:
    """The URL of the warehouse that leads through the proxy."""
    return make_conninfo(warehouse, port=proxy.port, host="127.0.0.1")


class TestSilence:
    """A peer that is gone, of which nobody is told, while every byte is still confirmed."""

    def test_a_load_that_hears_nothing_any_more_is_given_up(
        self,
        proxy: PostgresProxy,
        through: str,
        warehouse: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Fault 45: within the transaction; the next one has a connection of its own."""
        monkeypatch.setattr(BoundedConnection, "patience", 1.0)
        with psycopg.connect(warehouse) as blocker, ThreadPoolExecutor(1) as other:
            lock(blocker, "pipeline.account")
            running = other.submit(settle, batch(logins(5)), through)
            eventually(lambda: ask(warehouse, _WAITS) == [(1,)])
            proxy.go_silent()
            try:
                with pytest.raises(WarehouseUnavailable, match="not available"):
                    running.result(timeout=10)
            finally:
                proxy.speak()  # which ends what waits still
        eventually(lambda: ask(warehouse, _OURS) == [(0,)])
        assert settle(batch(logins(5)), through).received == 5
        assert counts(warehouse)["user_logins"] == 5

    def test_a_server_that_lost_its_client_keeps_nothing_and_blocks_nobody(
        self,
        proxy: PostgresProxy,
        through: str,
        warehouse: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Fault 45: half open, the server has given up and the client does not know."""
        monkeypatch.setattr(BoundedConnection, "patience", 1.0)
        with closing(postgres.connect(through)) as connection:
            lock(connection, "user_logins")
            proxy.half_open()
            assert settle(batch(logins(5)), warehouse).loaded == 5
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
            assert connection.closed

    def test_a_wait_ends_and_a_lively_one_goes_on(self, warehouse: str) -> None:
        """Fault 45: only silence counts, one wait at a time."""
        with closing(postgres.connect(warehouse)) as connection:
            assert 120 < connection.patience < 180  # the server's own limit is 120 s
            connection.patience = 0.5
            for _ in range(3):
                connection.execute("SELECT pg_sleep(0.3)")
            started = time.monotonic()
            with pytest.raises(psycopg.OperationalError, match="no answer"):
                connection.execute("SELECT pg_sleep(60)")
            assert time.monotonic() - started < 5
        longer = f"{warehouse}?options=-c%20statement_timeout%3D1h"
        with closing(postgres.connect(longer)) as connection:
            assert connection.patience > 3_600


def test_a_run_holds_no_session_between_two_stages(way: Delivery) -> None:
    """Fault 48: what is received or acknowledged meanwhile takes a minute, and no session."""
    way.send(10)

    hand = way.extract()
    eventually(lambda: way.rows(_HELD) == [(0,)])
    hand = way.load(hand)
    eventually(lambda: way.rows(_HELD) == [(0,)])

    assert stages.acknowledge(hand) == 0


def test_a_serializable_load_that_loses_finds_what_the_winner_has_done(warehouse: str) -> None:
    """Fault 46: a real 40001, of a server whose transactions are serializable by the URL."""
    serializable = f"{warehouse}?options=-c%20default_transaction_isolation%3Dserializable"
    load = batch(logins(5))
    first = load.batch.entries[0]
    with psycopg.connect(warehouse) as winner, ThreadPoolExecutor(1) as other:
        winner.execute(
            "INSERT INTO pipeline.ledger (feed, key, content) VALUES ('user_logins', %s, %s)",
            (first.key, first.content),
        )
        running = other.submit(settle, load, serializable)
        eventually(lambda: ask(warehouse, _WAITS) == [(1,)])
        winner.commit()
        assert running.result(timeout=20) == Account(received=5, loaded=4, duplicate=1)
    assert counts(warehouse)["pipeline.ledger"] == 5


def test_a_real_deadlock_is_tried_again_as_a_whole(warehouse: str) -> None:
    """Fault 46: a real 40P01, of which the load is the victim."""
    hasty = f"{warehouse}?options=-c%20deadlock_timeout%3D2s"
    with psycopg.connect(warehouse) as rival, ThreadPoolExecutor(1) as other:
        rival.execute("SET deadlock_timeout = '1min'")
        lock(rival, "pipeline.account")
        running = other.submit(settle, batch(logins(5)), hasty)
        eventually(lambda: ask(warehouse, _WAITS) == [(1,)])
        # Waits for the load's rows, as the load waits for this lock.
        rival.execute("LOCK TABLE user_logins IN SHARE MODE")
        rival.rollback()
        assert running.result(timeout=20) == Account(received=5, loaded=5)
    assert counts(warehouse)["user_logins"] == 5


def test_tables_of_the_same_names_elsewhere_take_nothing(warehouse: str) -> None:
    """Fault 55: also under the names of our own tables, and of the temporary ones."""
    names = ("user_logins", "ledger", "quarantine", "account", "incoming", "refused")
    database = warehouse.rpartition("/")[2]
    made = ";".join(f"CREATE TABLE other.{name} (wrong integer)" for name in names)
    ask(warehouse, f"CREATE SCHEMA other; {made}")
    ask(warehouse, f"ALTER DATABASE {database} SET search_path TO other, public, pipeline")

    settle(batch([*logins(5), message("not JSON")]), warehouse)

    assert ask(warehouse, "SELECT count(*) FROM public.user_logins") == [(5,)]
    for name in names:
        assert ask(warehouse, f"SELECT count(*) FROM other.{name}") == [(0,)]


class TestTransactions:
    """Each attempt has a connection and a transaction of its own."""

    def test_nobody_sees_half_a_batch(self, warehouse: str) -> None:
        """Fault 56: nothing is committed by the way, up to the last statement."""
        with psycopg.connect(warehouse) as blocker, ThreadPoolExecutor(1) as other:
            lock(blocker, "pipeline.account")
            running = other.submit(settle, batch([*logins(5), message("not JSON")]), warehouse)
            eventually(lambda: ask(warehouse, _WAITS) == [(1,)])
            seen = ask(
                warehouse,
                "SELECT (SELECT count(*) FROM user_logins), (SELECT count(*) FROM"
                " pipeline.ledger), (SELECT count(*) FROM pipeline.quarantine)",
            )
            blocker.rollback()
            running.result(timeout=20)
        assert seen == [(0, 0, 0)]
        assert counts(warehouse)["user_logins"] == 5

    def test_no_attempt_uses_the_session_of_another(self, warehouse: str) -> None:
        """Fault 56: what has failed once is in no state to be used again."""
        made = ";".join(f"CREATE SEQUENCE pid_{attempt}" for attempt in range(1, 6))
        ask(warehouse, f"CREATE SEQUENCE tries; {made}")
        on_insert(
            warehouse,
            "PERFORM setval('pid_' || nextval('tries'), pg_backend_pid());"
            " RAISE EXCEPTION USING ERRCODE = '40001';",
            each="STATEMENT",
        )
        with pytest.raises(WarehouseUnavailable):
            settle(batch(logins(5)), warehouse)

        pids = [ask(warehouse, f"SELECT last_value FROM pid_{n}") for n in range(1, 6)]
        assert len({pid for ((pid,),) in pids}) == 5

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ("RAISE EXCEPTION USING ERRCODE = '53100';", WarehouseUnavailable),
            ("RAISE EXCEPTION USING ERRCODE = '42501';", TableMismatch),
            ("RETURN NULL;", AccountError),
        ],
        ids=["an outage", "a mismatch", "rows that vanish"],
    )
    def test_a_failure_leaves_no_session_and_no_lock(
        self, warehouse: str, body: str, error: type[Exception]
    ) -> None:
        """Fault 56: a transaction left open would hold its locks for as long."""
        on_insert(warehouse, body)
        with pytest.raises(error) as caught:
            settle(batch(logins(5)), warehouse)

        # The traceback is alive still, with all that its frames hold.
        assert caught.value is not None
        eventually(lambda: ask(warehouse, _OURS) == [(0,)])
        assert counts(warehouse) == NOTHING
        with psycopg.connect(warehouse) as other:
            other.execute("SET lock_timeout = '1s'; LOCK TABLE user_logins, pipeline.ledger")


MASKED_OTHERWISE = replace(
    FEED,
    fields=tuple(
        replace(each, policy=Pseudonymize()) if each.path == "device_id" else each
        for each in FEED.fields
    ),
)
"""The contract with a new rule, as a deployment brings it while old messages wait."""


@pytest.mark.parametrize(
    "feeds", [(FEED, MASKED_OTHERWISE), (MASKED_OTHERWISE, FEED)], ids=["old first", "new first"]
)
def test_an_event_has_one_row_by_whichever_rule_came_first(
    warehouse: str, feeds: tuple[Feed, Feed]
) -> None:
    """Fault 69: the ledger goes by the event and its body, not by how a worker masks them."""
    first, second = feeds
    assert settle(batch(logins(3), first), warehouse).loaded == 3
    before = ask(warehouse, "SELECT * FROM user_logins ORDER BY user_id")
    again = settle(batch(logins(5), second), warehouse)
    assert again == Account(received=5, loaded=2, duplicate=3)
    rows = ask(warehouse, "SELECT * FROM user_logins ORDER BY user_id")
    assert rows[:3] == before
    # Each value says by itself with which key it was masked; one rule, one pseudonym.
    devices = [row[3] for row in rows]
    assert (len(set(devices[:3])), len(set(devices[3:]))) == (1, 1)
    assert devices[0] != devices[4]
