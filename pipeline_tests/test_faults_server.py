"""A whole Postgres killed, restarted or shut down under a load: all of a batch or nothing."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Final

import psycopg
import pytest

from pipeline.consume.batch import Account
from pipeline.errors import WarehouseUnavailable
from pipeline.local.postgres import EmbeddedPostgres
from pipeline_tests.load_case import NOTHING, batch, counts, logins, prepared, settle
from pipeline_tests.outside_world import ask
from pipeline_tests.postgres_fixtures import database
from pipeline_tests.samples import eventually, message
from pipeline_tests.world import lock

MESSAGES: Final = [*logins(20), message("not JSON", event_id="bad")]
SETTLED: Final = Account(received=21, loaded=20, quarantined=Counter(not_json=1))
WAITS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND application_name = 'pipeline'"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server of this module's own: the others' is not to be killed."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("killed"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def warehouse(server: EmbeddedPostgres) -> Iterator[str]:
    """A prepared warehouse in it."""
    with database(server) as url:
        yield prepared(url)


def postmaster(url: str) -> int:
    """The process that is the parent of all of a server's."""
    ((pid,),) = ask(url, "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::integer")
    return int(pid)


@contextmanager
def waiting_load(url: str) -> Iterator[Future[Account]]:
    """A load that has written everything but its account, and waits for a lock."""
    with closing(psycopg.connect(url)) as blocker, ThreadPoolExecutor(1) as other:
        lock(blocker, "pipeline.account")
        running = other.submit(settle, batch(MESSAGES), url)
        eventually(lambda: ask(url, WAITS) == [(1,)])
        yield running


def test_a_server_that_is_killed_in_the_transaction_keeps_nothing_of_it(
    server: EmbeddedPostgres, warehouse: str
) -> None:
    """Faults 43 and 50: `kill -9`, crash recovery, and the same batch once more."""
    with waiting_load(warehouse) as running:
        os.kill(postmaster(warehouse), signal.SIGKILL)
        with pytest.raises(WarehouseUnavailable, match="not available"):
            running.result(timeout=20)
    eventually(lambda: not server.is_alive())
    with pytest.raises(WarehouseUnavailable):
        settle(batch(MESSAGES), warehouse)

    server.start()

    assert counts(warehouse) == NOTHING
    assert settle(batch(MESSAGES), warehouse) == SETTLED


def test_a_server_that_is_killed_after_the_commit_keeps_all_of_it(
    server: EmbeddedPostgres, warehouse: str
) -> None:
    """Faults 43 and 50: what a load was told is committed is on the disk, whatever comes."""
    settle(batch(MESSAGES), warehouse)
    os.kill(postmaster(warehouse), signal.SIGKILL)
    eventually(lambda: not server.is_alive())

    server.start()

    assert settle(batch(MESSAGES), warehouse) == Account(received=21, duplicate=21)
    assert counts(warehouse) == {
        "user_logins": 20,
        "pipeline.ledger": 20,
        "pipeline.quarantine": 1,
        "pipeline.account": 2,
    }


def test_a_server_that_restarts_in_the_transaction_is_an_outage(
    server: EmbeddedPostgres, warehouse: str
) -> None:
    """Faults 43 and 49: a real 57P01, of an administrator's shutdown."""
    with waiting_load(warehouse) as running:
        server.stop()
        with pytest.raises(WarehouseUnavailable, match="57P01"):
            running.result(timeout=20)

    server.start()

    assert counts(warehouse) == NOTHING
    assert settle(batch(MESSAGES), warehouse) == SETTLED


def test_a_server_that_lets_nobody_in_any_more_is_an_outage(
    server: EmbeddedPostgres, warehouse: str
) -> None:
    """Fault 49: a real 57P03; it waits for who is there, and takes nobody else."""
    with closing(psycopg.connect(warehouse)) as last:
        os.kill(postmaster(warehouse), signal.SIGTERM)
        eventually(lambda: shuts_down(warehouse))
        with pytest.raises(WarehouseUnavailable, match="not available") as caught:
            settle(batch(MESSAGES), warehouse)
        assert caught.value.remedy
        last.execute("SELECT 1")
    eventually(lambda: not server.is_alive())

    server.start()

    assert settle(batch(MESSAGES), warehouse) == SETTLED


def shuts_down(url: str) -> bool:
    """Whether a server refuses new sessions."""
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError as error:
        return "shutting down" in str(error)
    return False
