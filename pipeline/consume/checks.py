"""The checks of a feed's asset: its account adds up, and its personal columns look masked."""

from typing import LiteralString

import dagster as dg
from psycopg import sql
from psycopg.abc import Params
from psycopg.rows import TupleRow

from pipeline.contract import Feed
from pipeline.errors import PipelineError, values_kept_out
from pipeline.resources import postgres
from pipeline.resources.outside_resource import OutsideResource
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
    return [_account_check(feed, asset), _masked_check(feed, asset)]


def _account_check(feed: Feed, asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name="account_adds_up",
        description="received = loaded + duplicate + quarantined, as ledger and quarantine have it",
    )
    def account_adds_up(outside: OutsideResource) -> dg.AssetCheckResult:
        row = _ask(feed, outside, _ACCOUNT, (feed.name,))
        if isinstance(row, dg.AssetCheckResult):
            return row
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

    return account_adds_up


def _masked_check(feed: Feed, asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    patterns = {
        each.name: each.policy.pattern
        for each in feed.fields
        if each.personal and each.policy.pattern is not None
    }

    @dg.asset_check(
        asset=asset,
        name="personal_fields_look_masked",
        description="the latest rows hold pseudonyms, and nothing else, where the contract says so",
    )
    def personal_fields_look_masked(outside: OutsideResource) -> dg.AssetCheckResult:
        wanted = {name: f"^({pattern})$" for name, pattern in patterns.items()}
        row = _ask(feed, outside, _unmasked(feed, tuple(patterns)), wanted)
        if isinstance(row, dg.AssetCheckResult):
            return row
        seen, *unmasked = row or (0, *(0 for _ in patterns))
        return dg.AssetCheckResult(
            passed=not any(unmasked),
            metadata={
                "rows": seen,
                **{f"unmasked/{name}": n for name, n in zip(patterns, unmasked, strict=True)},
            },
        )

    return personal_fields_look_masked


def _ask(
    feed: Feed,
    outside: OutsideResource,
    statement: LiteralString | sql.Composed,
    parameters: Params,
) -> TupleRow | dg.AssetCheckResult | None:
    """The answer of the warehouse; or a check that says why it could not be asked.

    The batch is committed and acknowledged by now: a check that cannot look must not fail its
    run, and with it let the sensor back off.
    """
    try:
        with (
            values_kept_out(feed=feed.name, stage="check"),
            postgres.translated(feed=feed.name),
            postgres.connect(outside.reach().postgres_url) as connection,
        ):
            return connection.execute(statement, parameters).fetchone()
    except PipelineError as error:
        return dg.AssetCheckResult(
            passed=False, severity=dg.AssetCheckSeverity.WARN, description=f"not checked: {error}"
        )


def _unmasked(feed: Feed, columns: tuple[str, ...]) -> sql.Composed:
    """Counts, in the latest rows, the values of each column that are no pseudonyms.

    The end of the table is found by its physical place: a given table has no column of ours.
    """
    name = table_name(feed)
    counts = [sql.SQL("count(*)")] + [
        sql.SQL("count(*) FILTER (WHERE {} !~ {})").format(
            sql.Identifier(column), sql.Placeholder(column)
        )
        for column in columns
    ]
    return sql.SQL(
        "SELECT {counts} FROM (SELECT * FROM {table} WHERE ctid >= format('(%%s,0)', greatest("
        "pg_relation_size({text}::regclass) / current_setting('block_size')::int - {pages}, 0)"
        ")::tid LIMIT {rows}) AS latest"
    ).format(
        counts=sql.SQL(", ").join(counts),
        table=name,
        text=sql.Literal(name.as_string()),
        pages=sql.Literal(_LATEST_PAGES),
        rows=sql.Literal(_LATEST_ROWS),
    )
