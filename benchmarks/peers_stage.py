"""What the contenders are measured on: a queue that answers late, a Postgres, and their tables."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import Enum, auto
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from benchmarks import node_loop, steered_queue
from benchmarks.loops import NAMES, PLAIN, Spent, Task
from benchmarks.own_loops import COPIED
from benchmarks.peers_report import Figures
from benchmarks.steered_queue import SteeredQueue
from pipeline import feeds
from pipeline.consume.readiness import check_sink
from pipeline.local import services
from pipeline.masking.key_file import KeyFile
from pipeline.produce.generate import Recipe, generate
from pipeline.produce.seed import seed
from pipeline.resources.outside import Outside
from pipeline.resources.sqs import SqsQueue
from pipeline.resources.sqs_client import Endpoint
from pipeline.warehouse.tables import column_types

_MOST_SECONDS: Final = 1800
"""For one contender in one round: a loop that misses a message would ask for ever."""

_MILLION: Final = 1_000_000
_FEED: Final = feeds.find("user_logins")


class Takes(Enum):
    """How many messages a contender takes from the queue."""

    ALL = auto()
    FEW = auto()  # it is slow
    NONE = auto()  # it makes as many by itself, before it is measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Something that is measured.

    Attributes:
        name: As `benchmarks.loops` knows it.
        rows: The table that it fills, after its schema; None where it stores nothing.
        takes: How many messages.
    """

    name: str
    rows: str | None = None
    takes: Takes = Takes.ALL

    @property
    def command(self) -> list[str]:
        """What does one task, read from standard input."""
        if self.name == node_loop.NAME:
            return node_loop.command()
        return [sys.executable, "-m", "benchmarks.loops", self.name]


@contextmanager
def set_up(*, messages: int, few: int, distinct: float) -> "Iterator[Stage]":
    """Queue and Postgres, with all tables, for as long as the context lasts.

    Args:
        messages: For each contender.
        few: For those that are slow.
        distinct: Share of distinct values.
    """
    with (
        tempfile.TemporaryDirectory(prefix="pipeline-bench-") as folder,
        steered_queue.running() as queue,
    ):
        place = Path(folder)
        url = services.ensure_running(place).postgres_url
        try:
            keyring = place / "keyring.json"
            check_sink(_FEED, url=url, keyring=KeyFile(keyring))
            _make_tables(url)
            outside = Outside(Endpoint(queue.url, embedded=True), url, KeyFile(keyring))
            logins = outside.queue_for_a_run(_FEED)
            task = Task(
                messages=messages,
                endpoint=queue.url,
                queue_url=logins.url,
                postgres_url=url,
                keyring=str(keyring),
                distinct=distinct,
            )
            yield Stage(queue, logins, task, few)
        finally:
            services.stop(place)


class Stage:
    """Measures one contender after the other."""

    def __init__(self, queue: SteeredQueue, logins: SqsQueue, task: Task, few: int) -> None:
        self._queue = queue
        self._logins = logins
        self._task = task
        self._few = few

    def postgres_version(self) -> str:
        """Of the server."""
        with psycopg.connect(self._task.postgres_url) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return str(row[0]) if row else ""

    def measure(self, contender: Contender, delay: float) -> Figures:
        """Figures of a contender in one round.

        Args:
            contender: Which.
            delay: Milliseconds for which the queue keeps each answer.

        Raises:
            SystemExit: The contender failed, or did not do all that it was to do.
        """
        count = self._few if contender.takes is Takes.FEW else self._task.messages
        self._empty(contender)
        if contender.takes is not Takes.NONE:
            events = generate(_FEED, Recipe(count=count, distinct=self._task.distinct))
            seed(self._logins, events, progress=lambda _sent: None)
        before = self._queue.counts()
        self._queue.answer_after(delay / 1000)
        try:
            spent = _run(contender, replace(self._task, messages=count))
        finally:
            self._queue.answer_after(0)
        made = self._queue.counts().since(before)
        self._check(contender, count)
        if delay and made.delayed != made.all_calls:
            raise SystemExit(f"{made.delayed} of {made.all_calls} answers were late, and not all")
        return Figures(
            contender=contender.name,
            delay_ms=None if contender.takes is Takes.NONE else delay,
            messages=count,
            rate=count / spent.seconds,
            cpu_seconds=spent.cpu_seconds / count * _MILLION,
            share=spent.cpu_seconds / spent.seconds,
            queue_share=made.cpu_seconds / spent.seconds,
            calls=made.calls / count,
            peak_mib=spent.peak_mib,
        )

    def _empty(self, contender: Contender) -> None:
        """Nobody pays for the rows of those before; the ledger of ours goes on growing."""
        if contender.rows is not None:
            with psycopg.connect(self._task.postgres_url) as connection:
                connection.execute(sql.SQL("TRUNCATE {}").format(_table(contender.rows)))

    def _check(self, contender: Contender, count: int) -> None:
        if left := self._logins.depth().total:
            raise SystemExit(f"{contender.name} left {left} messages: its figure would be wrong")
        if contender.rows is None:
            return
        with psycopg.connect(self._task.postgres_url) as connection:
            statement = sql.SQL("SELECT count(*) FROM {}").format(_table(contender.rows))
            row = connection.execute(statement).fetchone()
        stored = row[0] if row else 0
        if stored != count:
            raise SystemExit(f"{contender.name} stored {stored} rows of {count} messages")


def _run(contender: Contender, task: Task) -> Spent:
    try:
        done = subprocess.run(  # noqa: S603 - our own modules
            contender.command,
            input=json.dumps(asdict(task)),
            stdout=subprocess.PIPE,
            text=True,
            timeout=_MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{contender.name} has not ended after {_MOST_SECONDS} s") from None
    if done.returncode:
        raise SystemExit(f"{contender.name} failed: see above")
    return Spent(**json.loads(done.stdout))


def _make_tables(url: str) -> None:
    """Those of the loops that people write have neither a key nor an index to keep."""
    copied = [(sql.Identifier(name), sql.SQL(kind)) for name, kind in column_types(_FEED).items()]
    plain = [(sql.Identifier(name), sql.SQL("text")) for name in NAMES]
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA benchmark")
        for name, columns in ((PLAIN, plain), (COPIED, copied)):
            described = sql.SQL(", ").join(sql.SQL("{} {}").format(*each) for each in columns)
            connection.execute(sql.SQL("CREATE TABLE {} ({})").format(_table(name), described))


def _table(name: str) -> sql.Identifier:
    return sql.Identifier(*name.split("."))
