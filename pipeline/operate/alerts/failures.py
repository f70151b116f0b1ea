"""Finds the failures in Dagster's storage: of runs, of checks, and of ticks."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import dagster as dg
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.storage.event_log import SqlEventLogStorage

from pipeline.operate.alerts.alert import Alert
from pipeline.operate.alerts.wording import End, Told, tell_end, tell_error, tell_text

_ENDS: Final = {
    RunFailureReason.START_TIMEOUT: End.NO_START,
    RunFailureReason.RUN_WORKER_RESTART: End.GONE,
    RunFailureReason.UNEXPECTED_TERMINATION: End.GONE,
}
_LOOK_BACK: Final = 3_600.0  # seconds; what was told of within them is known again
_FINISHED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure that was found.

    Attributes:
        alert: What is told of it.
        position: Its place in the order of its kind.
        subject: By which its kind knows whether it is over.
    """

    alert: Alert
    position: float
    subject: str


@dataclass(frozen=True, slots=True)
class Scene:
    """Where failures are looked for.

    Attributes:
        instance: Dagster's storage.
        location: The code location whose failures are meant; None for all.
        feeds: The names of the feeds.
    """

    instance: dg.DagsterInstance
    location: str | None
    feeds: Collection[str]

    def feed_of(self, name: str) -> str | None:
        """The feed that a job, an asset, a sensor or a schedule is named after."""
        named = [feed for feed in self.feeds if f"_{feed}_" in f"_{name}_"]
        return max(named, key=len, default=None)

    def is_here(self, location: str | None) -> bool:
        """Whether something of that code location, if it has one, is meant."""
        return None in {self.location, location} or location == self.location

    def newest_event(self) -> int:
        """The position of the latest event of any kind."""
        return self.instance.event_log_storage.get_maximum_record_id() or 0

    def has_run(self, run_id: str) -> bool:
        """Whether a run is one of those that are meant."""
        run = self.instance.get_run_by_id(run_id)
        origin = run and run.remote_job_origin
        return self.is_here(origin.location_name if origin else None)


class Kind(Protocol):
    """One kind of failures, in an order of its own."""

    def newest(self) -> float:
        """The position after which failures are new."""

    def after(self, position: float, limit: int) -> tuple[list[Failure], float]:
        """The failures after a position, the oldest first, and the position that was reached."""

    def is_over(self, subject: str) -> bool:
        """Whether what failed has succeeded since."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs that failed, in the order of Dagster's log of events."""

    scene: Scene

    def newest(self) -> float:
        """As `Kind`."""
        found = self.scene.instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, 1)
        return found.records[0].storage_id if found.records else 0

    def after(self, position: float, limit: int) -> tuple[list[Failure], float]:
        """As `Kind`."""
        newest = self.scene.newest_event()
        wanted = dg.RunStatusChangeRecordsFilter(
            dg.DagsterEventType.RUN_FAILURE, **_since(position, newest, "after_storage_id")
        )
        found = self.scene.instance.fetch_run_status_changes(wanted, limit, ascending=True).records
        failures = [self._failure(each) for each in found if self.scene.has_run(each.run_id)]
        return failures, found[-1].storage_id if found else min(position, newest)

    def is_over(self, subject: str) -> bool:
        """As `Kind`: the latest run of the job that has ended has succeeded."""
        latest = self.scene.instance.get_runs(
            dg.RunsFilter(job_name=subject, statuses=_FINISHED), limit=1
        )
        return [run.status for run in latest] == [dg.DagsterRunStatus.SUCCESS]

    def _failure(self, record: dg.EventLogRecord) -> Failure:
        entry = record.event_log_entry
        job = entry.job_name or "unknown"
        told, step = _told(entry)
        alert = Alert(
            code=told.code,
            feed=told.feed or self.scene.feed_of(job),
            place=f"job {job}{step}",
            what=told.what,
            remedy=told.remedy,
            at=entry.timestamp,
            run_id=record.run_id,
        )
        return Failure(alert, record.storage_id, job)


def _since(position: float, newest: int, name: str) -> dict[str, Any]:
    """What a filter asks for; `dagster run wipe` makes SQLite count its events from the beginning.

    Args:
        position: Up to where events were read.
        newest: The position of the latest event; a smaller one where they were deleted since.
        name: What the filter calls a position.
    """
    if position <= newest:
        return {name: int(position)}
    return {"after_timestamp": time.time() - _LOOK_BACK}


def _told(entry: dg.EventLogEntry) -> tuple[Told, str]:
    """What may be told of a run's failure, and of its step."""
    data = entry.get_dagster_event().event_specific_data
    if not isinstance(data, JobFailureData):
        late = (entry.get_dagster_event().message or "").startswith("Exceeded maximum runtime")
        return tell_end(End.LATE if late else End.GONE), ""
    if data.failure_reason in _ENDS:
        return tell_end(_ENDS[data.failure_reason]), ""
    first = data.first_step_failure_event
    if first is None:
        reason = data.failure_reason.value if data.failure_reason else "no reason given"
        return tell_error(data.error, f"the run ended without an error of its own ({reason})"), ""
    step = (first.step_key or "").rpartition(".")[2]
    return tell_error(first.step_failure_data.error, "the step failed"), f", step {step}"


@dataclass(frozen=True, slots=True)
class Checks:
    """Asset checks that failed, in the order of Dagster's log of events.

    Attributes:
        scene: Where.
        warnings: Whether those that only warn are told of.
    """

    scene: Scene
    warnings: bool

    def newest(self) -> float:
        """As `Kind`."""
        found = self._records({}, limit=1)
        return found[0].storage_id if found else 0

    def after(self, position: float, limit: int) -> tuple[list[Failure], float]:
        """As `Kind`."""
        newest = self.scene.newest_event()
        found = self._records(_since(position, newest, "after_cursor"), limit=limit)
        failures = [failure for each in found if (failure := self._failure(each))]
        return failures, found[-1].storage_id if found else min(position, newest)

    def is_over(self, subject: str) -> bool:
        """As `Kind`: what the check has found last is in order."""
        asset, _, name = subject.rpartition(":")
        key = dg.AssetCheckKey(dg.AssetKey.from_user_string(asset), name)
        latest = self.scene.instance.event_log_storage.get_latest_asset_check_execution_by_key(
            [key]
        ).get(key)
        evaluation = latest and latest.evaluation
        return bool(evaluation and evaluation.passed)

    def _records(self, since: Mapping[str, Any], *, limit: int) -> list[dg.EventLogRecord]:
        """Those since then, the oldest first; or the latest."""
        events = self.scene.instance.event_log_storage
        if not isinstance(events, SqlEventLogStorage):
            return []
        wanted = dg.EventRecordsFilter(dg.DagsterEventType.ASSET_CHECK_EVALUATION, **since)
        # That of SQLite looks into the files of all runs; as Dagster itself does for the status of
        # runs, the one above it is asked, which looks into the index.
        found = SqlEventLogStorage.get_event_records(
            events, wanted, limit=limit, ascending=bool(since)
        )
        return list(found)

    def _failure(self, record: dg.EventLogRecord) -> Failure | None:
        found = record.event_log_entry.get_dagster_event().asset_check_evaluation_data
        meant = self.warnings or found.severity is dg.AssetCheckSeverity.ERROR
        if found.passed or not meant or not self.scene.has_run(record.run_id):
            return None
        asset = found.asset_key.to_user_string()
        alert = Alert(
            code=found.check_name,
            feed=self.scene.feed_of(asset),
            place=f"asset {asset}",
            what=tell_text(found.description or "the check failed"),
            remedy="Look at the check on the asset's page",
            at=record.timestamp,
            run_id=record.run_id or None,
        )
        return Failure(alert, record.storage_id, f"{asset}:{found.check_name}")
