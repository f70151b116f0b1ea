"""Runs in the code server, by Dagster's own launcher, and a look at whether they still go on."""

import time
from collections.abc import Callable
from typing import Final

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData, deserialize_value

GRACE_SECONDS: Final = 120.0
"""As long as a container has between SIGTERM and SIGKILL: meanwhile a run may go on in a server
that no longer answers, or in whose place another one answers already."""

_PATIENCE: Final = 10  # seconds for an answer of the code server


class CodeServerRunLauncher(DefaultRunLauncher):
    """Dagster's own, which by itself lets a run whose code server was killed count as running.

    For as long as it counts, a quarter of an hour, the sensor would leave its messages to it.

    Args:
        inst_data: As Dagster has it.
        clock: Seconds, of this process.
    """

    def __init__(
        self,
        inst_data: ConfigurableClassData | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(inst_data)
        self._clock = clock
        self._missed: dict[str, float] = {}

    @property
    def supports_check_run_worker_health(self) -> bool:
        """This one asks the code server."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether no code server has known of a run for the time of grace."""
        if self._is_known(run.run_id):
            self._missed.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        now = self._clock()
        missed = now - self._missed.setdefault(run.run_id, now)
        if missed < GRACE_SECONDS:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"Missed for {missed:.0f} s.")
        del self._missed[run.run_id]
        return CheckRunHealthResult(WorkerStatus.FAILED, "Its code server was ended, or is away.")

    def _is_known(self, run_id: str) -> bool:
        client = self._get_grpc_client_for_termination(run_id)  # type: ignore[no-untyped-call] # not annotated
        if client is None:  # it is over, or was launched by another launcher
            return True
        try:
            told = client.can_cancel_execution(
                CanCancelExecutionRequest(run_id=run_id), timeout=_PATIENCE
            )
        except DagsterUserCodeUnreachableError:
            return False
        return deserialize_value(told, CanCancelExecutionResult).can_cancel
