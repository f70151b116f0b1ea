"""The ledger of what was fetched: one row a record, and what upstream last said of it.

How it stays true over crashes: docs/decisions/0010-the-fetchers-ledger.md.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg

from pipeline.errors import FetchBusy, FetchError
from pipeline.produce.fetch import statements
from pipeline.produce.fetch.entries import Item, Page, Version
from pipeline.produce.fetch.pace import Pace
from pipeline.produce.fetch.reach import Reach
from pipeline.resources import postgres
from pipeline.source import Source
from pipeline.warehouse import schema


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records of a source are in which state.

    Attributes:
        planned: To be asked for.
        fetched: Asked for, and on their way to the queue.
        sent: On the queue, or through it.
        failed: Failed past the attempts.
        gone: Sent once; upstream has them no more.
    """

    planned: int = 0
    fetched: int = 0
    sent: int = 0
    failed: int = 0
    gone: int = 0

    @property
    def there(self) -> int:
        """The records that upstream has, as far as the ledger knows."""
        return self.planned + self.fetched + self.sent + self.failed


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that failed.

    Attributes:
        item: The path of its address.
        attempts: How often it was asked for, the last time that it was tried.
        reason: The code of why; where the contract refused it, with the field.
        failed_at: When.
    """

    item: str
    attempts: int
    reason: str
    failed_at: datetime


@contextmanager
def opened(reach: Reach, source: Source) -> Iterator["Ledger"]:
    """The ledger of a source, over a connection of its own.

    Raises:
        FetchError: It was filled from another address, or holds times that are yet to come.
        WarehouseError: Postgres did not do its work.
    """
    with (
        closing(postgres.connect(reach.outside.postgres_url)) as connection,
        postgres.translated(feed=source.feed),
    ):
        # Each statement stands for itself: several threads use the connection in turns.
        connection.autocommit = True
        schema.upgrade(connection)
        ledger = Ledger(connection, source)
        ledger.check(str(reach.base.join(source.list_path)))
        yield ledger


class Ledger:
    """A source's part of the ledger; its methods may be called from several threads.

    Args:
        connection: One that commits each statement.
        source: The source.
    """

    def __init__(self, connection: psycopg.Connection, source: Source) -> None:
        self._connection = connection
        self._source = source

    def check(self, address: str) -> None:
        """Holds what is in the ledger against what may be there.

        Raises:
            FetchError: It was filled from another address, or holds times that are yet to come.
        """
        found = self._row(statements.TIE, source=self._source.name, address=address)
        if found != (address,):
            raise FetchError(
                f"the ledger of source {self._source.name!r} was filled from another address",
                remedy="Correct the address, or give the source another name; if the API has"
                " moved, say so in pipeline.fetch_source",
                feed=self._source.feed,
            )
        if self._row(statements.FUTURE, source=self._source.name) != (0,):
            raise FetchError(
                f"the ledger of source {self._source.name!r} holds times that are yet to come",
                remedy="Look for a restored backup or a clock that was wrong, and correct the"
                " times in pipeline.fetch; nothing was requested",
                feed=self._source.feed,
            )

    def lock(self, key: str) -> None:
        """Keeps everybody else from a range, for as long as the connection lasts.

        Raises:
            FetchBusy: Somebody else has it.
        """
        try:
            with self._connection.transaction():
                self._connection.execute(statements.PATIENCE)
                self._row(statements.LOCK, source=self._source.name, range=key)
        except psycopg.errors.LockNotAvailable:
            raise FetchBusy(
                f"another fetcher works on this range of source {self._source.name!r}",
                remedy="Wait for it to end; nothing was requested",
                feed=self._source.feed,
            ) from None

    def pace(self) -> Pace:
        """The pace of the source's requests, which is kept beside."""
        return Pace(self._connection, self._source)

    def counts(self) -> Counts:
        """How many records are in which state."""
        rows = self._connection.execute(statements.COUNTS, {"source": self._source.name})
        return Counts(**dict(rows.fetchall()))

    def still_listed(self) -> int:
        """How many records are gone, and named by the list all the same."""
        found = self._row(statements.STILL_LISTED, source=self._source.name)
        return int(found[0]) if found else 0

    def failures(self, *, limit: int = 100) -> list[Failure]:
        """The records that failed, the latest first."""
        named = {"source": self._source.name, "limit": limit}
        return [Failure(*row) for row in self._connection.execute(statements.FAILURES, named)]

    def find_page(self, path: str) -> Page | None:
        """A page of the list as it was when it was last asked for."""
        found = self._row(statements.FIND_PAGE, source=self._source.name, page=path)
        if found is None:
            return None
        count, following, items, etag = found
        return Page(count, following, tuple(items), etag)

    def keep_page(self, path: str, page: Page) -> None:
        """Remembers a page of the list."""
        self._connection.execute(
            statements.KEEP_PAGE,
            {
                "source": self._source.name,
                "page": path,
                "count": page.count,
                "next": page.next,
                "items": list(page.items),
                "etag": page.etag,
            },
        )

    def plan(self, key: str, items: Sequence[str]) -> int:
        """Makes records the business of a range, unless another one is at work on them.

        Returns:
            How many the ledger had not known.
        """
        named = {
            "source": self._source.name,
            "range": key,
            "items": list(items),
            "fresh_for": self._source.fresh_for,
        }
        planned = self._connection.execute(statements.PLAN, named).rowcount
        self._connection.execute(statements.TAKE_OVER, named)
        return planned

    def plan_failed(self, key: str) -> int:
        """Makes what failed, and what a run that is gone has left, the business of a range."""
        named = {"source": self._source.name, "range": key}
        return self._connection.execute(statements.TAKE_OVER_FAILED, named).rowcount

    def due(self, key: str, *, after: str, limit: int) -> list[Item]:
        """The next records of a range that are to be asked for, in the order of their paths."""
        named = {
            "source": self._source.name,
            "range": key,
            "after": after,
            "fresh_for": self._source.fresh_for,
            "limit": limit,
        }
        return [Item(*row) for row in self._connection.execute(statements.DUE, named)]

    def mark_fetched(self, path: str, attempts: int) -> None:
        """Notes that a record is on its way to the queue."""
        self._mark(statements.FETCHED, path, attempts=attempts)

    def mark_unchanged(self, path: str, attempts: int, etag: str | None) -> None:
        """Notes that upstream has a record as it was sent."""
        self._mark(statements.UNCHANGED, path, attempts=attempts, etag=etag)

    def mark_failed(self, path: str, reason: str, attempts: int | None = None) -> None:
        """Notes that a record failed; the attempts, where they are not noted yet."""
        self._mark(statements.FAILED, path, attempts=attempts, reason=reason)

    def mark_gone(self, path: str, attempts: int) -> None:
        """Notes that upstream has a record no more."""
        self._mark(statements.GONE, path, attempts=attempts)

    def mark_sent(self, versions: Sequence[Version]) -> None:
        """Notes which versions SQS has taken, all at once."""
        self._connection.execute(
            statements.SENT,
            {
                "source": self._source.name,
                "items": [each.path for each in versions],
                "contents": [each.content for each in versions],
                "etags": [each.etag for each in versions],
            },
        )

    def _mark(self, statement: LiteralString, path: str, **values: object) -> None:
        self._connection.execute(statement, {"source": self._source.name, "item": path, **values})

    def _row(self, statement: LiteralString, **named: object) -> tuple[Any, ...] | None:
        return self._connection.execute(statement, named).fetchone()
