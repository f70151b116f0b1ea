"""The pace of a source's requests, kept in Postgres: one for all runs on all machines."""

import asyncio
from datetime import timedelta

import psycopg

from pipeline.errors import FetchError
from pipeline.produce.fetch import statements
from pipeline.source import Source

_FAR = 3_600.0  # seconds: no number of runs makes one wait that long for its turn


class Pace:
    """Gives each request its moment.

    Args:
        connection: One that commits each statement.
        source: The source.
    """

    def __init__(self, connection: psycopg.Connection, source: Source) -> None:
        self._connection = connection
        self._source = source
        self._interval = timedelta(seconds=1 / source.requests_per_second)

    async def turn(self) -> None:
        """Waits until it is a request's turn.

        Raises:
            FetchError: That would be in hours.
        """
        while True:
            wait = await asyncio.to_thread(self._reserve)
            if wait > _FAR:
                raise FetchError(
                    f"the next request to source {self._source.name!r} may be sent in"
                    f" {wait / _FAR:.0f} hours only",
                    remedy="Look for a clock that was wrong, and correct the times in"
                    " pipeline.fetch_source",
                    feed=self._source.feed,
                )
            if wait <= 0:
                return
            await asyncio.sleep(wait)
            # Upstream may have asked somebody for a pause meanwhile.
            if not await asyncio.to_thread(self._is_closed):
                return

    async def close(self, seconds: float) -> None:
        """Keeps everybody's requests back, as upstream asked for."""
        await asyncio.to_thread(self._close, timedelta(seconds=seconds))

    def _reserve(self) -> float:
        named = {"source": self._source.name, "interval": self._interval}
        row = self._connection.execute(statements.RESERVE, named).fetchone()
        assert row is not None  # noqa: S101 - the ledger has made the row
        return float(row[0])

    def _is_closed(self) -> bool:
        named = {"source": self._source.name}
        return self._connection.execute(statements.CLOSED, named).fetchone() == (True,)

    def _close(self, pause: timedelta) -> None:
        named = {"source": self._source.name, "pause": pause}
        self._connection.execute(statements.CLOSE, named)
