"""Postgres is broken from within, for real: as the product then classifies it, and mended."""

from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest
from psycopg import errors

from chaos.feed import chaos_feeds
from chaos.outages import Mend, Outages
from pipeline.consume import load
from pipeline.crash_points import CrashPoint
from pipeline.errors import WarehouseUnavailable
from pipeline.local.postgres import EmbeddedPostgres
from pipeline_tests.load_case import batch, logins, prepared, settle
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import eventually

FEED = chaos_feeds()[0]
Breaks = Callable[[Outages], Mend]


@pytest.fixture(scope="module")
def url(postgres_server: EmbeddedPostgres) -> str:
    """A warehouse with the feed's table, without what its columns demand."""
    own = postgres_server.start()
    with psycopg.connect(own, autocommit=True) as server:
        server.execute("DROP DATABASE IF EXISTS chaos_outages WITH (FORCE)")
        server.execute("CREATE DATABASE chaos_outages")
    url = prepared(f"{own.rpartition('/')[0]}/chaos_outages")
    for column in FEED.columns:
        if column.name != "user_id":
            ask(url, f"ALTER TABLE user_logins ALTER {column.name} DROP NOT NULL")
    return url


def write(url: str) -> None:
    """One row, which nobody keeps waiting for long."""
    with closing(psycopg.connect(url, options="-c lock_timeout=100ms")) as connection:
        connection.execute("INSERT INTO user_logins (user_id) VALUES ('u')")
        connection.commit()


def can_write(url: str) -> bool:
    try:
        write(url)
    except psycopg.Error:
        return False
    return True


@pytest.mark.parametrize(
    ("breaks", "error"),
    [
        (Outages.read_only, errors.ReadOnlySqlTransaction),
        (lambda outages: outages.lock(FEED), errors.LockNotAvailable),
    ],
)
def test_a_write_is_refused_until_it_is_mended(
    url: str, breaks: Breaks, error: type[psycopg.Error]
) -> None:
    mend = breaks(Outages(lambda: url))
    eventually(lambda: not can_write(url))
    with pytest.raises(error):
        write(url)
    mend()
    eventually(lambda: can_write(url))


def test_a_full_disk_is_met_at_the_commit_and_not_before(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a run of that feed, whose constraints have been checked long before."""
    mend = Outages(lambda: url).disk_full(FEED)
    reached: list[CrashPoint] = []
    monkeypatch.setattr(load, "reach", reached.append)
    with pytest.raises(WarehouseUnavailable, match="53100"):
        settle(batch(logins(3)), url)
    assert reached.pop() is CrashPoint.BEFORE_COMMIT
    assert can_write(url)
    mend()
    settle(batch(logins(3)), url)
    assert reached.pop() is CrashPoint.AFTER_COMMIT


def test_no_connection_is_left_until_they_are_given_back(url: str) -> None:
    mend = Outages(lambda: url).no_connections()
    assert not can_write(url)
    mend()
    eventually(lambda: can_write(url))


def test_who_finds_a_table_locked_does_not_wait_for_long(url: str) -> None:
    outages = Outages(lambda: url)
    mend = outages.lock(FEED)
    with pytest.raises(errors.LockNotAvailable):
        outages.lock(FEED)
    mend()
    assert can_write(url)
