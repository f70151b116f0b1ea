"""The services that a deployed instance works against: a queue that counts, and a Postgres.

Postgres keeps the moment of each commit, which the ledger itself does not: its `settled_at` is the
moment at which the transaction began.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from benchmarks import steered_queue, told
from benchmarks.steered_queue import Counts, SteeredQueue
from chaos.place import Place
from chaos.queues import make_queues
from pipeline import feeds
from pipeline.consume.readiness import check_sink
from pipeline.contract import Feed
from pipeline.local.postgres import EmbeddedPostgres
from pipeline.masking.key_file import KeyFile
from pipeline.produce.generate import Recipe, generate
from pipeline.produce.seed import seed
from pipeline.resources.outside import Outside
from pipeline.resources.sqs import SqsQueue
from pipeline.resources.sqs_client import Endpoint
from pipeline.warehouse.tables import table_name

FEED: Final = feeds.find(told.FEED)
"""The feed that is measured."""

_FOLDERS: Final = ("postgres", "dagster", "said", "temporary", "keys")


@dataclass(frozen=True, slots=True)
class Services:
    """Queue, Postgres and keyring, all running and prepared for every feed.

    Attributes:
        place: Where everything is kept: a private folder.
        queue: The queue, in a process of its own.
        postgres_url: The warehouse; it holds a password, and shows in no representation.
        logins: The queue of the feed that is measured.
    """

    place: Place
    queue: SteeredQueue
    postgres_url: str = field(repr=False)
    logins: SqsQueue

    def environment(self) -> dict[str, str]:
        """What leads a process to these services, and to nothing else of this machine."""
        return self.place.environment(self.queue.url, self.postgres_url)

    def make_database(self, name: str) -> str:
        """The URL of a new database in the same Postgres."""
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"{self.postgres_url.rpartition('/')[0]}/{name}"

    def seed(self, messages: int) -> None:
        """Puts fresh logins on the queue."""
        events = generate(FEED, Recipe(count=messages))
        seed(self.logins, events, progress=lambda _sent: None)

    def empty(self) -> None:
        """As if nothing had been loaded: no measurement pays for the rows of those before."""
        tables = sql.SQL("TRUNCATE {}, pipeline.ledger, pipeline.account")
        with psycopg.connect(self.postgres_url) as connection:
            connection.execute(tables.format(table_name(FEED)))

    def count_rows(self) -> int:
        """Of the feed that is measured."""
        statement = sql.SQL("SELECT count(*) FROM {}").format(table_name(FEED))
        with psycopg.connect(self.postgres_url) as connection:
            row = connection.execute(statement).fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def filled(self, messages: int, answer_seconds: float) -> Iterator[Callable[[], Counts]]:
        """Empty tables and a full queue; yields what tells what the queue has done since then.

        Args:
            messages: Fresh logins that wait.
            answer_seconds: How late the queue answers meanwhile.

        Raises:
            SystemExit: At the end messages are left, or rows are missing.
        """
        self.empty()
        self.seed(messages)
        before = self.queue.counts()
        self.queue.answer_after(answer_seconds)
        try:
            yield lambda: self.queue.counts().since(before)
        finally:
            self.queue.answer_after(0)
        left, rows = self.logins.depth().total, self.count_rows()
        if left or rows != messages:
            raise SystemExit(f"{left} messages were left, {rows} rows stored of {messages}")

    def postgres_version(self) -> str:
        """Of the server."""
        with psycopg.connect(self.postgres_url) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return str(row[0]) if row else ""


@contextmanager
def running() -> Iterator[Services]:
    """Everything, for as long as the context lasts."""
    with (
        tempfile.TemporaryDirectory(prefix="pipeline-bench-") as folder,
        steered_queue.running() as queue,
    ):
        place = Place(Path(folder))
        for name in _FOLDERS:
            (place.root / name).mkdir(mode=0o700)
        postgres = EmbeddedPostgres(place.postgres)
        try:
            yield _prepare(place, queue, _start(postgres))
        finally:
            postgres.stop()


def _start(postgres: EmbeddedPostgres) -> str:
    """Twice: the setting is taken up at a start only."""
    with psycopg.connect(postgres.start(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    postgres.stop()
    return postgres.start()


def _prepare(place: Place, queue: SteeredQueue, url: str) -> Services:
    outside = Outside(Endpoint(queue.url, embedded=True), url, KeyFile(place.keyring))
    client = outside.look_client()
    for feed in feeds.discover():
        _prepare_feed(feed, outside)
        make_queues(client, feed.queue)
    return Services(place, queue, url, outside.queue_for_a_run(FEED))


def _prepare_feed(feed: Feed, outside: Outside) -> None:
    check_sink(feed, url=outside.postgres_url, keyring=outside.keyring)
