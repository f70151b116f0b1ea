"""Dagster's launcher for warm workers: hands a run to the broker, and asks what became of it."""

import os
from typing import Any, Self

import dagster as dg

from pipeline.errors import SettingsError
from pipeline.warm.broker import QUEUE, read_broker

try:
    from celery.result import denied_join_result  # type: ignore[import-untyped] # not annotated
    from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
    from dagster._grpc.types import ExecuteRunArgs
    from dagster._serdes import ConfigurableClassData, pack_value
    from dagster_celery.config import TASK_EXECUTE_JOB_NAME
    from dagster_celery.launcher import CeleryRunLauncher
    from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

    from pipeline.warm.app import broker_error
except ModuleNotFoundError as missing:
    raise SettingsError(
        f"{missing.name} is not installed",
        remedy="Install the extra: `make setup`, or pip install '.[celery]' in the checkout",
    ) from None


class WarmRunLauncher(CeleryRunLauncher):
    """dagster-celery's launcher, which is set by the environment and not by dagster.yaml.

    What differs: a run is cancelled by Dagster's database, which the worker watches, and not by a
    broadcast; a result that is not there is no reason to fail a run that may well go on; and the
    errors of a broker, which may quote its URL, are not told.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        broker = read_broker(os.environ)
        super().__init__(
            default_queue=QUEUE,
            broker=broker.url,
            backend=broker.results,
            config_source=broker.config,
            inst_data=inst_data,
        )

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Takes nothing: a URL in dagster.yaml would travel in each run's message."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: object) -> Self:  # noqa: ARG003 - it is empty
        """Made as Dagster makes what dagster.yaml names."""
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Puts the run on the broker's queue.

        Raises:
            BrokerError: The broker does not answer, or refuses.
        """
        run = context.dagster_run
        assert run.job_code_origin is not None  # noqa: S101 - Dagster launches no run without it
        # Without the instance: what its dagster.yaml says would travel along, and a worker has
        # one of its own.
        order = ExecuteRunArgs(run.job_code_origin, run.run_id, None, set_exit_code_on_failure=True)
        task = self.celery.signature(
            TASK_EXECUTE_JOB_NAME,
            kwargs={"execute_job_args_packed": pack_value(order)},
            immutable=True,
        )
        try:
            # Nobody waits here for what becomes of it; else Redis would be asked to tell, for ever.
            with denied_join_result():
                self._launch_celery_task_run(run, task, TASK_EXECUTE_JOB_NAME)
        except Exception as error:  # noqa: BLE001 - each transport has its own, and some quote the URL
            raise broker_error(error) from None

    def terminate(self, run_id: str) -> bool:
        """Asks a run to end; its worker looks every few seconds whether that was asked."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return True

    @property
    def supports_resume_run(self) -> bool:
        """Not this one: what a run held was in memory only."""
        return False

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run is known to have ended badly."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        state = self.celery.AsyncResult(task_id).state if task_id else "PENDING"
        if state == "FAILURE":
            return CheckRunHealthResult(WorkerStatus.FAILED, "Its process is gone.")
        return CheckRunHealthResult(WorkerStatus.RUNNING, f"Celery says {state}.")

    def get_run_worker_debug_info(
        self,
        run: dg.DagsterRun,
        include_container_logs: bool | None = True,  # noqa: ARG002, FBT001, FBT002 - as Dagster has it
    ) -> str | None:
        """Which task of Celery's the run is."""
        return f"Celery task {run.tags.get(DAGSTER_CELERY_TASK_ID_TAG, 'unknown')}"
