"""The warehouse's own figures, for each feed: as many rows as there are feeds, never a scan."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from pipeline.contract import Feed
from pipeline.errors import values_kept_out
from pipeline.operate.metrics.reading import TotalReading, WarehouseReading
from pipeline.resources import postgres
from pipeline.warehouse.schema import find_version

COUNTS: Final = ("batches", "received", "loaded", "duplicate", "quarantined", "released")
"""What is counted of each feed, as the columns are named."""

MOST_COUNTED: Final = 10_000
"""Of what lies in the quarantine no more is counted, for each feed."""

SINCE: Final = "0006"
"""The version of our own tables that brought the totals."""

_CONNECT_SECONDS: Final = 2  # libpq takes no less
_STATEMENT_SECONDS: Final = 2
_PATIENCE: Final = 3.0  # seconds for one wait, where the network loses the answers

_NOW: Final = "SELECT extract(epoch FROM clock_timestamp()), pg_database_size(current_database())"
_ROWS: Final = """
SELECT wanted.feed, c.reltuples::bigint
FROM unnest(%s::text[], %s::text[], %s::text[]) AS wanted (feed, namespace, name)
JOIN pg_namespace AS n ON n.nspname = wanted.namespace
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted.name
WHERE c.reltuples >= 0
"""
_LYING: Final = """
SELECT wanted.feed, lying.reason, count(*)
FROM unnest(%s::text[]) AS wanted (feed)
CROSS JOIN LATERAL (
    SELECT reason FROM pipeline.quarantine WHERE feed = wanted.feed LIMIT %s
) AS lying
GROUP BY 1, 2
"""


def read_warehouse(url: str, feeds: Sequence[Feed]) -> WarehouseReading:
    """What the warehouse says of these feeds, over one connection, within seconds.

    Raises:
        WarehouseError: Postgres is down, or the role may not read.
        SettingsError: The URL cannot be parsed.
    """
    with (
        values_kept_out(stage="metrics"),
        postgres.translated(),
        postgres.connect(_impatient(url)) as connection,
    ):
        connection.patience = _PATIENCE
        # One connection is read from, nothing is ever written.
        connection.execute("SET default_transaction_read_only = on")
        connection.execute(f"SET statement_timeout = '{_STATEMENT_SECONDS}s'")
        connection.commit()
        return _read(connection, feeds)


def _impatient(url: str) -> str:
    try:
        return psycopg.conninfo.make_conninfo(
            url, connect_timeout=_CONNECT_SECONDS, application_name="pipeline exporter"
        )
    except psycopg.ProgrammingError:
        return url  # `connect` says what is wrong with it, without repeating it


def _read(connection: psycopg.Connection, feeds: Sequence[Feed]) -> WarehouseReading:
    asked = time.time()
    now, size = connection.execute(_NOW).fetchone() or (asked, 0)
    ahead = float(now) - (asked + time.time()) / 2
    names = [feed.name for feed in feeds]
    places = zip(*(feed.schema_and_table for feed in feeds), strict=True) if feeds else ((), ())
    rows = connection.execute(_ROWS, (names, *map(list, places))).fetchall()
    version = find_version(connection)
    is_counted = version is not None and version >= SINCE
    return WarehouseReading(
        version=version,
        totals=_totals(connection, names) if is_counted else {},
        quarantine=connection.execute(_LYING, (names, MOST_COUNTED)).fetchall()
        if is_counted
        else (),
        rows=dict(rows),
        size=int(size),
        clock_ahead=ahead,
    )


def _totals(connection: psycopg.Connection, names: Sequence[str]) -> dict[str, TotalReading]:
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SELECT * FROM pipeline.total WHERE feed = ANY(%s)", (list(names),))
        slots = cursor.fetchall()
    feeds = {slot["feed"] for slot in slots}
    return {feed: add_up([slot for slot in slots if slot["feed"] == feed]) for feed in feeds}


def add_up(slots: Sequence[Mapping[str, Any]]) -> TotalReading:
    """One feed's totals: the sums over its slots, and what the latest of them say."""
    counts = {name: sum(int(slot[name]) for slot in slots) for name in COUNTS}
    reasons = _by_name(slot["reasons"] for slot in slots)
    if (unknown := counts["quarantined"] - sum(reasons.values())) > 0:
        reasons["unknown"] += unknown  # from before reasons were counted
    succeeded = [slot for slot in slots if slot["succeeded_at"] is not None]
    latest = max(succeeded, key=lambda slot: slot["succeeded_at"], default=None)
    return TotalReading(
        counts=counts,
        reasons={name: int(count) for name, count in reasons.items()},
        runs={name: int(count) for name, count in _by_name(s["runs"] for s in slots).items()},
        seconds=dict(_by_name(slot["seconds"] for slot in slots)),
        committed_at=_latest(slot["committed_at"] for slot in slots),
        succeeded_at=None if latest is None else latest["succeeded_at"].timestamp(),
        oldest_seconds=None if latest is None else latest["oldest_seconds"],
    )


def _by_name(found: Iterable[Mapping[str, float]]) -> Counter[str]:
    # A counter takes fractions as well.
    return sum((Counter(each) for each in found), Counter[str]())


def _latest(moments: Iterable[datetime | None]) -> float | None:
    return max((each.timestamp() for each in moments if each is not None), default=None)
