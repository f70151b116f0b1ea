"""Finds ticks of sensors and schedules that failed."""

import time
from dataclasses import dataclass
from typing import Final

from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

from pipeline.operate.alerts.alert import Alert
from pipeline.operate.alerts.failures import Failure, Scene
from pipeline.operate.alerts.wording import tell_error

_LONGEST: Final = 900.0  # seconds of a tick; Dagster itself ends one after a minute by default
_OVER: Final = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]


@dataclass(frozen=True, slots=True)
class Ticks:
    """Ticks that failed, in the order in which they ended: a `Kind`."""

    scene: Scene

    def newest(self) -> float:
        """As `Kind`."""
        return time.time()

    def after(self, position: float, limit: int) -> tuple[list[Failure], float]:
        """As `Kind`."""
        # A tick that ends later than now was stamped by a clock that has gone back since: it waits.
        now = time.time()
        position = min(position, now)
        found = [
            (_ended(tick), tick)
            for state in self.scene.instance.all_instigator_state()
            if self.scene.is_here(state.origin.repository_origin.code_location_origin.location_name)
            for tick in self.scene.instance.get_ticks(
                state.instigator_origin_id,
                state.selector_id,
                after=position - _LONGEST,  # they are kept by the moment when they began
                limit=limit,
                statuses=[TickStatus.FAILURE],
            )
        ]
        new = sorted(
            ((ended, tick) for ended, tick in found if position < ended <= now),
            key=lambda each: each[0],
        )
        failures = [self._failure(ended, tick) for ended, tick in new]
        return failures, new[-1][0] if new else position

    def is_over(self, subject: str) -> bool:
        """As `Kind`: the latest tick that has ended has not failed."""
        origin_id, _, selector_id = subject.partition(" ")
        latest = self.scene.instance.get_ticks(origin_id, selector_id, limit=1, statuses=_OVER)
        return bool(latest) and latest[0].status is not TickStatus.FAILURE

    def _failure(self, ended: float, tick: InstigatorTick) -> Failure:
        told = tell_error(tick.error, "the tick failed")
        alert = Alert(
            code=told.code,
            feed=told.feed or self.scene.feed_of(tick.instigator_name),
            place=f"{tick.instigator_type.value.lower()} {tick.instigator_name}",
            what=told.what,
            remedy=told.remedy,
            at=ended,
        )
        return Failure(alert, ended, f"{tick.instigator_origin_id} {tick.selector_id}")


def _ended(tick: InstigatorTick) -> float:
    return tick.tick_data.end_timestamp or tick.timestamp
