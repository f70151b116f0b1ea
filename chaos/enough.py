"""How much a chaos run must have done before its verdicts prove anything."""

import math
from typing import Final

MESSAGES: Final = 500_000
"""Messages that are accepted in an hour, at least."""

WORKER_KILLS: Final = 100
"""Workers that are killed in an hour after they have received, at least."""

POSTGRES_KILLS: Final = 30
"""Kills of Postgres in an hour, at least."""

_HOUR: Final = 60.0  # minutes
_WARM_UP: Final = 1.0  # minutes in which the processes start, and nobody can be killed at work


def least(of_an_hour: int, minutes: float) -> int:
    """What a run of so many minutes is to have, at least.

    From an hour on it is the hour's figure, and as much more as there are more minutes. In less,
    the first minute counts for nothing, and the rest may fall short by the square root of what
    is expected of it: so much do events at random moments vary by themselves.
    """
    if minutes >= _HOUR:
        return math.ceil(of_an_hour * minutes / _HOUR)
    expected = of_an_hour * max(0.0, minutes - _WARM_UP) / _HOUR
    return max(1, math.ceil(expected - math.sqrt(expected)))
