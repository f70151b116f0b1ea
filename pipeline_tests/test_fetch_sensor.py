"""The sensor of a source on a real instance: it launches what a plan found, and nothing twice."""

import sqlite3
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import freeze_time

from pipeline.produce.fetch.partitions import longest_run, partition
from pipeline_tests.fetch_case import QUICK
from pipeline_tests.fetch_jobs_case import PLAN, RECORDS, definitions_of
from pipeline_tests.test_sensor import ORIGIN, storage

__all__ = ["storage"]

STATUS = dg.DagsterRunStatus
KEYS = [f"{first:07}-{first + 40:07}" for first in range(0, 240, 40)]


class Sensor:
    """The sensor, ticked by hand, over what Dagster's storage would hold."""

    def __init__(self, instance: dg.DagsterInstance, runs: Path) -> None:
        self.instance = instance
        self._runs = runs

    def plan(self, count: int = 240, *, seconds_ago: float = 0) -> None:
        """What a run of the plan leaves behind."""
        partition(self.instance, QUICK, count)
        with freeze_time(datetime.now(UTC) - timedelta(seconds=seconds_ago)):
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(PLAN, metadata={"count": count})
            )

    def fetched(self, *keys: str) -> None:
        """What runs of ranges leave behind."""
        for key in keys:
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(RECORDS, partition=key)
            )

    def tick(self) -> tuple[list[str | None], str]:
        """Which ranges one tick asks for, and why not more."""
        deployed = definitions_of(QUICK)
        sensor = deployed.resolve_sensor_def("fetch_pokeapi_sensor")
        with (
            dg.build_sensor_context(instance=self.instance, definitions=deployed) as context,
            # As Dagster's own process does around a tick.
            dg.partition_loading_context(dynamic_partitions_store=self.instance),
        ):
            tick = sensor.evaluate_tick(context)
        requests = tick.run_requests or []
        assert all(request.run_key is None for request in requests)
        return [request.partition_key for request in requests], tick.skip_message or ""

    def add_run(
        self,
        key: str,
        status: dg.DagsterRunStatus,
        *,
        seconds_ago: float = 0,
        job: str = "fetch_pokeapi",
        assets: frozenset[dg.AssetKey] | None = None,
    ) -> None:
        """Puts a run of a range into the storage, created and, if it has, ended so long ago."""
        run = dg.DagsterRun(
            job_name=job,
            run_id=str(uuid.uuid4()),
            status=status,
            remote_job_origin=ORIGIN,
            asset_selection=assets,
            tags={"dagster/partition": key},
        )
        self.instance.add_run(run)
        ended = time.time() - seconds_ago if status in {STATUS.FAILURE, STATUS.CANCELED} else None
        with sqlite3.connect(self._runs) as runs:
            runs.execute(
                "UPDATE runs SET create_timestamp = datetime('now', ?), end_time = ?"
                " WHERE run_id = ?",
                (f"-{seconds_ago} seconds", ended, run.run_id),
            )
        runs.close()


@pytest.fixture
def sensor(storage: tuple[dg.DagsterInstance, Path]) -> Iterator[Sensor]:
    """The sensor over an instance in which nothing has been planned."""
    instance, runs = storage
    yield Sensor(instance, runs)
    instance.wipe()


def test_before_a_plan_it_asks_for_nothing(sensor: Sensor) -> None:
    assert sensor.tick() == ([], "nothing has been planned yet")


def test_after_a_plan_it_asks_for_a_few_ranges_at_a_time(sensor: Sensor) -> None:
    sensor.plan()
    assert sensor.tick() == (KEYS[:4], "")
    for key in KEYS[:4]:
        sensor.add_run(key, STATUS.QUEUED)
    assert sensor.tick() == ([], "ranges to be fetched: 6; queued or under way: 4")


def test_what_was_fetched_is_not_asked_for_before_the_next_plan(sensor: Sensor) -> None:
    sensor.plan()
    sensor.fetched(*KEYS[:5])
    assert sensor.tick() == (KEYS[5:], "")
    sensor.fetched(KEYS[5])
    assert sensor.tick() == ([], "every range has been fetched since the plan")
    sensor.plan(count=80)
    assert sensor.tick() == (KEYS[:2], "")


def test_a_range_under_way_is_not_asked_for(sensor: Sensor) -> None:
    """Whatever launched it: the sensor, a hand, or a backfill of the asset; before the plan too."""
    sensor.add_run(KEYS[0], STATUS.STARTED)
    sensor.plan()
    sensor.add_run(KEYS[1], STATUS.QUEUED, job="__ASSET_JOB", assets=frozenset({RECORDS}))
    sensor.add_run(KEYS[2], STATUS.CANCELING)
    assert sensor.tick() == (KEYS[3:4], "")


def test_ranges_of_the_same_name_of_another_source_are_none_of_its_business(
    sensor: Sensor,
) -> None:
    sensor.plan(count=40)
    sensor.add_run(KEYS[0], STATUS.STARTED, job="fetch_another")
    other = frozenset({dg.AssetKey("another_records")})
    sensor.add_run(KEYS[0], STATUS.STARTED, job="__ASSET_JOB", assets=other)
    assert sensor.tick() == (KEYS[:1], "")


def test_a_run_beyond_the_age_limit_counts_as_dead(sensor: Sensor) -> None:
    """Fault 57: without Dagster's monitoring one that was killed looks alive for ever."""
    longest = longest_run(QUICK)
    sensor.plan(count=80, seconds_ago=2 * longest)
    sensor.add_run(KEYS[0], STATUS.STARTED, seconds_ago=longest - 60)
    sensor.add_run(KEYS[1], STATUS.STARTED, seconds_ago=longest + 60)
    assert sensor.tick() == (KEYS[1:2], "")


def test_a_range_that_failed_is_tried_again_later_and_the_next_one_meanwhile(
    sensor: Sensor,
) -> None:
    """dagster#15982: a run key would keep it from ever being tried again."""
    sensor.plan(count=80)
    sensor.add_run(KEYS[0], STATUS.FAILURE)
    assert sensor.tick() == (KEYS[1:2], "")
    sensor.add_run(KEYS[1], STATUS.FAILURE)
    told = "ranges to be fetched: 2; failed, to be tried again later: 2"
    assert sensor.tick() == ([], told)


def test_a_failure_before_the_plan_does_not_count(sensor: Sensor) -> None:
    sensor.add_run(KEYS[0], STATUS.FAILURE, seconds_ago=5)
    sensor.plan(count=40)
    assert sensor.tick() == (KEYS[:1], "")


def test_a_range_that_somebody_cancelled_waits_for_a_hand_or_a_plan(sensor: Sensor) -> None:
    sensor.plan(count=40)
    sensor.add_run(KEYS[0], STATUS.CANCELED)
    assert sensor.tick() == ([], "ranges to be fetched: 1; cancelled: 1")
    sensor.plan(count=40)
    assert sensor.tick() == (KEYS[:1], "")


def test_a_backfill_launches_the_ranges_by_itself(sensor: Sensor) -> None:
    sensor.plan()
    backfill = PartitionBackfill(
        "fill", BulkActionStatus.REQUESTED, from_failure=False, tags={},
        backfill_timestamp=time.time(), asset_selection=[RECORDS],
    )  # fmt: skip
    sensor.instance.add_backfill(backfill)
    assert sensor.tick() == ([], "ranges to be fetched: 6; a backfill launches them")
    done = backfill._replace(status=BulkActionStatus.COMPLETED_SUCCESS)
    sensor.instance.update_backfill(done)
    assert sensor.tick() == (KEYS[:4], "")
