"""Which crashes are rehearsed: every moment and end, in the first, a middle and the last batch."""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pipeline.crash_points import CrashPoint

ENDS: Final = ("SIGKILL", "SIGTERM", "MemoryError")
"""How a worker dies."""

# Moments to which a run comes more than once: also in the middle of them.
_AGAIN: Final = (
    CrashPoint.BEFORE_RECEIVE,
    CrashPoint.AFTER_RECEIVE,
    CrashPoint.AFTER_INSERT,
    CrashPoint.BEFORE_DELETE,
    CrashPoint.AFTER_DELETE,
)


class Batch(StrEnum):
    """Which of the batches that drain a queue."""

    FIRST = "first"
    MIDDLE = "middle"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a run.

    Attributes:
        point: The named one.
        nth: Which time the run comes to it.
    """

    point: CrashPoint
    nth: int = 1

    def __str__(self) -> str:
        return str(self.point) if self.nth == 1 else f"{self.point} ({self.nth})"

    def order(self, end: str) -> str:
        """The value of the setting that makes a run die here."""
        return f"{self.point}:{end}:{self.nth}"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A queue that is drained in several batches while runs die.

    Attributes:
        moment: Where the run of a batch dies.
        end: How.
        recoveries: The order by which the run after that dies too, for each batch.
    """

    moment: Moment
    end: str
    recoveries: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.moment} {self.end}"


MOMENTS: Final = (*map(Moment, CrashPoint), *(Moment(point, 2) for point in _AGAIN))
"""Every moment."""


def plan(seed: int) -> list[Rehearsal]:
    """Every rehearsal; the second crashes are all moments and ends too, in an order by chance."""
    firsts = [(moment, end) for moment in MOMENTS for end in ENDS]
    chance = random.Random(seed)  # noqa: S311 - to be the same with the same seed
    seconds = [chance.sample(firsts, len(firsts)) for _ in Batch]
    return [
        Rehearsal(moment, end, tuple(again.order(how) for again, how in recoveries))
        for (moment, end), *recoveries in zip(firsts, *seconds, strict=True)
    ]
