"""The run workers as Dagster's own log knows them: which live, and what each is at."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import dagster as dg
from sqlalchemy.exc import OperationalError

_PID: Final = re.compile(r"Started process for run \(pid: (\d+)\)")
_LIVE: Final = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
_TOLD: Final = {dg.DagsterEventType.ENGINE_EVENT, dg.DagsterEventType.STEP_START}
_JOB: Final = "ingest_"
_MOST: Final = 30


class Moment(StrEnum):
    """What a worker is at."""

    STARTING = "starting"
    RECEIVING = "receiving"
    MASKING = "masking"
    LOADING = "loading"
    ACKNOWLEDGING = "acknowledging"
    REPEATING = "settling further batches"
    CHECKING = "checking afterwards"


IN_HAND: Final = frozenset({Moment.MASKING, Moment.LOADING, Moment.ACKNOWLEDGING})
"""The moments at which a worker holds messages for certain."""

_STEPS: Final = {
    "extract": Moment.RECEIVING,
    "mask": Moment.MASKING,
    "load": Moment.LOADING,
    "acknowledge": Moment.ACKNOWLEDGING,
    "repeat": Moment.REPEATING,
}


@dataclass(frozen=True, slots=True)
class Worker:
    """A process at work on a run.

    Attributes:
        pid: Its id.
        run_id: Its run.
        feed: The feed's name.
        moment: What it is at.
    """

    pid: int
    run_id: str
    feed: str
    moment: Moment


class Workers:
    """Looks at the runs of the feeds' jobs; a few milliseconds each.

    Attributes:
        stopped: Runs whose workers stand still, and so does what they are at. One that was stopped
            while it wrote keeps a file locked: who asks waits for half a minute in vain.

    Args:
        home: DAGSTER_HOME.
    """

    def __init__(self, home: Path) -> None:
        self.instance = dg.DagsterInstance.from_config(str(home))
        self._pids: dict[str, int] = {}
        self._moments: dict[str, Moment] = {}
        self.stopped: set[str] = set()

    def look(self) -> list[Worker]:
        """The workers that have begun and of whose end Dagster has not heard.

        One that was killed is among them until the monitoring notices. While somebody keeps the
        file of all runs locked there is nobody.
        """
        try:
            runs = self.instance.get_runs(dg.RunsFilter(statuses=_LIVE), limit=_MOST)
        except OperationalError:
            return []
        found = [self._worker(run) for run in reversed(runs) if run.job_name.startswith(_JOB)]
        return [each for each in found if each is not None]

    def moment(self, run_id: str) -> Moment:
        """What the worker of a run is at, or was at its end; as last seen, if that is locked."""
        known = self._moments.get(run_id, Moment.STARTING)
        if run_id in self.stopped:
            return known
        try:
            told = self.instance.get_records_for_run(run_id, of_type=_TOLD).records
        except OperationalError:
            return known
        moment = Moment.STARTING
        for record in told:
            event = record.event_log_entry.get_dagster_event()
            if event.event_type is dg.DagsterEventType.STEP_START:
                step = (event.step_key or "").rpartition(".")[2].partition("_")[0]
                moment = _STEPS.get(step, Moment.CHECKING)
            elif found := _PID.search(event.message or ""):
                self._pids.setdefault(run_id, int(found[1]))
        self._moments[run_id] = moment
        return moment

    def close(self) -> None:
        """Lets go of Dagster's storage."""
        self.instance.dispose()

    def _worker(self, run: dg.DagsterRun) -> Worker | None:
        moment = self.moment(run.run_id)
        pid = self._pids.get(run.run_id)
        if pid is None:  # it has not come up yet
            return None
        return Worker(pid, run.run_id, run.job_name.removeprefix(_JOB), moment)
