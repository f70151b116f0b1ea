"""When each event of some traffic is due: rates as people write them, and the shapes of traffic."""

import math
import re
from dataclasses import dataclass
from typing import Final, Protocol

from pipeline.errors import TrafficError

_UNITS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>s|min|h)", re.ASCII)
_RATE: Final = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)/(?P<unit>s|min|h)", re.ASCII)


class Pace(Protocol):
    """A shape of traffic."""

    def due(self, place: int) -> float:
        """When an event is due: seconds from the start; `place` counts from 0."""

    def lasts(self, count: int) -> float:
        """Seconds for which so many events keep this pace up, the gap after the last included."""


@dataclass(frozen=True, slots=True)
class Steady:
    """Always the same rate.

    Attributes:
        rate: Events a second.
    """

    rate: float

    def due(self, place: int) -> float:
        """As `Pace`."""
        return place / self.rate

    def lasts(self, count: int) -> float:
        """As `Pace`."""
        return self.due(count)


@dataclass(frozen=True, slots=True)
class Bursts:
    """Nothing, and then many at once.

    Attributes:
        size: Events of one burst, all due at the same moment.
        every: Seconds from one burst to the next.
    """

    size: int
    every: float

    def due(self, place: int) -> float:
        """As `Pace`."""
        return place // self.size * self.every

    def lasts(self, count: int) -> float:
        """As `Pace`; a burst that is not full counts for a part of its pause."""
        return count / self.size * self.every


@dataclass(frozen=True, slots=True)
class Ramp:
    """A rate that rises or falls evenly, and then stays.

    Attributes:
        first: Events a second at the start.
        last: Events a second from the end of the ramp on.
        over: Seconds that the ramp takes.
    """

    first: float
    last: float
    over: float

    def due(self, place: int) -> float:
        """As `Pace`: the moment at which the area under the rate reaches `place`."""
        on_the_ramp = (self.first + self.last) / 2 * self.over
        if place >= on_the_ramp:
            return self.over + (place - on_the_ramp) / self.last
        # first * t + growth * t ** 2 / 2 = place, solved so that a growth of 0 divides by no 0.
        growth = (self.last - self.first) / self.over
        root = math.sqrt(self.first**2 + 2 * growth * place)
        return 2 * place / (self.first + root)

    def lasts(self, count: int) -> float:
        """As `Pace`."""
        return self.due(count)


def read_rate(text: str) -> float:
    """A rate such as `50/s`, `3000/min` or `10/h`, in events a second.

    Raises:
        TrafficError: It is none, or is 0.
    """
    return 1 / _seconds(_RATE, text, "rate", "50/s, 3000/min or 10/h")


def read_duration(text: str) -> float:
    """A duration such as `30s`, `1.5min` or `2h`, in seconds.

    Raises:
        TrafficError: It is none, or is 0.
    """
    return _seconds(_DURATION, text, "duration", "30s, 10min or 2h")


def _seconds(pattern: re.Pattern[str], text: str, what: str, examples: str) -> float:
    """The seconds of a duration, or from one event of a rate to the next."""
    found = pattern.fullmatch(text)
    number = float(found["number"]) if found else 0.0
    if found is None or not 0 < number < math.inf:
        raise TrafficError(f"that is not a {what}", remedy=f"Write it as {examples}")
    unit = _UNITS[found["unit"]]
    return unit / number if pattern is _RATE else unit * number
