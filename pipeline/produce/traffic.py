"""Sends generated events at a given pace, and measures how long SQS takes to have them.

The pace does not wait for answers. Each latency counts from the moment at which its event was
due, so that a stall shows in every event that it held up, and not in one.
"""

import itertools
import math
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from pipeline.contract import Feed
from pipeline.errors import PipelineError, values_kept_out
from pipeline.messages import Event
from pipeline.produce.dispatch import BYTES, weigh
from pipeline.produce.generate import Recipe, generate
from pipeline.produce.latency import Latencies
from pipeline.produce.pace import Pace
from pipeline.produce.stamping import stamped
from pipeline.produce.ways import Outcome, Way

THREADS: Final = 8
"""Calls that may be under way together."""

_GATHER: Final = 0.02  # seconds that the first event of a call waits for others at most
_TELL: Final = 1.0  # seconds between two lines of progress
_LATE: Final = 1.0  # seconds that an event may leave after the end of the order at most
_FOREVER: Final = 2**62  # more events than anybody sends


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How much traffic, and when.

    Attributes:
        pace: When each event is due.
        count: Events in all; None for no limit.
        seconds: For how long events are due; what is left by then is left. None for no limit.
    """

    pace: Pace
    count: int | None = None
    seconds: float | None = None

    def due_by(self, seconds: float) -> int:
        """How many events are due within so many seconds from the start."""
        end = seconds if self.seconds is None else min(seconds, self.seconds)
        places = range(_FOREVER if self.count is None else self.count)
        return bisect_left(places, end, key=self.pace.due)


class Tally:
    """What became of the events so far; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent = self.refused = self.failed = 0
        self.why: Counter[str] = Counter()
        self.latencies = Latencies()

    def add(self, outcome: Outcome, latencies: Iterable[float]) -> None:
        """Counts an outcome; the latencies in seconds are those of the events that were sent."""
        with self._lock:
            self.sent += outcome.sent
            self.refused += outcome.refused
            self.failed += outcome.failed
            self.why += outcome.why
            for latency in latencies:
                self.latencies.add(latency)


@dataclass(frozen=True, slots=True)
class Sending:
    """Traffic that has ended.

    Attributes:
        tally: What became of the events that left.
        due: Events that were due by the end; those that are not in the tally never left.
        seconds: How long it took, answers included.
        lasts: For how long the events that were due keep the pace up, as `Pace.lasts` has it.
    """

    tally: Tally
    due: int
    seconds: float
    lasts: float

    @property
    def unsent(self) -> int:
        """Events that were due and never left."""
        return self.due - self.tally.sent - self.tally.refused - self.tally.failed

    @property
    def asked(self) -> float:
        """Events a second, as the pace asked for them."""
        return self.due / self.lasts if self.due else 0.0

    @property
    def reached(self) -> float:
        """Events a second that were sent: as many as asked where the pace was kept.

        The gap after the last event counts here too; else a burst would be faster than its pace.
        """
        return self.tally.sent / max(self.seconds, self.lasts) if self.due else 0.0


Due = tuple[float, Event]
"""An event and when it is due, in seconds from the start."""

Tell = Callable[[float, Tally], None]
"""Told once a second: the seconds since the start, and what became of that second's events."""


def endless(feed: Feed, recipe: Recipe) -> Iterator[Event]:
    """Generated events without end: a recipe followed again and again.

    Raises:
        SeedError: The recipe cannot be followed.
    """
    for part in itertools.count():
        seed = None if recipe.random_seed is None else recipe.random_seed + part
        for event in generate(feed, replace(recipe, random_seed=seed)):
            yield stamped(feed, event)


def send(
    way: Way, events: Iterator[Event], order: Order, *, stop: threading.Event, tell: Tell
) -> Sending:
    """Sends events until the order is carried out or `stop` is set, and waits for the answers.

    Args:
        way: On which way.
        events: At least as many as are ordered.
        order: How many, and when.
        stop: Set by another thread to end it: what is under way is finished, nothing else leaves.
        tell: For progress.
    """
    return _Drive(way, order, stop, tell).send(events)


def calls(events: Iterator[Event], order: Order, entries: int) -> Iterator[list[Due]]:
    """The events with their due moments, in portions that travel together.

    Args:
        events: What to send.
        order: How many, and when.
        entries: Events of one call at most.
    """
    portion: list[Due] = []
    size = 0
    for place, event in enumerate(itertools.islice(events, order.count)):
        due, weight = order.pace.due(place), weigh(event)
        if portion and (
            len(portion) == entries or size + weight > BYTES or due > portion[0][0] + _GATHER
        ):
            yield portion
            portion, size = [], 0
        portion.append((due, event))
        size += weight
    if portion:
        yield portion


class _Drive:
    def __init__(self, way: Way, order: Order, stop: threading.Event, tell: Tell) -> None:
        self._way, self._order, self._stop, self._tell = way, order, stop, tell
        self._end = math.inf if order.seconds is None else order.seconds
        self._slots = threading.BoundedSemaphore(THREADS)
        self._tally, self._second = Tally(), Tally()
        self._started = time.monotonic()
        self._told = 0.0

    def send(self, events: Iterator[Event]) -> Sending:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="traffic") as pool:
            for portion in calls(events, self._order, self._way.entries):
                if not self._wait_until(portion[-1][0]) or not self._wait_for_a_slot():
                    break
                pool.submit(self._send, portion)
            due = self._order.due_by(self._elapsed())
        return Sending(self._tally, due, self._elapsed(), self._order.pace.lasts(due))

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _over(self) -> bool:
        return self._stop.is_set() or self._elapsed() >= self._end + _LATE

    def _wait_until(self, due: float) -> bool:
        """Waits for a moment; whether it is still wanted then."""
        while due < self._end and not self._over():
            left = due - self._elapsed()
            if left <= 0:
                return True
            self._stop.wait(min(left, self._until_the_next_line()))
        return False

    def _wait_for_a_slot(self) -> bool:
        """Waits until fewer calls are under way than there are threads; whether that is wanted."""
        while not self._over():
            if self._slots.acquire(timeout=self._until_the_next_line()):
                return True
        return False

    def _until_the_next_line(self) -> float:
        """Tells what there is to tell; the seconds until there is more."""
        elapsed = self._elapsed()
        if elapsed - self._told >= _TELL:
            self._told = elapsed
            second, self._second = self._second, Tally()
            self._tell(elapsed, second)
        return _TELL - (elapsed - self._told)

    def _send(self, portion: list[Due]) -> None:
        try:
            with values_kept_out(stage="send"):
                outcome = self._way.send([event for _, event in portion])
        except PipelineError as error:
            failed = len(portion)
            outcome = Outcome(failed=failed, why=Counter({error.code: failed}))
        now = self._elapsed()
        # Of a portion that was taken in part, which events were taken makes no odds here.
        latencies = [now - due for due, _ in portion][: outcome.sent]
        self._tally.add(outcome, latencies)
        self._second.add(outcome, latencies)
        self._slots.release()
