"""Deletes what is old from our own tables, in portions, each a transaction of its own."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg

from pipeline.errors import PipelineError, SettingsError
from pipeline.operate.retention.portions import Pruned, Tell, prune
from pipeline.operate.retention.settings import Retention
from pipeline.resources import postgres
from pipeline.warehouse import schema

_PORTION: Final = 10_000  # rows: a fraction of a second, and some megabytes of write-ahead log
_OF_BODIES: Final = 100  # rows of the quarantine, each with a body of a megabyte at most
_REFUSED: Final = "PP020"
_SKEW: Final = timedelta(hours=1)
_PRUNE: Final = "SELECT gone, reached FROM pipeline.prune(%s, %s, %s, %s)"


def prune_tables(
    url: str, retention: Retention, *, until: float, tell: Tell, portion: int = _PORTION
) -> list[Pruned]:
    """Deletes what is older than its days, by the clock of the database.

    Args:
        url: The warehouse, with a log-in that is a member of `loader`, or the owner's.
        retention: The days.
        until: The moment of the monotonic clock after which no portion begins.
        tell: Gets a line now and then.
        portion: Rows in one transaction, which are fewer of the quarantine.

    Returns:
        What has gone, table by table; of one that failed the error, which stops no other.

    Raises:
        SettingsError: The clocks of the database and of this machine differ.
        WarehouseError: Postgres is down.
    """
    days = {
        "quarantine": retention.quarantine_days,
        "quarantine_left": retention.account_days,
        "account": retention.account_days,
        "audit": retention.audit_days,
        "ledger": retention.ledger_days,  # by far the largest, and so the last
    }
    with _connected(url) as connection:
        _check_clocks(connection)
        return [
            _tried(
                what,
                _portions(connection, what, kept, _rows(what, portion)),
                until=until,
                tell=tell,
            )
            for what, kept in days.items()
        ]


def _rows(what: str, portion: int) -> int:
    return min(portion, _OF_BODIES) if what == "quarantine" else portion


def _tried(what: str, portions: Iterator[int], *, until: float, tell: Tell) -> Pruned:
    try:
        return prune(what, portions, until=until, tell=tell)
    except psycopg.Error as error:
        return Pruned(what, 0, finished=False, error=_translated(error))


def _portions(connection: psycopg.Connection, what: str, days: int, portion: int) -> Iterator[int]:
    since = None
    while True:
        row = connection.execute(_PRUNE, (what, days, since, portion)).fetchone()
        if row is None or row[0] == 0:
            return
        gone, since = row
        yield gone


def _check_clocks(connection: psycopg.Connection) -> None:
    """Two clocks must agree: to one that has jumped ahead everything is old."""
    row = connection.execute("SELECT now()").fetchone()
    if row is None or abs(datetime.now(UTC) - row[0]) > _SKEW:
        raise SettingsError(
            "the clocks of the database and of this machine differ by more than an hour",
            remedy="Set the one that is wrong; nothing was deleted",
        )


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection]:
    try:
        with closing(postgres.connect(url)) as connection:
            connection.autocommit = True
            schema.upgrade(connection)
            yield connection
    except psycopg.Error as error:
        raise _translated(error) from None


def _translated(error: psycopg.Error) -> PipelineError:
    if error.sqlstate != _REFUSED:
        return postgres.translate(error)
    return SettingsError(
        f"the database refuses: {error.diag.message_primary}",
        remedy=f"{error.diag.message_hint}. What is kept for how long: docs/retention.md",
    )
