"""Decides whether dead letters are to be looked at: a pure function of what one tick saw."""

from dataclasses import dataclass
from typing import Final, Self

_CHANGED: Final = 900.0  # seconds between two looks at a depth that changes
_UNCHANGED: Final = 6 * 3600.0  # and at one that does not: they grow older


@dataclass(frozen=True, slots=True)
class Noticed:
    """What was there when a look was last asked for; the cursor of the sensor.

    Attributes:
        depth: Messages on the dead-letter queue.
        at: When, in seconds since the epoch.
    """

    depth: int
    at: float

    @classmethod
    def read(cls, cursor: str | None) -> Self:
        """What a cursor says; without one, an empty queue long ago."""
        depth, _, at = (cursor or "0 0").partition(" ")
        return cls(int(depth), float(at))

    def __str__(self) -> str:
        return f"{self.depth} {self.at}"


def is_due(depth: int, last: Noticed, now: float) -> bool:
    """Whether to look: at once where letters appear or are gone, else now and then."""
    if (depth == 0) != (last.depth == 0):
        return True
    if depth == 0:
        return False
    waited = now - last.at
    # A clock that went back must not keep anybody from looking.
    return waited < 0 or waited >= (_UNCHANGED if depth == last.depth else _CHANGED)
