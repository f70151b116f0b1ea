"""The checks of a feed's asset: its account adds up, and its columns tell nobody's secrets."""

from collections.abc import Callable, Mapping

import dagster as dg
import psycopg
from psycopg import sql

from pipeline.contract import Feed, Field
from pipeline.errors import PipelineError, values_kept_out
from pipeline.masking import leaks
from pipeline.masking.policies import Keep
from pipeline.resources import postgres
from pipeline.resources.outside_resource import OutsideResource
from pipeline.types import Boolean, Date, Timestamp
from pipeline.warehouse.tables import table_name

_LATEST_PAGES = 1_000  # of 8 kB, read from the end of the table
_LATEST_ROWS = 200_000  # the bound where pages do not tell, as with a partitioned table

_ACCOUNT = """
SELECT received, loaded, duplicate, quarantined,
       (SELECT count(*) FROM pipeline.ledger l
        WHERE l.feed = a.feed AND l.settled_at = a.committed_at),
       (SELECT count(*) FROM pipeline.quarantine q
        WHERE q.feed = a.feed AND q.quarantined_at = a.committed_at)
FROM pipeline.account a WHERE a.feed = %s ORDER BY committed_at DESC LIMIT 1
"""


def checks(feed: Feed, asset: dg.AssetKey) -> list[dg.AssetChecksDefinition]:
    """The checks that run with every batch of the feed."""
    return [_account_check(feed, asset), _masked_check(feed, asset), _kept_check(feed, asset)]


def _account_check(feed: Feed, asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name="account_adds_up",
        description="received = loaded + duplicate + quarantined, as ledger and quarantine have it",
    )
    def account_adds_up(outside: OutsideResource) -> dg.AssetCheckResult:
        return _look(feed, outside, lambda connection: _add_up(feed, connection))

    return account_adds_up


def _add_up(feed: Feed, connection: psycopg.Connection) -> dg.AssetCheckResult:
    row = connection.execute(_ACCOUNT, (feed.name,)).fetchone()
    if row is None:
        return dg.AssetCheckResult(passed=True, description="no batch has been committed yet")
    received, loaded, duplicate, quarantined, in_ledger, in_quarantine = row
    return dg.AssetCheckResult(
        passed=received == loaded + duplicate + quarantined
        and loaded == in_ledger
        and quarantined == in_quarantine,
        metadata={
            "received": received,
            "loaded": loaded,
            "duplicate": duplicate,
            "quarantined": quarantined,
            "in the ledger": in_ledger,
            "in the quarantine": in_quarantine,
        },
    )


def _masked_check(feed: Feed, asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    patterns = {
        each.name: each.policy.pattern
        for each in feed.columns
        if each.personal and each.policy.pattern is not None
    }

    @dg.asset_check(
        asset=asset,
        name="personal_fields_look_masked",
        description="the latest rows hold pseudonyms, and nothing else, where the contract says so",
    )
    def personal_fields_look_masked(outside: OutsideResource) -> dg.AssetCheckResult:
        return _look(feed, outside, lambda connection: _count_unmasked(feed, patterns, connection))

    return personal_fields_look_masked


def _count_unmasked(
    feed: Feed, patterns: Mapping[str, str], connection: psycopg.Connection
) -> dg.AssetCheckResult:
    """Counts, in the latest rows, the values of each column that do not match its pattern."""
    counts = [sql.SQL("count(*)")] + [
        sql.SQL("count(*) FILTER (WHERE {}::text !~ {})").format(
            sql.Identifier(column), sql.Placeholder(column)
        )
        for column in patterns
    ]
    statement = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(counts), _latest(feed))
    wanted = {name: f"^({pattern})$" for name, pattern in patterns.items()}
    seen, *unmasked = connection.execute(statement, wanted).fetchone() or (0,)
    return dg.AssetCheckResult(
        passed=not any(unmasked),
        metadata={
            "rows": seen,
            **{f"unmasked/{name}": n for name, n in zip(patterns, unmasked, strict=True)},
        },
    )


def _kept_check(feed: Feed, asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name="kept_columns_hold_no_personal_values",
        description="the latest rows hold nothing that looks personal in a column that is kept",
    )
    def kept_columns_hold_no_personal_values(outside: OutsideResource) -> dg.AssetCheckResult:
        return _look(feed, outside, lambda connection: _find_leaks(feed, connection))

    return kept_columns_hold_no_personal_values


def _find_leaks(feed: Feed, connection: psycopg.Connection) -> dg.AssetCheckResult:
    """Counts, in the latest rows, what looks personal in each kept column, and tells no value."""
    asked = leaks.EVERYWHERE.union(feed.national_ids)
    found: dict[tuple[str, leaks.Kind], int] = {}
    scanned = 0
    for each in feed.columns:
        if isinstance(each.policy, Keep) and not isinstance(each.type, Boolean | Date | Timestamp):
            rows = _distinct(feed, each, connection)
            scanned += len(rows)
            counted = leaks.scan(rows, asked.difference(each.policy.holds))
            found |= {(each.name, kind): n for kind, n in sorted(counted.items())}
    told = [f"rows with {kind} in {column}: {n}" for (column, kind), n in found.items()]
    return dg.AssetCheckResult(
        passed=not found,
        description="; ".join(told) or None,
        metadata={
            "distinct values": scanned,
            **{f"{column}/{kind}": n for (column, kind), n in found.items()},
        },
    )


def _distinct(feed: Feed, field: Field, connection: psycopg.Connection) -> dict[str, int]:
    """The distinct values of a column in the latest rows, and how many rows hold each."""
    statement = sql.SQL("SELECT {0}::text, count(*) FROM {1} WHERE {0} IS NOT NULL GROUP BY 1")
    name = sql.Identifier(field.name)
    return dict(connection.execute(statement.format(name, _latest(feed))).fetchall())


def _look(
    feed: Feed,
    outside: OutsideResource,
    look: Callable[[psycopg.Connection], dg.AssetCheckResult],
) -> dg.AssetCheckResult:
    """What a check finds in the warehouse; or a warning that says why it could not look.

    The batch is committed and acknowledged by now: a check that cannot look must not fail its
    run, and with it let the sensor back off.
    """
    try:
        with (
            values_kept_out(feed=feed.name, stage="check"),
            postgres.translated(feed=feed.name),
            postgres.connect(outside.reach().postgres_url) as connection,
        ):
            return look(connection)
    except PipelineError as error:
        return dg.AssetCheckResult(
            passed=False, severity=dg.AssetCheckSeverity.WARN, description=f"not checked: {error}"
        )


def _latest(feed: Feed) -> sql.Composed:
    """The latest rows, as a table of a statement.

    The end of the table is found by its physical place: a given table has no column of ours.
    """
    name = table_name(feed)
    return sql.SQL(
        "(SELECT * FROM {table} WHERE ctid >= ('(' || greatest(pg_relation_size({text}::regclass)"
        " / current_setting('block_size')::int - {pages}, 0) || ',0)')::tid LIMIT {rows}) AS latest"
    ).format(
        table=name,
        text=sql.Literal(name.as_string()),
        pages=sql.Literal(_LATEST_PAGES),
        rows=sql.Literal(_LATEST_ROWS),
    )
