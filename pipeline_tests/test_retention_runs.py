"""Old runs leave Dagster's storage, on SQLite and on Postgres; what an asset shows stays."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorType
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.test_utils import freeze_time
from dagster._core.utils import make_new_run_id

from pipeline.operate.retention import runs
from pipeline.operate.retention.history import History, find_location
from pipeline.operate.retention.portions import Pruned
from pipeline.operate.retention.runs import prune_runs
from pipeline_tests.test_sensor import ORIGIN
from pipeline_tests.world import JOB

PARTS: Final = dg.DynamicPartitionsDefinition(name="parts")
STATUS: Final = dg.DagsterRunStatus
NOW: Final = datetime.now(UTC)
LONG_AGO: Final = NOW - timedelta(days=40)
LOCATION: Final = ORIGIN.location_name


@dg.asset(check_specs=[dg.AssetCheckSpec("sound", asset="rows")])
def rows() -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster knows it bare
    """An asset with a check."""
    print("a line for the compute log")  # noqa: T201 - as said
    sound = dg.AssetCheckResult(check_name="sound", passed=True)
    return dg.MaterializeResult(metadata={"rows": 1}, check_results=[sound])


@dg.asset(partitions_def=PARTS)
def ranges() -> None:
    """An asset whose partitions are known by their events only."""


@dg.op
def look(context: dg.OpExecutionContext) -> None:
    context.log_event(dg.AssetObservation("queue", metadata={"depth": 1}))


@dg.op
def fail() -> None:
    raise ValueError("no")


@dg.job
def observe() -> None:
    look()


@dg.job
def broken() -> None:
    fail()


DEFINITIONS: Final = dg.Definitions(
    assets=[rows, ranges],
    jobs=[
        observe,
        broken,
        dg.define_asset_job("rows_job", selection=[rows]),
        dg.define_asset_job("ranges_job", selection=[ranges]),
    ],
    executor=dg.in_process_executor,
)


@pytest.fixture(params=["sqlite", "postgres"])
def instance(
    request: pytest.FixtureRequest, warehouse_url: str, home: Path
) -> Iterator[dg.DagsterInstance]:
    """A real instance with both kinds of storage."""
    overrides: dict[str, object] = {"telemetry": {"enabled": False}}
    if request.param == "postgres":
        overrides["storage"] = {"postgres": {"postgres_url": warehouse_url}}
    with dg.DagsterInstance.local_temp(str(home), overrides=overrides) as instance:
        yield instance


def run(instance: dg.DagsterInstance, job: str, at: datetime, part: str | None = None) -> str:
    """A run of a job at a moment; its id."""
    with freeze_time(at):
        if part:
            instance.add_dynamic_partitions("parts", [part])
        result = DEFINITIONS.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=part, raise_on_error=False
        )
    return result.run_id


def history(instance: dg.DagsterInstance, location: str | None = LOCATION) -> History:
    names = {"observe", "broken", "rows_job", "ranges_job"}
    return History(instance, location, names)


def prune(instance: dg.DagsterInstance, before: datetime) -> Pruned:
    until = time.monotonic() + 60
    return prune_runs(history(instance), before, until=until, tell=lambda _: None)


def kept(instance: dg.DagsterInstance) -> set[str]:
    return set(instance.get_run_ids())


def check_runs(instance: dg.DagsterInstance) -> set[str]:
    """The runs of which Dagster keeps what checks have found."""
    events = instance.event_log_storage
    assert isinstance(events, SqlEventLogStorage)
    with events.index_connection() as connection:
        found = connection.execute(AssetCheckExecutionsTable.select())
        return {row.run_id for row in found}


def test_old_runs_go_with_all_that_is_theirs_and_younger_ones_stay(
    instance: dg.DagsterInstance, home: Path
) -> None:
    old = [run(instance, "rows_job", LONG_AGO) for _ in range(2)]
    failed = run(instance, "broken", LONG_AGO)
    edge = run(instance, "broken", NOW - timedelta(days=30) + timedelta(minutes=1))
    young = run(instance, "rows_job", NOW)
    assert set(old) | {young} == check_runs(instance)
    assert any(old[0] in str(each) for each in home.rglob("*"))

    assert prune(instance, NOW - timedelta(days=30)) == Pruned("runs", 3, finished=True)

    assert kept(instance) == {edge, young}
    files = [str(each.relative_to(home)) for each in home.rglob("*")]
    for run_id in (*old, failed):
        assert not [each for each in files if run_id in each]
        assert isinstance(instance.event_log_storage, SqliteEventLogStorage) or not (
            instance.all_logs(run_id)
        )
    assert check_runs(instance) == {young}
    assert instance.all_logs(young)
    assert len(instance.fetch_materializations(dg.AssetKey("rows"), limit=9).records) == 1


def test_what_an_asset_shows_stays_however_old_it_is(instance: dg.DagsterInstance) -> None:
    """The latest materialisation, observation and partition by partition: a plan lives by them."""
    at = [LONG_AGO + timedelta(minutes=each) for each in range(10)]
    gone = {
        run(instance, "rows_job", at[0]),
        run(instance, "observe", at[1]),
        run(instance, "ranges_job", at[2], part="1-40"),
    }
    shown = {
        run(instance, "rows_job", at[3]),
        run(instance, "observe", at[4]),
        run(instance, "ranges_job", at[5], part="1-40"),
        run(instance, "ranges_job", at[6], part="41-80"),
    }

    assert prune(instance, NOW).gone == len(gone)

    assert kept(instance) == shown
    latest = instance.get_latest_materialization_event(dg.AssetKey("rows"))
    assert latest is not None
    assert latest.run_id in shown
    assert instance.get_materialized_partitions(dg.AssetKey("ranges")) == {"1-40", "41-80"}
    assert len(instance.fetch_observations(dg.AssetKey("queue"), limit=9).records) == 1
    assert prune(instance, NOW).gone == 0


@pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
def test_a_run_that_is_not_over_never_goes(instance: dg.DagsterInstance) -> None:
    with freeze_time(LONG_AGO):
        made = {
            status: instance.add_run(
                dg.DagsterRun(JOB, make_new_run_id(), status=status, remote_job_origin=ORIGIN)
            ).run_id
            for status in STATUS
        }
    # Where there was no event, the database's own clock says when a run was changed.
    assert prune(instance, NOW + timedelta(hours=1)).gone == 3
    over = {STATUS.SUCCESS, STATUS.FAILURE, STATUS.CANCELED}
    assert kept(instance) == {made[status] for status in STATUS if status not in over}


@pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
def test_when_the_time_is_over_the_rest_is_the_next_ones(instance: dg.DagsterInstance) -> None:
    run(instance, "broken", LONG_AGO)
    done = prune_runs(history(instance), NOW, until=time.monotonic(), tell=lambda _: None)
    assert done == Pruned("runs", 0, finished=False)
    assert prune(instance, NOW).gone == 1


def over(instance: dg.DagsterInstance, job: str, location: str | None) -> str:
    """A run that is over, from a code location or from none; its id."""
    origin = None
    if location is not None:
        place = RegisteredCodeLocationOrigin(location)
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(place, "__repository__"), job)
    made = dg.DagsterRun(job, make_new_run_id(), status=STATUS.STARTED, remote_job_origin=origin)
    instance.report_run_failed(instance.add_run(made))
    return made.run_id


def test_the_runs_of_another_project_stay(instance: dg.DagsterInstance) -> None:
    """Even those whose job is called as one of ours."""
    for job in ("broken", "__ASSET_JOB"):
        over(instance, job, LOCATION)
    over(instance, "broken", None)
    others = {
        over(instance, "broken", "another"),
        over(instance, "nightly", "another"),
        over(instance, "nightly", None),
        over(instance, "__ASSET_JOB", None),
    }

    assert prune(instance, NOW + timedelta(hours=1)) == Pruned("runs", 3, finished=True)

    assert kept(instance) == others


@pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
def test_while_our_code_location_is_not_known_only_runs_of_none_go(
    instance: dg.DagsterInstance,
) -> None:
    there = over(instance, "broken", LOCATION)
    over(instance, "broken", None)
    nowhere = history(instance, None)
    until, later = time.monotonic() + 60, NOW + timedelta(hours=1)
    assert prune_runs(nowhere, later, until=until, tell=lambda _: None).gone == 1
    assert kept(instance) == {there}


@pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
def test_our_code_location_is_known_by_its_sensors_and_schedule(
    instance: dg.DagsterInstance,
) -> None:
    def deploy(location: str, *names: str) -> None:
        for name in names:
            place = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__")
            state = InstigatorState(
                RemoteInstigatorOrigin(place, name),
                InstigatorType.SENSOR,
                InstigatorStatus.DECLARED_IN_CODE,
            )
            instance.add_instigator_state(state)

    assert find_location(instance) is None
    deploy("another", "retention_schedule", "alerts")
    assert find_location(instance) is None
    deploy("ours", "retention_schedule", "alerts", "start_up_sensor", "user_logins_sensor")
    assert find_location(instance) == "ours"
    deploy("staging", "retention_schedule", "alerts", "start_up_sensor")
    assert find_location(instance) is None


def test_more_than_are_read_at_once_go_too(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_AT_ONCE", 2)
    others = {over(instance, "broken", "another") for _ in range(3)}
    for _ in range(5):
        over(instance, "broken", LOCATION)
    others.add(over(instance, "broken", "another"))
    assert prune(instance, NOW + timedelta(hours=1)) == Pruned("runs", 5, finished=True)
    assert kept(instance) == others


class StubbornLogs(NoOpComputeLogManager):
    """A store that lets nobody delete."""

    def delete_logs(self, log_key: object = None, prefix: object = None) -> None:
        """Refuses."""
        raise PermissionError(log_key, prefix)


@pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
def test_compute_logs_that_cannot_be_deleted_are_counted_and_stop_nothing(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        run(instance, "broken", LONG_AGO)
    monkeypatch.setattr(instance, "_compute_log_manager", StubbornLogs())
    done = prune(instance, NOW)
    assert (done.gone, done.finished) == (2, True)
    assert str(done) == (
        "runs: 2 deleted; the compute logs of 2 runs are still there (PermissionError)"
    )
    assert kept(instance) == set()
