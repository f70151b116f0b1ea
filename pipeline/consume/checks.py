"""The checks of a feed's asset: its account adds up, and its columns tell nobody's secrets."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
import psycopg
from psycopg import sql

from pipeline.consume.latest import latest
from pipeline.contract import Feed, Field
from pipeline.errors import PipelineError, values_kept_out
from pipeline.masking import leaks
from pipeline.masking.policies import Keep
from pipeline.resources import postgres
from pipeline.resources.outside_resource import OutsideResource
from pipeline.types import Boolean, Date, Timestamp

_LETTERS = 10_000  # of a value, from its beginning: what is scanned
_CHUNK = 1_000  # values in memory at once
_ADVICE = (
    ". Mask or delete these rows, and give the field another policy, or state in Keep(holds=...)"
    " what it is meant to hold. Dagster's own storage has previews of five rows, in which such"
    " values are scrubbed"
)

# All batches of the run that has committed last. Two of them may have begun in one microsecond, so
# that what they settled is counted together.
_ACCOUNT = """
WITH latest AS (
    SELECT run_id, committed_at FROM pipeline.account
    WHERE feed = %(feed)s ORDER BY committed_at DESC LIMIT 1
), batch AS (
    SELECT account.* FROM pipeline.account, latest
    WHERE feed = %(feed)s AND account.run_id = latest.run_id
      -- No run is older: else each of a year's accounts would be read.
      AND account.committed_at > latest.committed_at - make_interval(secs => %(longest)s)
), moments AS (SELECT coalesce(array_agg(committed_at), '{}') AS all_of_them FROM batch)
SELECT sum(received)::bigint, sum(loaded)::bigint, sum(duplicate)::bigint,
       sum(quarantined)::bigint, sum(released)::bigint,
       (SELECT count(*) FROM pipeline.ledger, moments
        WHERE feed = %(feed)s AND settled_at = ANY(all_of_them)),
       (SELECT count(*) FROM pipeline.quarantine, moments
        WHERE feed = %(feed)s AND quarantined_at = ANY(all_of_them))
       + (SELECT count(*) FROM pipeline.quarantine_left, moments
          WHERE feed = %(feed)s AND quarantined_at = ANY(all_of_them)),
       min(committed_at) < now() - make_interval(days => 28)
FROM batch
"""


def checks(feed: Feed, asset: dg.AssetKey) -> list[dg.AssetChecksDefinition]:
    """The checks that run with every batch of the feed."""
    return [_account_check(feed, asset), _masked_check(feed, asset), _kept_check(feed, asset)]


def _account_check(feed: Feed, asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name="account_adds_up",
        description="received = loaded + duplicate + quarantined + released, as ledger and"
        " quarantine have it",
    )
    def account_adds_up(outside: OutsideResource) -> dg.AssetCheckResult:
        return _look(feed, outside, lambda connection: _add_up(feed, connection))

    return account_adds_up


def _add_up(feed: Feed, connection: psycopg.Connection) -> dg.AssetCheckResult:
    known = {"feed": feed.name, "longest": feed.limits.run_age_seconds}
    row = connection.execute(_ACCOUNT, known).fetchone()
    if row is None or row[0] is None:
        return dg.AssetCheckResult(passed=True, description="no batch has been committed yet")
    received, loaded, duplicate, quarantined, released, in_ledger, in_quarantine, is_old = row
    if is_old:
        told = "the latest run is older than what the ledger keeps for certain"
        return dg.AssetCheckResult(passed=True, description=told)
    passed = (
        received == loaded + duplicate + quarantined + released
        and loaded == in_ledger
        and quarantined == in_quarantine
    )
    return dg.AssetCheckResult(
        passed=passed,
        description=None
        if passed
        else f"received {received}; loaded {loaded}, in the ledger {in_ledger};"
        f" duplicate {duplicate}; quarantined {quarantined}, in the quarantine {in_quarantine};"
        f" released {released}",
        metadata={
            "received": received,
            "loaded": loaded,
            "duplicate": duplicate,
            "quarantined": quarantined,
            "released": released,
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
    rows = latest(feed, connection)
    statement = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(counts), rows)
    wanted = {name: f"^({pattern})$" for name, pattern in patterns.items()}
    seen, *unmasked = connection.execute(statement, wanted).fetchone() or (0,)
    by_column = dict(zip(patterns, unmasked, strict=True))
    told = [f"rows with unmasked values in {name}: {n}" for name, n in by_column.items() if n]
    return dg.AssetCheckResult(
        passed=not told,
        description="; ".join(told) or None,
        metadata={"rows": seen, **{f"unmasked/{name}": n for name, n in by_column.items()}},
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
            with _distinct(feed, each, connection) as column:
                counted = leaks.scan(column, asked.difference(each.policy.holds))
                scanned += column.rownumber or 0
            found |= {(each.name, kind): n for kind, n in sorted(counted.items())}
    told = "; ".join(f"rows with {kind} in {name}: {n}" for (name, kind), n in found.items())
    return dg.AssetCheckResult(
        passed=not found,
        description=told + _ADVICE if told else None,
        metadata={
            "distinct values": scanned,
            **{f"{name}/{kind}": n for (name, kind), n in found.items()},
        },
    )


@contextmanager
def _distinct(
    feed: Feed, field: Field, connection: psycopg.Connection
) -> Iterator[psycopg.ServerCursor[tuple[Any, ...]]]:
    """The distinct values of a column in the latest rows, and how many rows hold each.

    They stay on the server until they are read, and come in chunks: a few pages of the table can
    lead to gigabytes.
    """
    statement = sql.SQL(
        "SELECT left({0}::text, {1}), count(*) FROM {2} WHERE {0} IS NOT NULL GROUP BY 1"
    ).format(sql.Identifier(field.name), sql.Literal(_LETTERS), latest(feed, connection))
    with connection.cursor("distinct_values") as cursor:
        cursor.itersize = _CHUNK
        yield cursor.execute(statement)


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
