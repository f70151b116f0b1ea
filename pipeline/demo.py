"""The main job from end to end, for somebody who has just cloned the project."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
from psycopg import sql

from pipeline.consume.batch import Account
from pipeline.consume.readiness import check_sink
from pipeline.contract import Feed
from pipeline.errors import AccountError
from pipeline.operate.drain import ingest_once
from pipeline.produce.generate import Recipe, evenly, generate
from pipeline.produce.seed import seed
from pipeline.resources import postgres
from pipeline.resources.outside import Outside
from pipeline.resources.outside_resource import OutsideResource
from pipeline.resources.sqs import SqsQueue
from pipeline.warehouse.tables import table_name

_EVENTS = 1_000
_DUPLICATES = 0.03
_MALFORMED = 0.04
_ROWS = 5
_PATIENCE_SECONDS = 300.0
_PAUSE_SECONDS = 1.0  # between two ticks
_NO_TELEMETRY = {"telemetry": {"enabled": False}}


@dataclass(frozen=True, slots=True)
class Report:
    """What the demonstration did.

    Attributes:
        sent: Events that the queue took.
        account: What became of everything that was received meanwhile.
        seconds: From the first event sent to the last one settled.
        columns: The columns of the table.
        rows: A few of its latest rows.
    """

    sent: int
    account: Account
    seconds: float
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]


def run(
    definitions: dg.Definitions, feed: Feed, outside: Outside, *, tell: Callable[[str], None]
) -> Report:
    """Seeds the feed's queue, and lets the real sensor and the real job work it off.

    Args:
        definitions: What would be deployed.
        feed: The feed to show.
        outside: Where its queue and warehouse are.
        tell: Called with a line for each thing that happens.

    Raises:
        AccountError: Not every message is accounted for.
        PipelineError: Whatever else stops it.
    """
    check_sink(feed, url=outside.postgres_url, keyring=outside.keyring)
    started, began_at = time.monotonic(), _database_time(outside)
    queue = outside.queue_for_a_run(feed)
    recipe = Recipe(count=_EVENTS, duplicates=_DUPLICATES, malformed=evenly(feed, _MALFORMED))
    left_over = queue.depth().total
    sent = seed(queue, generate(feed, recipe), progress=lambda _sent: None)
    tell(f"seeded {feed.queue} with {sent} events, some hostile, some twice")
    with (
        tempfile.TemporaryDirectory(prefix="pipeline-demo-") as folder,
        dg.DagsterInstance.local_temp(folder, overrides=_NO_TELEMETRY) as instance,
    ):
        _work_off(definitions, feed, queue, instance, tell)
    account = _account(outside, feed, began_at)
    seconds = time.monotonic() - started
    # Others may seed and ingest meanwhile: more is no loss.
    if account.received < sent + left_over or not account.adds_up:
        raise AccountError(
            f"{sent} events were sent and {left_over} left over, but {account}",
            remedy="Look at `pipeline status`, and run the demo again",
            feed=feed.name,
        )
    columns, rows = _latest_rows(outside, feed)
    return Report(sent, account, seconds, columns, rows)


def _work_off(
    definitions: dg.Definitions,
    feed: Feed,
    queue: SqsQueue,
    instance: dg.DagsterInstance,
    tell: Callable[[str], None],
) -> None:
    """Ticks the sensor and executes what it requests until the queue holds nothing more."""
    sensor = definitions.resolve_sensor_def(f"{feed.name}_sensor")
    deadline = time.monotonic() + _PATIENCE_SECONDS
    cursor, said = None, None
    while queue.depth().total:
        with dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            sensor_name=sensor.name,
            definitions=definitions,
            resources={"outside": OutsideResource()},
        ) as context:
            tick = sensor.evaluate_tick(context)
        cursor = tick.cursor
        requests = tick.run_requests or ()
        says = tick.skip_message or f"requests {len(requests)} run"
        if says != said:
            tell(f"sensor: {says}")
            said = says
        for _ in requests:
            numbers = ingest_once(definitions, feed, instance).numbers
            tell(f"run: received {numbers['received']}, loaded {numbers['rows']}")
        if not requests:
            if time.monotonic() > deadline:
                raise AccountError(
                    f"{queue.depth().total} messages are still on the queue after "
                    f"{_PATIENCE_SECONDS:.0f} s",
                    remedy="Look at `pipeline status`; nothing is lost",
                    feed=feed.name,
                )
            time.sleep(_PAUSE_SECONDS)


def _database_time(outside: Outside) -> datetime:
    with postgres.translated(), postgres.connect(outside.postgres_url) as connection:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM is one row
    moment: datetime = row[0]
    return moment


def _account(outside: Outside, feed: Feed, since: datetime) -> Account:
    """What the warehouse says of all batches since then, whoever ran them."""
    with (
        postgres.translated(feed=feed.name),
        postgres.connect(outside.postgres_url) as connection,
    ):
        row = connection.execute(
            """
            SELECT coalesce(sum(received), 0), coalesce(sum(loaded), 0),
                   coalesce(sum(duplicate), 0)
            FROM pipeline.account WHERE feed = %s AND committed_at >= %s
            """,
            (feed.name, since),
        ).fetchone()
        reasons = connection.execute(
            """
            SELECT reason, count(*) FROM pipeline.quarantine
            WHERE feed = %s AND quarantined_at >= %s GROUP BY reason
            """,
            (feed.name, since),
        ).fetchall()
    received, loaded, duplicate = row or (0, 0, 0)
    return Account(
        received=received,
        loaded=loaded,
        duplicate=duplicate,
        quarantined=Counter(dict(reasons)),
    )


def _latest_rows(outside: Outside, feed: Feed) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    columns = tuple(each.name for each in feed.columns)
    statement = sql.SQL("SELECT {} FROM {} ORDER BY ctid DESC LIMIT {}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), table_name(feed), sql.Literal(_ROWS)
    )
    with (
        postgres.translated(feed=feed.name),
        postgres.connect(outside.postgres_url) as connection,
    ):
        return columns, connection.execute(statement).fetchall()
