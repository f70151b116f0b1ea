"""What an instance of Dagster knows of its ticks and runs, read from its own storage."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorType, TickStatus

from pipeline.consume.sensor import UNFINISHED

_TICKS: Final = [TickStatus.SUCCESS, TickStatus.SKIPPED]


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended.

    Attributes:
        asked: When it was asked for, in seconds since the epoch.
        started: When its process said that it had begun.
        ended: When it ended.
        succeeded: Whether it did.
        tags: As Dagster has them.
    """

    asked: float
    started: float
    ended: float
    succeeded: bool
    tags: dict[str, str]


class History:
    """Looks at an instance from outside, some milliseconds each time.

    Args:
        home: Its DAGSTER_HOME.
    """

    def __init__(self, home: Path) -> None:
        self._instance = dg.DagsterInstance.from_config(str(home))

    def ticks(self, after: float) -> dict[str, list[float]]:
        """When the ticks of each sensor after some moment began: seconds since the epoch, in order.

        Those that are under way or have failed are left out.
        """
        return {state.instigator_name: self._ticks(state, after) for state in self._sensors()}

    def first_tick(self, sensor: str, after: float) -> float | None:
        """When the first of those of one sensor began."""
        found = (each for each in self._sensors() if each.instigator_name == sensor)
        return next((tick for each in found for tick in self._ticks(each, after)), None)

    def is_idle(self) -> bool:
        """Whether no run waits or is at work."""
        return not self._instance.get_runs(dg.RunsFilter(statuses=UNFINISHED), limit=1)

    def runs(self, job: str, after: float) -> Sequence[Run]:
        """The runs of a job that were asked for after some moment, and have ended."""
        asked_after = dg.RunsFilter(job_name=job, created_after=datetime.fromtimestamp(after, UTC))
        return [
            Run(
                record.create_timestamp.timestamp(),
                record.start_time or record.end_time,  # one that failed before has none
                record.end_time,
                record.dagster_run.is_success,
                dict(record.dagster_run.tags),
            )
            for record in self._instance.get_run_records(asked_after)
            if record.end_time is not None
        ]

    def close(self) -> None:
        """Lets go of the storage."""
        self._instance.dispose()

    def _sensors(self) -> Sequence[InstigatorState]:
        return self._instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)

    def _ticks(self, state: InstigatorState, after: float) -> list[float]:
        ticks = self._instance.get_ticks(
            state.instigator_origin_id, state.selector_id, after=after, statuses=_TICKS
        )
        return sorted(tick.timestamp for tick in ticks)
