"""A few connections to the warehouse, each used by one thread at a time, for many requests."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

import psycopg

from pipeline.errors import Overloaded, TableMismatch
from pipeline.resources import postgres

_Result = TypeVar("_Result")
_Work = Callable[[psycopg.Connection], _Result]

_PATIENCE: Final = "SET statement_timeout = '5s'; SET lock_timeout = '5s'"


class Connections:
    """Connections that commit each statement by itself; opened when needed, and kept.

    Args:
        url: The warehouse.
        most: How many are open at once; each has a thread.
        waiting: How many pieces of work may wait for one of them.
    """

    def __init__(self, url: str, most: int, waiting: int) -> None:
        self._url = url
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="warehouse")
        self._idle: deque[psycopg.Connection] = deque()
        self._places = most + waiting
        self._taken = 0

    async def ask(self, work: _Work[_Result]) -> _Result:
        """Does a piece of work on a connection.

        Args:
            work: It may be done twice: where the connection is cut, once more on a new one.

        Raises:
            Overloaded: Too many wait already.
            WarehouseUnavailable: Postgres does not answer.
            TableMismatch: A table is missing, or not for this log-in.
        """
        if self._taken >= self._places:
            raise Overloaded(
                "too many requests wait for the warehouse", remedy="Send it again in a moment"
            )
        self._taken += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._do, work)
        finally:
            self._taken -= 1

    def close(self) -> None:
        """Closes them, once what is being done is done; nothing is asked afterwards."""
        self._threads.shutdown(cancel_futures=True)
        while self._idle:
            self._idle.pop().close()

    def _do(self, work: _Work[_Result]) -> _Result:
        with _explained():
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._use(_open(self._url), work)
            try:
                return self._use(connection, work)
            except psycopg.OperationalError:
                if not connection.broken:
                    raise
            return self._use(_open(self._url), work)

    def _use(self, connection: psycopg.Connection, work: _Work[_Result]) -> _Result:
        try:
            return work(connection)
        finally:
            if connection.broken:
                connection.close()
            else:
                self._idle.append(connection)


def _open(url: str) -> psycopg.Connection:
    connection = postgres.connect(url)
    connection.autocommit = True
    connection.execute(_PATIENCE)
    return connection


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
