"""A few connections to the warehouse, each used by one thread at a time, for many requests."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import psycopg

from pipeline.errors import Overloaded, TableMismatch, WarehouseNotTrusted, WarehouseUnavailable
from pipeline.resources import postgres

_Result = TypeVar("_Result")
_Work = Callable[[psycopg.Connection], _Result]

_PATIENCE: Final = "SET statement_timeout = '5s'; SET lock_timeout = '5s'"

_MOST_SECONDS: Final = 10.0
"""Longer than Postgres takes to give up by itself: this is for one that says nothing at all."""

_DOWN_SECONDS: Final = 1.0
"""For so long nobody waits for a new connection, after one could not be had."""


class Connections:
    """Connections that commit each statement by itself; opened when needed, and kept.

    Args:
        url: The warehouse.
        most: How many are open at once; each has a thread.
        waiting: How many pieces of work may wait for one of them.
        most_seconds: How long a piece of work may take, with its wait.
    """

    def __init__(
        self, url: str, most: int, waiting: int, *, most_seconds: float = _MOST_SECONDS
    ) -> None:
        self._url = url
        self._most_seconds = most_seconds
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="warehouse")
        self._idle: deque[psycopg.Connection] = deque()
        self._places = threading.BoundedSemaphore(most + waiting)
        self._down_until = 0.0  # as `time.monotonic` counts

    async def ask(self, work: _Work[_Result]) -> _Result:
        """Does a piece of work on a connection.

        Args:
            work: It may be done twice: where the connection is cut, once more on a new one. It
                may be done after the error `WarehouseUnavailable`, if it had begun before.

        Raises:
            Overloaded: Too many wait already.
            WarehouseUnavailable: Postgres does not answer.
            TableMismatch: A table is missing, or not for this log-in.
        """
        if not self._places.acquire(blocking=False):
            raise Overloaded(
                "too many requests wait for the warehouse", remedy="Send it again in a moment"
            )
        until = time.monotonic() + self._most_seconds
        begun = self._threads.submit(self._do, work, until)
        # Not before a thread is done with it: else what nobody waits for would pile up.
        begun.add_done_callback(lambda _: self._places.release())
        answer = asyncio.wrap_future(begun)
        answer.add_done_callback(_hear)
        done, _ = await asyncio.wait({answer}, timeout=self._most_seconds)
        if not done:
            raise _unavailable()
        return answer.result()

    def close(self) -> None:
        """Closes them, once what is being done is done; nothing is asked afterwards."""
        self._threads.shutdown(cancel_futures=True)
        while self._idle:
            self._idle.pop().close()

    def _do(self, work: _Work[_Result], until: float) -> _Result:
        if time.monotonic() > until:  # nobody waits for it any more
            raise _unavailable()
        with _explained():
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._use(self._open(), work)
            try:
                return self._use(connection, work)
            except psycopg.OperationalError:
                if not connection.broken:
                    raise
            return self._use(self._open(), work)

    def _open(self) -> psycopg.Connection:
        if time.monotonic() < self._down_until:
            raise _unavailable()
        try:
            connection = postgres.connect(self._url)
        except (WarehouseUnavailable, WarehouseNotTrusted):
            self._down_until = time.monotonic() + _DOWN_SECONDS
            raise
        connection.autocommit = True
        connection.execute(_PATIENCE)
        return connection

    def _use(self, connection: psycopg.Connection, work: _Work[_Result]) -> _Result:
        try:
            return work(connection)
        finally:
            if connection.broken:
                connection.close()
            else:
                self._idle.append(connection)


def _unavailable() -> WarehouseUnavailable:
    return WarehouseUnavailable(
        "the warehouse does not answer",
        remedy="Check that Postgres is up; requests without an Idempotency-Key go on meanwhile",
    )


def _hear(answer: asyncio.Future[Any]) -> None:
    """Takes note of an error: asyncio would log one that comes when nobody waits any more."""
    if not answer.cancelled():
        answer.exception()


@contextmanager
def _explained() -> Iterator[None]:
    """Says what to do about a table that is missing or barred; else as `postgres.translated`."""
    missing = (
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedColumn,
        psycopg.errors.InvalidSchemaName,
    )
    with postgres.translated():
        try:
            yield
        except missing:
            raise TableMismatch(
                "the table pipeline.idempotency is missing, or older than this code",
                remedy="Run `pipeline migrate` with the owner's log-in",
            ) from None
        except psycopg.errors.InsufficientPrivilege:
            raise TableMismatch(
                "this log-in may not use the table pipeline.idempotency",
                remedy="Run `pipeline migrate`, then make the log-in a member of the role producer",
            ) from None
