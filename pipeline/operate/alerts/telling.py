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
MOST: Final = 1_000
"""Failures that differ: so many are told of by themselves within an hour, and known again."""

_WHOLE: Final = 50  # of these keep their text, the latest: all is in the cursor, which is written
_AT_ONCE: Final = 100  # failures that are read at once


class _OutOfTimeError(Exception):
    """The next tick goes on."""


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
        self.trouble: dict[str, Exception] = {}
        """By kind of failures, why it could not be looked at; what was told stays told."""

    def work(self) -> str:
        """Tells what there is to tell; returns what the tick says of it."""
        name, state = self._channel.name, self._state
        # A moment that lies far ahead was named by a clock that has gone back since.
        if 0 < (left := state.next_try - self._now) <= _LONGEST_PAUSE:
            return f"{name}: refused {state.tries} of {TRIES} times, trying again in {left:.0f} s"
        try:
            self._tell_again()
            self._tell_new()
            self._tell_how_many()
        except AlertError as error:
            return f"{name}: told {self.told}; {error.what}, try {state.tries} of {TRIES}"
        except _OutOfTimeError:
            return f"{name}: told {self.told}, and more at the next tick"
        return f"{name}: told {self.told}"

    def _tell_again(self) -> None:
        """Tells what has happened again within its hour, or forgets what has not."""
        for digest, repeat in list(self._state.repeats.items()):
            repeat.told_at = min(repeat.told_at, self._now)
            if self._now - repeat.told_at < QUIET_SECONDS:
                continue
            try:
                over = not repeat.count or self._kinds[repeat.kind].is_over(repeat.subject)
            except Exception as error:  # noqa: BLE001 - any storage's; it is told, and tried again
                self.trouble[repeat.kind] = error
                continue
            if repeat.count:
                self._tell_of(repeat, Standing.ENDED if over else Standing.GOES_ON)
            repeat.told_at, repeat.count = self._now, 0
            if over:
                del self._state.repeats[digest]

    def _tell_of(self, repeat: Repeat, standing: Standing) -> None:
        if repeat.alert is None:
            self._set_aside(repeat.count, self._now)
        else:
            self._deliver(replace(repeat.alert, standing=standing, count=repeat.count))

    def _tell_new(self) -> None:
        for name, kind in self._kinds.items():
            try:
                self._read(name, kind)
            except (AlertError, _OutOfTimeError):
                raise
            except Exception as error:  # noqa: BLE001 - as above
                self.trouble[name] = error

    def _read(self, name: str, kind: Kind) -> None:
        """Reads what is new of a kind, and tells of it, until there is no more."""
        positions = self._state.positions
        while True:
            began = positions[name]
            failures, reached = kind.after(began, _AT_ONCE)
            for failure in failures:
                self._take(name, failure)
                positions[name] = failure.position
            positions[name] = reached
            if reached == began:
                return
            if time.monotonic() >= self._until:
                raise _OutOfTimeError

    def _take(self, kind: str, failure: Failure) -> None:
        """Tells of a failure, or counts it where it was told of within the hour."""
        repeats, alert = self._state.repeats, failure.alert
        if (known := repeats.get(alert.digest)) is not None:
            known.count += 1
            known.alert = known.alert and alert
            return
        if len(repeats) >= MOST:
            self._set_aside(1, alert.at)
            return
        self._deliver(alert)
        repeats[alert.digest] = Repeat(kind, failure.subject, self._now, alert=alert)
        whole = [each for each in repeats.values() if each.alert is not None]
        for each in whole[:-_WHOLE]:
            each.alert = None

    def _set_aside(self, count: int, at: float) -> None:
        self._state.untold += count
        self._state.untold_at = at

    def _tell_how_many(self) -> None:
        """Tells in one alert an hour of what is too much to be told one by one."""
        state = self._state
        state.summed_at = min(state.summed_at, self._now)
        if state.untold and self._now - state.summed_at >= QUIET_SECONDS:
            self._deliver(
                Alert(
                    code="E_MANY_FAILURES",
                    feed=None,
                    place="alerts",
                    what="more fails than is told of one by one; these were only counted",
                    remedy="Look at the runs, checks and ticks that failed in Dagster's web UI",
                    at=state.untold_at,
                    standing=Standing.GOES_ON,
                    count=state.untold,
                )
            )
            state.untold, state.summed_at = 0, self._now

    def _deliver(self, alert: Alert) -> None:
        """Delivers an alert, or gives it up after too many tries.

        Raises:
            AlertError: It is to be tried again.
            _OutOfTimeError: There is no time left to try it.
        """
        if time.monotonic() >= self._until:
            raise _OutOfTimeError
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
