"""The sensor on a real instance and a real queue: it looks, it asks for runs, it never receives."""

import math
import re
import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from pipeline.consume.sensor import MOST_MESSAGES, limited
from pipeline.definitions import defs
from pipeline.errors import QueueError, QueueMissing, QueueUnreachable
from pipeline.feeds import find
from pipeline.operate.drain import ingest_once
from pipeline.resources.outside import Outside
from pipeline.resources.outside_resource import OutsideResource
from pipeline.resources.sqs import Depth
from pipeline_tests.world import JOB, World, free_port

ORIGIN = RemoteJobOrigin(
    RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("pipeline"), "__repository__"), JOB
)  # Dagster accepts no queued run without it
LIMITS = find("user_logins").limits


class Sensor:
    """The deployed sensor, ticked by hand; the cursor travels from tick to tick."""

    def __init__(self, instance: dg.DagsterInstance, runs: Path) -> None:
        self.instance = instance
        self.cursor: str | None = None
        self.tags: dict[str, str] = {}
        self._runs = runs

    def tick(self) -> tuple[int, str]:
        """How many runs one tick requests, and why not more."""
        sensor = defs().resolve_sensor_def("user_logins_sensor")
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            sensor_name=sensor.name,
            definitions=defs(),
            resources={"outside": OutsideResource()},
        ) as context:
            tick = sensor.evaluate_tick(context)
        self.cursor = tick.cursor or self.cursor  # as Dagster's daemon does
        requests = tick.run_requests or []
        self.tags = {
            name: value
            for request in requests
            for name, value in request.tags.items()
            if name == MOST_MESSAGES
        }
        assert all(request.run_key is None for request in requests)
        assert all(request.job_name in {None, JOB} for request in requests)
        return len(requests), tick.skip_message or ""

    def add_run(
        self,
        status: dg.DagsterRunStatus,
        *,
        seconds_ago: float = 0,
        started_ago: float | None = None,
        job: str = JOB,
    ) -> None:
        """Puts a run of a job into the instance's storage, created and ended so long ago."""
        run = dg.DagsterRun(
            job_name=job, run_id=str(uuid.uuid4()), status=status, remote_job_origin=ORIGIN
        )
        self.instance.add_run(run)
        ago, now = f"-{seconds_ago} seconds", time.time()
        started = None if started_ago is None else now - started_ago
        with sqlite3.connect(self._runs) as runs:
            runs.execute(
                "UPDATE runs SET create_timestamp = datetime('now', ?), end_time = ?,"
                " start_time = ? WHERE run_id = ?",
                (ago, now - seconds_ago, started, run.run_id),
            )
        runs.close()


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dg.DagsterInstance, Path]]:
    """One instance for the module: it takes a second to make."""
    folder = tmp_path_factory.mktemp("dagster")
    telemetry = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(folder), overrides=telemetry) as instance:
        yield instance, next(folder.rglob("runs.db"))


@pytest.fixture
def sensor(world: World, storage: tuple[dg.DagsterInstance, Path]) -> Iterator[Sensor]:
    """The sensor over an empty queue, with no runs in the instance."""
    assert world.depth() == (0, 0)
    instance, runs = storage
    yield Sensor(instance, runs)
    for run in instance.get_runs():
        instance.delete_run(run.run_id)


def fill(world: World, count: int = LIMITS.linger_messages) -> None:
    """Puts so many messages on the queue."""
    world.send(["{}"] * count)


def test_an_empty_queue_asks_for_nothing(sensor: Sensor) -> None:
    assert sensor.tick() == (0, "the queue is empty")


def test_a_deep_queue_asks_for_a_run_at_once(world: World, sensor: Sensor) -> None:
    fill(world)
    assert sensor.tick() == (1, "")


def test_a_shallow_queue_waits_for_company_over_ticks(world: World, sensor: Sensor) -> None:
    fill(world, 3)
    runs, why = sensor.tick()
    assert (runs, "for others to travel with" in why) == (0, True)
    first = sensor.cursor
    assert first is not None
    assert sensor.tick()[0] == 0
    assert sensor.cursor == first
    # The cursor is all that a tick remembers: an older one is a longer wait.
    sensor.cursor = str(float(first) - LIMITS.linger_seconds)
    assert sensor.tick() == (1, "")
    # Those that come later wait for as long: nothing is left of the first wait.
    runs, why = sensor.tick()
    assert (runs, "for others to travel with" in why) == (0, True)


@pytest.mark.parametrize("cursor", ["yesterday", "nan", "inf"])
def test_a_cursor_that_is_no_time_remembers_nothing(
    world: World, sensor: Sensor, cursor: str
) -> None:
    """Set by hand in the web UI: an error would come again with each tick."""
    fill(world, 3)
    sensor.cursor = cursor
    runs, why = sensor.tick()
    assert (runs, "for others to travel with" in why) == (0, True)
    assert math.isfinite(float(sensor.cursor))


@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ],
)
def test_a_run_that_is_under_way_will_take_the_messages(
    world: World, sensor: Sensor, status: dg.DagsterRunStatus
) -> None:
    fill(world)
    sensor.add_run(status)
    assert sensor.tick() == (0, "500 waiting; 1 run queued or receiving will take them")


RECEIVED = LIMITS.run_seconds + LIMITS.receive_seconds + 60
"""Seconds from its start after which a run no longer receives."""


@pytest.mark.parametrize(("started_ago", "runs"), [(RECEIVED - 30, 0), (RECEIVED + 1, 1)])
def test_a_run_takes_messages_as_long_as_it_may_receive(
    world: World, sensor: Sensor, started_ago: float, runs: int
) -> None:
    """Fault 57: one that was killed may look alive until Dagster's own monitoring notices."""
    fill(world)
    sensor.add_run(dg.DagsterRunStatus.STARTED, seconds_ago=600, started_ago=started_ago)
    assert sensor.tick()[0] == runs


def test_a_run_that_received_long_ago_still_counts(world: World, sensor: Sensor) -> None:
    fill(world)
    for _ in range(LIMITS.max_runs):
        sensor.add_run(dg.DagsterRunStatus.STARTED, seconds_ago=600, started_ago=RECEIVED + 1)
    assert sensor.tick() == (0, "500 waiting; 2 runs queued or running, the limit")


def test_a_run_beyond_the_age_limit_counts_as_dead(world: World, sensor: Sensor) -> None:
    """Fault 60."""
    fill(world)
    sensor.add_run(dg.DagsterRunStatus.STARTED, seconds_ago=LIMITS.run_age_seconds + 60)
    assert sensor.tick() == (1, "")


def test_after_failed_runs_it_waits_longer_each_time(world: World, sensor: Sensor) -> None:
    fill(world)
    sensor.add_run(dg.DagsterRunStatus.FAILURE, seconds_ago=4)
    runs, why = sensor.tick()
    assert (runs, "the last 1 run failed, trying again in" in why) == (0, True)
    sensor.add_run(dg.DagsterRunStatus.FAILURE)
    assert "the last 2 runs failed" in sensor.tick()[1]


def test_runs_that_failed_side_by_side_met_one_trouble(world: World, sensor: Sensor) -> None:
    fill(world)
    sensor.add_run(dg.DagsterRunStatus.FAILURE, seconds_ago=30, started_ago=50)
    sensor.add_run(dg.DagsterRunStatus.FAILURE, seconds_ago=3, started_ago=20)
    sensor.add_run(dg.DagsterRunStatus.FAILURE, seconds_ago=2, started_ago=19)
    sensor.add_run(dg.DagsterRunStatus.FAILURE, seconds_ago=1, started_ago=10)
    assert "the last 2 runs failed, trying again in" in sensor.tick()[1]


def test_the_pause_grows_up_to_ten_minutes(world: World, sensor: Sensor) -> None:
    fill(world)
    for ago in range(70, -10, -10):
        sensor.add_run(dg.DagsterRunStatus.FAILURE, seconds_ago=ago)
    _, why = sensor.tick()
    found = re.search("the last 8 runs failed, trying again in ([0-9]+) s", why)
    assert found, why
    assert 590 <= int(found[1]) <= 600


def test_the_runs_of_another_feed_change_nothing(world: World, sensor: Sensor) -> None:
    """Whose failures are no reason to pause, and whose runs take none of these messages."""
    other = "ingest_messages"
    fill(world)
    for _ in range(3):
        sensor.add_run(dg.DagsterRunStatus.FAILURE, job=other)
    assert sensor.tick() == (1, "")
    assert sensor.tags == {}
    for _ in range(LIMITS.max_runs):
        sensor.add_run(dg.DagsterRunStatus.STARTED, job=other)
    assert sensor.tick() == (1, "")
    sensor.add_run(dg.DagsterRunStatus.FAILURE)
    sensor.add_run(dg.DagsterRunStatus.SUCCESS, job=other)
    assert "the last 1 run failed" in sensor.tick()[1]


def test_after_the_back_off_it_tries_again(world: World, sensor: Sensor) -> None:
    fill(world)
    sensor.add_run(dg.DagsterRunStatus.FAILURE, seconds_ago=60)
    assert sensor.tick() == (1, "")


def test_a_success_ends_the_back_off(world: World, sensor: Sensor) -> None:
    fill(world)
    sensor.add_run(dg.DagsterRunStatus.FAILURE)
    sensor.add_run(dg.DagsterRunStatus.SUCCESS)
    assert sensor.tick() == (1, "")


def test_a_tick_is_one_call_and_never_receives(world: World, sensor: Sensor) -> None:
    """Invariant 8 and fault 63: a message's receive count is for runs alone."""
    fill(world, 20)
    sensor.tick()
    before = world.app.calls.copy()
    for _ in range(3):
        sensor.tick()
    calls: dict[str, Any] = dict(world.app.calls - before)
    assert calls == {"GetQueueAttributes": 3}
    assert world.receive_counts() == [1] * 20


def test_a_missing_queue_is_told(world: World, sensor: Sensor) -> None:
    world.sqs.delete_queue(QueueUrl=world.queue_url)
    with pytest.raises(QueueMissing, match="'login-queue' does not exist"):
        sensor.tick()
    world.clock.now += 61  # SQS wants a minute before a name is used again
    world.sqs.create_queue(QueueName="login-queue")
    assert sensor.tick() == (0, "the queue is empty")


def test_a_queue_that_goes_missing_between_ticks_is_told(world: World, sensor: Sensor) -> None:
    sensor.tick()
    world.sqs.delete_queue(QueueUrl=world.queue_url)
    with pytest.raises(QueueMissing):
        sensor.tick()


def test_a_dead_endpoint_is_told(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(QueueUnreachable, match="does not answer"):
        sensor.tick()


def test_too_much_in_flight_is_told(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 14: SQS would deliver nothing, and not say why."""
    monkeypatch.setattr(Outside, "depth", lambda *_: Depth(1, 120_000, 0))
    with pytest.raises(QueueError, match="120000 messages of queue 'login-queue' are in flight"):
        sensor.tick()


def test_it_needs_no_warehouse(
    world: World, sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for runs while Postgres is down; they find out, receive nothing, and it backs off."""
    monkeypatch.setenv("PIPELINE_POSTGRES_URL", f"postgresql://a:b@127.0.0.1:{free_port()}/c")
    fill(world)
    assert sensor.tick() == (1, "")


@pytest.mark.parametrize(
    ("tag", "batch", "run"),
    [
        ("10", 10, 10),
        ("0", 1, 1),
        ("50000", LIMITS.batch_messages, 50_000),
        ("", LIMITS.batch_messages, LIMITS.run_messages),
        ("999999999", LIMITS.batch_messages, LIMITS.run_messages),
    ],
)
def test_a_tag_can_lower_what_a_run_takes_and_never_raise_it(
    tag: str, batch: int, run: int
) -> None:
    """Whoever launches a run by hand may write what they like there."""
    feed = find("user_logins")
    limits = limited(feed, {MOST_MESSAGES: tag}).limits
    assert (limits.batch_messages, limits.run_messages) == (batch, run)
    assert limited(feed, {}) == feed


def test_a_run_after_two_failures_takes_a_few_messages(world: World, sensor: Sensor) -> None:
    fill(world)
    for ago in (300, 200):
        sensor.add_run(dg.DagsterRunStatus.FAILURE, seconds_ago=ago)
    assert sensor.tick()[0] == 1
    assert sensor.tags == {MOST_MESSAGES: "10"}


def test_a_run_with_that_tag_leaves_the_others_on_the_queue(world: World) -> None:
    fill(world, 25)
    with dg.DagsterInstance.ephemeral() as instance:
        ingest_once(defs(), find("user_logins"), instance, tags={MOST_MESSAGES: "10"})
    assert world.depth() == (15, 0)
