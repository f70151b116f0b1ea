"""What stands where: the depth of each queue, the rows of each table, the latest batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from pipeline.contract import Feed
from pipeline.resources import postgres
from pipeline.resources.outside import Outside
from pipeline.warehouse.tables import are_made, table_name

_LATEST = 5


@dataclass(frozen=True, slots=True)
class BatchAccount:
    """What became of one committed batch, and the Dagster run that it belongs to."""

    run_id: str
    committed_at: datetime
    received: int
    loaded: int
    duplicate: int
    quarantined: int
    released: int


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """One feed at a glance.

    Attributes:
        feed: Its name.
        depth: Messages that wait, as SQS estimates it.
        in_flight: Messages that a run holds.
        dead_letter_depth: Messages on the dead-letter queue; None where there is none.
        rows: Rows of the table.
        quarantined: Messages in the quarantine.
        quarantined_by_reason: The same, by reason code.
        last_runs: The latest batches, the newest first.
    """

    feed: str
    depth: int
    in_flight: int
    dead_letter_depth: int | None
    rows: int
    quarantined: int
    quarantined_by_reason: dict[str, int]
    last_runs: Sequence[BatchAccount]


def read_status(outside: Outside, feed: Feed) -> FeedStatus:
    """The status of one feed; changes nothing, and makes no table.

    Raises:
        QueueError: SQS refused or did not answer.
        WarehouseError: Postgres is down, or the role may not read.
    """
    queue = outside.queue_for_a_run(feed)
    depth, dead_letters = queue.depth(), queue.dead_letter_depth()
    with (
        postgres.translated(feed=feed.name),
        postgres.connect(outside.postgres_url) as connection,
    ):
        made = are_made(connection, feed)
        by_reason = _quarantined(connection, feed) if made else {}
        return FeedStatus(
            feed=feed.name,
            depth=depth.visible,
            in_flight=depth.in_flight,
            dead_letter_depth=dead_letters.visible if dead_letters else None,
            rows=_count_rows(connection, feed) if made else 0,
            quarantined=sum(by_reason.values()),
            quarantined_by_reason=by_reason,
            last_runs=_latest(connection, feed) if made else (),
        )


def _count_rows(connection: psycopg.Connection, feed: Feed) -> int:
    statement = sql.SQL("SELECT count(*) FROM {}").format(table_name(feed))
    row = connection.execute(statement).fetchone()
    return 0 if row is None else int(row[0])


def _quarantined(connection: psycopg.Connection, feed: Feed) -> dict[str, int]:
    rows = connection.execute(
        "SELECT reason, count(*) FROM pipeline.quarantine WHERE feed = %s GROUP BY 1 ORDER BY 1",
        (feed.name,),
    )
    return dict(rows.fetchall())


def _latest(connection: psycopg.Connection, feed: Feed) -> list[BatchAccount]:
    rows = connection.execute(
        """
        SELECT run_id, committed_at, received, loaded, duplicate, quarantined, released
        FROM pipeline.account WHERE feed = %s ORDER BY committed_at DESC LIMIT %s
        """,
        (feed.name, _LATEST),
    )
    return [BatchAccount(*row) for row in rows]
