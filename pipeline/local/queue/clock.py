"""The queue's clock, as far as somebody may move it, and the alarms that follow it."""

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Protocol


class Alarm(Protocol):
    """What is to happen at a moment, unless it is cancelled."""

    def cancel(self) -> None:
        """Let it not happen."""


class ManualClock:
    """A clock that can be moved on; whoever waits for a moment that has come then is woken.

    It may be read and moved from any thread.

    Args:
        base: Seconds since the epoch to begin with, or a clock from which this one runs ahead.
    """

    def __init__(self, base: float | Callable[[], float]) -> None:
        self._base = base if callable(base) else functools.partial(float, base)
        self._ahead = 0.0
        self._alarms: set[_Alarm] = set()
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self._base() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once.

        Raises:
            ValueError: They are negative: the queue's clock does not run backwards.
        """
        if not seconds >= 0:
            raise ValueError("the clock cannot be turned back")
        with self._lock:
            self._ahead += seconds
            alarms = list(self._alarms)
        for alarm in alarms:
            alarm.look_soon()

    def set(self, moment: float) -> None:
        """Let it be a moment, in seconds since the epoch.

        Raises:
            ValueError: It has passed.
        """
        self.advance(moment - self())

    def call_at(self, when: float, act: Callable[[], object]) -> Alarm:
        """Do something on the running loop when it is that moment."""
        alarm = _Alarm(self, when, act)
        with self._lock:
            self._alarms.add(alarm)
        alarm.look()
        return alarm

    def drop(self, alarm: "_Alarm") -> None:
        """Forget an alarm that is over."""
        with self._lock:
            self._alarms.discard(alarm)


class _Alarm:
    """One alarm: looks at its clock when it was moved, and when its own time has run."""

    def __init__(self, clock: ManualClock, when: float, act: Callable[[], object]) -> None:
        self._clock = clock
        self._when = when
        self._act = act
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._over = False

    def look(self) -> None:
        """Ring if it is time, else look again when it may be."""
        if self._over:
            return
        if self._timer is not None:
            self._timer.cancel()
        left = self._when - self._clock()
        if left > 0:
            self._timer = self._loop.call_later(left, self.look)
            return
        self.cancel()
        self._loop.call_soon(self._act)

    def look_soon(self) -> None:
        """As `look`, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.look)

    def cancel(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._clock.drop(self)


def call_at(clock: Callable[[], float], when: float, act: Callable[[], object]) -> Alarm:
    """Do something on the running loop when a clock shows a moment.

    A clock that nobody can move goes as fast as the loop's, which no change of the system's
    time disturbs.
    """
    if isinstance(clock, ManualClock):
        return clock.call_at(when, act)
    return asyncio.get_running_loop().call_later(max(0.0, when - clock()), act)


async def sleep(clock: Callable[[], float], seconds: float) -> None:
    """Wait until a clock has gone on by so many seconds."""
    over = asyncio.Event()
    alarm = call_at(clock, clock() + seconds, over.set)
    try:
        await over.wait()
    finally:
        alarm.cancel()
