"""What the tests of alerts share: runs and checks that fail, and a channel that is told of them."""

import sys
from collections.abc import Callable
from typing import Final

import dagster as dg
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    TickData,
    TickStatus,
)
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster_shared.error import SerializableErrorInfo

from pipeline.errors import QueueUnreachable, TableMismatch, WarehouseUnavailable
from pipeline_tests.samples import CANARY


def _broken(name: str, error: Callable[[], Exception]) -> dg.JobDefinition:
    @dg.op(name=f"load_{name}")
    def step() -> None:
        raise error()

    @dg.job(name=f"ingest_{name}")
    def job() -> None:
        step()

    return job


def _unavailable() -> Exception:
    return WarehouseUnavailable(
        "the warehouse is not available (SQLSTATE 53300)",
        remedy="Nothing is lost. Check that Postgres is up",
        feed="user_logins",
    )


def _mismatch() -> Exception:
    return TableMismatch("the table is not there", remedy="Run `pipeline migrate`", feed="orders")


healthy: Final = {"on": False}
"""Whether what fails in these tests succeeds."""


@dg.asset(
    check_specs=[
        dg.AssetCheckSpec("account_adds_up", asset="user_logins"),
        dg.AssetCheckSpec("only_warns", asset="user_logins"),
    ]
)
def user_logins() -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster knows it bare
    """An asset whose checks fail."""
    passed = healthy["on"]
    return dg.MaterializeResult(
        check_results=[
            dg.AssetCheckResult(
                check_name="account_adds_up",
                passed=passed,
                description="received 3; loaded 2, seen by ann@example.org",
            ),
            dg.AssetCheckResult(
                check_name="only_warns", passed=passed, severity=dg.AssetCheckSeverity.WARN
            ),
        ]
    )


@dg.op
def sometimes() -> None:
    if not healthy["on"]:
        raise _unavailable()


@dg.job
def ingest_messages() -> None:
    sometimes()


DEFINITIONS: Final = dg.Definitions(
    assets=[user_logins],
    jobs=[
        _broken("user_logins", _unavailable),
        _broken("orders", _mismatch),
        _broken("pokemon", lambda: ValueError(f"E_WAREHOUSE: no such user: {CANARY}")),
        ingest_messages,
        dg.define_asset_job("checked", selection=[user_logins]),
    ],
    executor=dg.in_process_executor,
)


def run(instance: dg.DagsterInstance, job: str) -> str:
    """A run of a job, which fails or not; its id."""
    found = DEFINITIONS.resolve_job_def(job)
    return found.execute_in_process(instance=instance, raise_on_error=False).run_id


class Instigator:
    """A sensor's ticks, as the daemon leaves them behind in Dagster's storage."""

    def __init__(self, instance: dg.DagsterInstance, location: str = "pipeline") -> None:
        repository = RemoteRepositoryOrigin(
            RegisteredCodeLocationOrigin(location), "__repository__"
        )
        self._origin = RemoteInstigatorOrigin(repository, "user_logins_sensor")
        self._instance = instance
        running = InstigatorStatus.DECLARED_IN_CODE
        instance.add_instigator_state(InstigatorState(self._origin, InstigatorType.SENSOR, running))

    def tick(self, began: float, ended: float, error: Exception | None = None) -> None:
        """A tick that took from one moment to another, and failed where an error is given."""
        status = TickStatus.FAILURE if error else TickStatus.SKIPPED
        self._instance.create_tick(
            TickData(
                self._origin.get_id(),
                "user_logins_sensor",
                InstigatorType.SENSOR,
                status,
                began,
                error=None if error is None else stored(error),
                selector_id=self._origin.get_selector().get_id(),
                end_timestamp=ended,
            )
        )


def unreachable() -> Exception:
    """What a sensor meets while SQS does not answer."""
    return QueueUnreachable("SQS did not answer", remedy="Look at the network", feed="user_logins")


def stored(error: Exception) -> SerializableErrorInfo:
    """An error as Dagster keeps it."""
    try:
        raise error
    except Exception:  # noqa: BLE001 - whatever it is
        return serializable_error_info_from_exc_info(sys.exc_info())
