"""Runs of the job, each in a process of its own, made to die where a rehearsal wants it."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.instance.ref import InstanceRef
from dagster._grpc.types import ExecuteRunArgs

from crashes import deployed
from crashes.worker import ROOT, Workers
from pipeline.crash_points import SETTING

_HOME: Final = """\
telemetry:
  enabled: false
compute_logs:
  # What a worker prints goes where the rehearsal reads it.
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
run_monitoring:
  # As of the project's dagster.yaml, in seconds in place of minutes.
  enabled: true
  start_timeout_seconds: 30
  max_runtime_seconds: 45
  poll_interval_seconds: 5
python_logs:
  managed_python_loggers: [pipeline]
  python_log_level: INFO
"""

_IN_POSTGRES: Final = """\
storage:
  postgres:
    postgres_url: {url}
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker that is no more.

    Attributes:
        status: As of `os.waitpid`.
        said: What it has printed.
        run: What Dagster knows of the run.
    """

    status: int
    said: str
    run: dg.DagsterRunStatus

    def came_to(self, order: str) -> bool:
        """Whether it has come to the moment that an order names."""
        point, how, *_ = order.split(":")
        return f"{SETTING}: {how} at {point}\n" in self.said


@dataclass(frozen=True, slots=True)
class Running:
    """A worker under way.

    Attributes:
        pid: Its process.
        run_id: Its run.
        said: Where what it prints goes.
    """

    pid: int
    run_id: str
    said: Path


class Runs:
    """Launches runs as a launcher does.

    Args:
        workers: Starts the processes.
        environment: What a worker is given, besides Dagster's home.
        home: An empty folder for Dagster's instance.
        database_url: Where the instance keeps what it knows; in files if none is given.
    """

    def __init__(
        self,
        workers: Workers,
        environment: Mapping[str, str],
        home: Path,
        *,
        database_url: str | None = None,
    ) -> None:
        (home / "dagster.yaml").write_text(
            _HOME if database_url is None else _HOME + _IN_POSTGRES.format(url=database_url)
        )
        self._workers = workers
        self._environment = {**environment, "DAGSTER_HOME": str(home)}
        self._home = home
        self._instance = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home)))
        repository = ReconstructableRepository.for_module(
            deployed.__name__, "defs", working_directory=str(ROOT)
        )
        self._job = repository.get_reconstructable_job(f"ingest_{deployed.crash_feed().name}")
        self._definition = self._job.get_definition()
        self._serial = itertools.count()

    def run(self, order: str = "") -> Ended:
        """A run from beginning to end.

        Args:
            order: Where it is to die, as in the setting; empty for nowhere.
        """
        return self.wait(self.start(order))

    def start(self, order: str = "", *, run_id: str | None = None) -> Running:
        """Starts a worker.

        Args:
            order: As of `run`.
            run_id: A run that waits, or one that another worker has begun, of which Dagster has
                not heard; a new one if none is given.
        """
        origin = self._job.get_python_origin()
        if run_id is not None:
            event = dg.DagsterEvent(dg.DagsterEventType.RUN_STARTING.value, self._definition.name)
            self._instance.report_dagster_event(event, run_id=run_id)
        else:
            run = self._instance.create_run_for_job(
                job_def=self._definition, job_code_origin=origin
            )
            run_id = run.run_id
        arguments = ExecuteRunArgs(origin, run_id, self._instance.get_ref())
        command = arguments.get_command_args()
        environment = {**self._environment, **({SETTING: order} if order else {})}
        said = self._home / f"said-{next(self._serial)}"
        pid = self._workers.start(command[command.index("api") :], environment, said)
        return Running(pid, run_id, said)

    def command(self, *arguments: str) -> Running:
        """Starts another command of `dagster`, over the same instance; it has no run."""
        said = self._home / f"said-{next(self._serial)}"
        return Running(self._workers.start(arguments, self._environment, said), "", said)

    def known(self) -> Sequence[dg.DagsterRun]:
        """Every run that Dagster knows."""
        return self._instance.get_runs()

    def launch(self, queued: dg.DagsterRun) -> Running:
        """Starts a worker for a run that waits in Dagster's queue, as its daemon does."""
        return self.start(run_id=queued.run_id)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a worker is given."""
        return self._environment

    def wait(self, running: Running) -> Ended:
        """Waits for the end of a worker, or until it is stopped."""
        status = self.end(running)
        return Ended(status, running.said.read_text(errors="replace"), self.told(running))

    def told(self, running: Running) -> dg.DagsterRunStatus:
        """What Dagster knows of a run."""
        run = self._instance.get_run_by_id(running.run_id)
        assert run is not None  # noqa: S101 - it was made here
        return run.status

    def end(self, running: Running) -> int:
        """As `wait`, without a look at what Dagster knows; the status."""
        return self._workers.wait(running.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._instance.dispose()
