"""A connection on which every wait has an end, also where the network goes on as if all were well.

The server's own timeouts end nothing where its answers get lost on the way, and those of TCP
nothing where a proxy or a load balancer in between still confirms each byte.
"""

import time
from collections.abc import Generator
from typing import Any, Final

import psycopg
from psycopg.abc import RV, PQGen

PATIENCE: Final = 150.0
"""Seconds for one wait: longer than the server lets a statement go on."""


class BoundedConnection(psycopg.Connection):
    """A connection that is given up where the server takes too long to say a word.

    Attributes:
        patience: Seconds for one wait.
    """

    patience = PATIENCE

    def wait(self, gen: PQGen[RV], *given: Any, **named: Any) -> RV:  # noqa: ANN401 - as psycopg hands them on
        """As psycopg's, but not for ever.

        Raises:
            psycopg.OperationalError: The time is over; the connection is closed.
        """
        return super().wait(self._until(gen, time.monotonic() + self.patience), *given, **named)

    def _until(self, gen: PQGen[RV], end: float) -> Generator[Any, Any, RV]:
        """What psycopg waits for, step by step; it looks in several times a second."""
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > end:
                    # Or to undo the transaction would be waited for as long.
                    self.pgconn.finish()
                    raise psycopg.OperationalError("no answer")
                wanted = gen.send(ready)
        except StopIteration as done:
            result: RV = done.value
            return result
