"""Tells one channel what failed: in order, once within an hour, and again until it is taken."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pipeline.errors import AlertError
from pipeline.operate.alerts.alert import Alert, Standing
from pipeline.operate.alerts.channels import Channel
from pipeline.operate.alerts.failures import Failure, Kind
from pipeline.operate.alerts.settings import Settings
from pipeline.operate.alerts.state import Repeat, State

QUIET_SECONDS: Final = 3_600.0
"""For so long the same failure is told of once; then, how many times it has happened since."""

TRIES: Final = 10
"""So often an alert is tried, within some 75 minutes."""

_FIRST_PAUSE: Final = 30.0  # seconds; doubles
_LONGEST_PAUSE: Final = 900.0
_MOST: Final = 50  # failures that differ; of more, the oldest are told of again
_AT_ONCE: Final = 100  # failures that are read at once


class Turn:
    """What one tick does for one channel.

    Args:
        channel: The channel.
        state: What it has been told; changed in place.
        kinds: The kinds of failures, by name.
        settings: The settings of all channels.
        now: In seconds since the epoch.
        until: The moment of the monotonic clock after which nothing more is begun.
    """

    def __init__(
        self,
        channel: Channel,
        state: State,
        kinds: Mapping[str, Kind],
        settings: Settings,
        *,
        now: float,
        until: float,
    ) -> None:
        self._channel, self._state, self._kinds = channel, state, kinds
        self._settings, self._now, self._until = settings, now, until
        self.told = 0
        self.lost: list[Alert] = []
        """What was refused too often; it is not tried again."""

    def work(self) -> str:
        """Tells what there is to tell; returns what the tick says of it."""
        name, state = self._channel.name, self._state
        # A moment that lies far ahead was named by a clock that has gone back since.
        if 0 < (left := state.next_try - self._now) <= _LONGEST_PAUSE:
            return f"{name}: refused {state.tries} of {TRIES} times, trying again in {left:.0f} s"
        try:
            self._tell_again()
            self._tell_new()
        except AlertError as error:
            return f"{name}: told {self.told}; {error.what}, try {state.tries} of {TRIES}"
        except TimeoutError:
            return f"{name}: told {self.told}, and more at the next tick"
        return f"{name}: told {self.told}"

    def _tell_again(self) -> None:
        """Tells what has happened again within its hour, or forgets what has not."""
        for same, repeat in list(self._state.repeats.items()):
            repeat.told_at = min(repeat.told_at, self._now)
            if self._now - repeat.told_at < QUIET_SECONDS:
                continue
            over = not repeat.count or self._kinds[repeat.kind].is_over(repeat.subject)
            if repeat.count:
                standing = Standing.ENDED if over else Standing.GOES_ON
                self._deliver(replace(repeat.alert, standing=standing, count=repeat.count))
            repeat.told_at, repeat.count = self._now, 0
            if over:
                del self._state.repeats[same]

    def _tell_new(self) -> None:
        positions = self._state.positions
        for name, kind in self._kinds.items():
            failures, reached = kind.after(positions[name], _AT_ONCE)
            for failure in failures:
                self._take(name, failure)
                positions[name] = failure.position
            positions[name] = reached

    def _take(self, kind: str, failure: Failure) -> None:
        """Tells of a failure, or counts it where it was told of within the hour."""
        repeats, alert = self._state.repeats, failure.alert
        if (known := repeats.get(alert.same)) is not None:
            known.alert, known.count = alert, known.count + 1
            return
        self._deliver(alert)
        repeats[alert.same] = Repeat(alert, kind, failure.subject, self._now)
        while len(repeats) > _MOST:
            del repeats[next(iter(repeats))]

    def _deliver(self, alert: Alert) -> None:
        """Delivers an alert, or gives it up after too many tries.

        Raises:
            AlertError: It is to be tried again.
            TimeoutError: There is no time left to try it.
        """
        if time.monotonic() >= self._until:
            raise TimeoutError
        state = self._state
        try:
            self._channel.deliver(alert, self._settings.link(alert.run_id))
        except AlertError:
            state.tries += 1
            if state.tries < TRIES:
                pause = min(_FIRST_PAUSE * 2.0 ** (state.tries - 1), _LONGEST_PAUSE)
                state.next_try = self._now + pause
                raise
            self.lost.append(alert)
        else:
            self.told += 1
        state.tries, state.next_try = 0, 0.0
