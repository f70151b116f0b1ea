"""Ours beside what people write: the whole data plane, and what it can at most load and mask."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from benchmarks.drain import drain_in_a_run
from benchmarks.loops import Prepare, Task
from pipeline import feeds
from pipeline.consume.batch import Decoded
from pipeline.consume.readiness import check_sink
from pipeline.consume.settlement import decode_batch
from pipeline.contract import Feed
from pipeline.masking.key_file import KeyFile
from pipeline.masking.keyring import Keyring
from pipeline.masking.mask import mask
from pipeline.messages import Message
from pipeline.produce.generate import Recipe, generate
from pipeline.resources.outside import Outside
from pipeline.resources.sqs_client import Endpoint

COPIED: Final = "benchmark.copied"
"""The table that rows are only copied into: the columns of the feed's own."""


def _ours(task: Task) -> Callable[[], object]:
    """Batch after batch as a run does it, in a process that is warm: it has looked at all once."""
    feed = feeds.find("user_logins")
    endpoint = Endpoint(task.endpoint, embedded=True)
    outside = Outside(endpoint, task.postgres_url, KeyFile(Path(task.keyring)))
    check_sink(feed, url=outside.postgres_url, keyring=outside.keyring)
    outside.queue_for_a_run(feed)

    return partial(drain_in_a_run, feed, outside, task.messages)


def _mask(task: Task) -> Callable[[], object]:
    feed, keyring, batch = _made(task)
    return partial(mask, feed, batch.frame, keyring)


def _copy(task: Task) -> Callable[[], object]:
    """One COPY and its commit, the rows masked before."""
    feed, keyring, batch = _made(task)
    frame = mask(feed, batch.frame, keyring)
    rows = list(zip(*(frame[each.name].tolist() for each in feed.columns), strict=True))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(*COPIED.split(".")),
        sql.SQL(", ").join(sql.Identifier(each.name) for each in feed.columns),
    )
    connection = psycopg.connect(task.postgres_url)

    def work() -> None:
        # In the reverse order: the COPY ends, and the connection commits and closes.
        with connection, connection.cursor() as cursor, cursor.copy(statement) as target:
            for row in rows:
                target.write_row(row)

    return work


OWN_LOOPS: Final[dict[str, Prepare]] = {"ours": _ours, "mask": _mask, "copy": _copy}


def _made(task: Task) -> tuple[Feed, Keyring, Decoded]:
    """As many logins as if they had been received."""
    feed = feeds.find("user_logins")
    keyring = check_sink(feed, url=task.postgres_url, keyring=KeyFile(Path(task.keyring)))
    now = datetime.now(UTC)
    messages = [
        Message(
            message_id=event.event_id,
            receipt=event.event_id,
            body=event.body,
            sent_at=now,
            received_at=now,
            receive_count=1,
            event_id=event.event_id,
        )
        for event in generate(feed, Recipe(count=task.messages, distinct=task.distinct))
    ]
    return feed, keyring, decode_batch(feed, messages, keyring.settlement_key(feed.name))
