"""How much a chaos run must have done before its verdicts prove anything."""

import math
from typing import Final

from chaos.feed import BATCH

MESSAGES: Final = 500_000
"""Messages that are accepted in an hour, at least."""

WORKER_KILLS: Final = 100
"""Workers that are killed in an hour after they have received, at least."""

POSTGRES_KILLS: Final = 30
"""Kills of Postgres in an hour, at least."""

LOADED_MEANWHILE: Final = MESSAGES // 2
"""Rows that are loaded in an hour before the last fault has passed, at least."""

_HOUR: Final = 60.0  # minutes
_WARM_UP: Final = 1.0  # minutes in which the processes start, and nobody can be killed at work


def least(of_an_hour: int, minutes: float, *, at_once: int = 1, warm_up: float = _WARM_UP) -> int:
    """What a run of so many minutes is to have, at least.

    From an hour on it is the hour's figure, and as much more as there are more minutes. In less,
    the first minutes count for nothing, and the rest may fall short by the square root of what
    is expected of it: so much do events at random moments vary by themselves.

    Args:
        of_an_hour: What an hour is to have.
        minutes: Those of the run.
        at_once: How much comes with one event.
        warm_up: Minutes at the start that count for nothing.
    """
    if minutes >= _HOUR:
        return math.ceil(of_an_hour * minutes / _HOUR)
    events = of_an_hour * max(0.0, minutes - warm_up) / _HOUR / at_once
    return max(1, math.ceil(at_once * (events - math.sqrt(events))))


def least_loaded(minutes: float) -> int:
    """How many rows a run of so many minutes is to load before its last fault has passed.

    They come a batch at a time, and none in the first two minutes: the first runs start only once
    everything else has, and the first faults hit them.
    """
    return least(LOADED_MEANWHILE, minutes, at_once=BATCH, warm_up=2 * _WARM_UP)
