"""Whether the clocks agree: this machine's, SQS's and the server's."""

import time
from collections.abc import Iterator
from typing import Final

import psycopg

from pipeline.operate.start_up.finding import Finding

_WARN: Final = 10.0  # seconds: ages and pauses are told wrongly
_FAIL: Final = 300.0  # AWS refuses what is signed a quarter of an hour off; well before that


def check_clock(where: str, ahead: float | None) -> Iterator[Finding]:
    """Whether another clock is far from this machine's (faults 24 and 71).

    Args:
        where: Whose clock.
        ahead: Seconds by which it is ahead; None where it is not known.
    """
    if ahead is None or abs(ahead) < _WARN:
        return
    side = "ahead of" if ahead > 0 else "behind"
    yield Finding(
        "error" if abs(ahead) >= _FAIL else "warning",
        where,
        f"its clock is {abs(ahead):.0f} s {side} this machine's",
        "Set both by NTP: AWS refuses calls that are 15 minutes off, and ages are told wrongly",
    )


def ahead_of_us(connection: psycopg.Connection) -> float:
    """Seconds by which the server's clock is ahead of this machine's.

    Raises:
        psycopg.Error: The server did not answer.
    """
    asked = time.time()
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return float(row[0]) - (asked + time.time()) / 2
