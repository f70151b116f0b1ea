"""Warm workers as processes of their own, the instance that hands runs to them, and their world."""

import datetime as dt
import logging
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import boto3
import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

import pipeline
from pipeline.local.postgres import EmbeddedPostgres
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import QueueServer
from pipeline_tests.crash_case import PIPELINE, is_waited_for
from pipeline_tests.observed_queue import ObservedApp
from pipeline_tests.postgres_fixtures import database
from pipeline_tests.queue_fixtures import Clock, client_for, serving
from pipeline_tests.samples import eventually
from pipeline_tests.world import CLOCK_DAY, JOB, World, lead_to, lock, settings

CHECKOUT: Final = Path(pipeline.__file__).parents[1]
INSTANCE: Final = CHECKOUT / "deploy" / "dagster.yaml"


_START: Final = 120.0  # seconds, for a process that imports everything on a busy machine

HALF_A_DAY: Final = 43_200
"""Seconds: the visibility timeout of the queue on which runs wait."""


class Worker:
    """`pipeline worker` as a process of its own.

    Args:
        environment: The settings.
        said: Where what it prints goes.
    """

    def __init__(self, environment: Mapping[str, str], said: Path) -> None:
        self._said = said
        with said.open("wb") as printed:
            self.process = subprocess.Popen(
                [str(PIPELINE), "worker", "--grace", "0.2"],
                env=dict(environment),
                stdout=printed,
                stderr=subprocess.STDOUT,
            )
        try:
            eventually(self._has_begun, patience=_START)
            assert self.process.poll() is None, self.said
        except AssertionError:
            self.end()
            raise

    def _has_begun(self) -> bool:
        return " ready." in self.said or self.process.poll() is not None

    @property
    def said(self) -> str:
        """What it has printed."""
        return self._said.read_text(errors="replace")

    def process_of(self, run_id: str) -> int:
        """The process that executes a run, or has."""
        begun = f"run {run_id} begins in process "
        eventually(lambda: begun in self.said)
        return int(self.said.split(begun)[1].split()[0])

    def end(self) -> None:
        """Kills it; its children end with it."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


@dataclass
class WarmWorld:
    """A world with a broker, and an instance as `deploy/dagster.yaml` describes it.

    Attributes:
        world: Queue and warehouse.
        runs: The URL of the queue on which runs wait.
        environment: All settings of a worker.
        folder: For what workers print.
        instance: Launches runs.
        today: The day on which a test began.
    """

    world: World
    runs: str
    environment: Mapping[str, str]
    folder: Path
    instance: dg.DagsterInstance
    today: dt.date = CLOCK_DAY
    _worker: Worker | None = None

    def begin(self) -> None:
        """Empties the warehouse; notes what day it is on the queue's clock, which only goes on."""
        self.world.query("DROP TABLE IF EXISTS user_logins")
        self.world.query("DROP SCHEMA IF EXISTS pipeline CASCADE")
        self.today = dt.datetime.fromtimestamp(self.world.clock(), dt.UTC).date()

    @property
    def worker(self) -> Worker:
        """A worker that lives, started where there is none."""
        if self._worker is None or self._worker.process.poll() is not None:
            self._worker = Worker(self.environment, self.folder / "worker.log")
        return self._worker

    def waiting(self) -> tuple[int, int]:
        """How many runs wait for a worker, and how many are with one."""
        return replace(self.world, queue_url=self.runs).depth()

    def launch(self, **tags: str) -> str:
        """Hands a run of the logins over, as the daemon does; its id."""
        repository = ReconstructableRepository.for_module(
            "pipeline.definitions", "defs", working_directory=str(CHECKOUT)
        )
        job = repository.get_reconstructable_job(JOB)
        run = self.instance.create_run_for_job(
            job_def=job.get_definition(), job_code_origin=job.get_python_origin(), tags=tags
        )
        self.instance.launch_run(run.run_id, cast("Any", None))  # it is for other launchers
        return run.run_id

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        """What Dagster knows of a run."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def wait(self, run_id: str) -> dg.DagsterRunStatus:
        """What a run has come to, once it is over."""
        over = {
            dg.DagsterRunStatus.SUCCESS,
            dg.DagsterRunStatus.FAILURE,
            dg.DagsterRunStatus.CANCELED,
        }
        eventually(lambda: self.status(run_id) in over)
        return self.status(run_id)

    def told(self, run_id: str) -> Sequence[str]:
        """All that Dagster stores of a run."""
        return [str(entry) for entry in self.instance.all_logs(run_id)]

    def monitor(self) -> None:
        """One look of Dagster's run monitoring."""
        list(execute_run_monitoring_iteration(cast("Any", _Daemon(self.instance)), _quiet))

    @contextmanager
    def batch_in_hand(self, **tags: str) -> Iterator[str]:
        """A run that has received a batch and waits for a table; its id."""
        world = self.world
        with psycopg.connect(world.postgres_url) as holder:
            # A run looks for its queue once it has made sure that it could write; kombu never does.
            found = "GetQueueUrl", world.app.calls["GetQueueUrl"] + 1
            world.app.hooks[found] = lambda: lock(holder, "pipeline.account")
            run_id = self.launch(**tags)
            eventually(lambda: is_waited_for(holder) or self.wait_is_futile(run_id))
            yield run_id

    def wait_is_futile(self, run_id: str) -> bool:
        """Whether a run is over that was to wait."""
        return self.status(run_id) is dg.DagsterRunStatus.FAILURE

    def end(self) -> None:
        """Ends the worker."""
        if self._worker is not None:
            self._worker.end()


@dataclass
class _Daemon:
    """What run monitoring asks of Dagster's daemon."""

    instance: dg.DagsterInstance

    def create_request_context(self) -> None:
        """The workspace, of which no check here has need."""


_quiet: Final = logging.getLogger(__name__)


@contextmanager
def warm_world(
    server: EmbeddedPostgres, aws: boto3.Session, folder: Path, broker: str = "sqs://"
) -> Iterator[WarmWorld]:
    """A world with empty queues and databases, to which the settings of this process lead.

    Args:
        server: Has the databases.
        aws: Makes the client.
        folder: An empty one.
        broker: The broker's URL; the embedded queue by default.
    """
    clock = Clock()
    app = ObservedApp(Queues(clock=clock, rng=random.Random(1)))  # noqa: S311 - ids only
    with (
        database(server) as warehouse,
        database(server) as history,
        serving(QueueServer(app)) as endpoint,
        closing(client_for(endpoint, aws)) as sqs,
        pytest.MonkeyPatch.context() as patch,
    ):
        hidden = str(HALF_A_DAY)
        made = sqs.create_queue(QueueName="runs", Attributes={"VisibilityTimeout": hidden})
        runs = made["QueueUrl"]
        queue = sqs.create_queue(QueueName="login-queue")["QueueUrl"]
        environment = settings(endpoint, warehouse, folder) | {
            "DAGSTER_HOME": str(folder / "home"),
            "DAGSTER_POSTGRES_URL": history,
            "PIPELINE_LAUNCHER": "celery",
            "PIPELINE_CELERY_BROKER": broker,
            "PIPELINE_CELERY_RESULTS": history if broker == "sqs://" else broker,
            **({"PIPELINE_CELERY_QUEUE_URL": runs} if broker == "sqs://" else {}),
        }
        (folder / "home").mkdir()
        shutil.copy(INSTANCE, folder / "home" / "dagster.yaml")
        lead_to(environment, patch)
        world = World(sqs, queue, warehouse, environment, app, clock)
        with dg.DagsterInstance.get() as instance:
            warm = WarmWorld(world, runs, environment, folder, instance)
            try:
                yield warm
            finally:
                warm.end()


def kill(pid: int) -> None:
    """SIGKILL."""
    os.kill(pid, signal.SIGKILL)
