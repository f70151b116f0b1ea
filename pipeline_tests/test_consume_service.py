"""The service that drains on and on: it backs off, says each trouble once, and never gives up."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import dagster as dg
import psycopg
import pytest

from pipeline import feeds
from pipeline.definitions import defs
from pipeline.errors import SettingsError
from pipeline.operate.consume_service import ConsumeService, Line
from pipeline_tests.cli_case import pipeline
from pipeline_tests.crash_case import held_up, is_waited_for
from pipeline_tests.samples import eventually as soon
from pipeline_tests.samples import login
from pipeline_tests.test_messages_feed import PAID
from pipeline_tests.world import World, admit

FEED, OTHER = "user_logins", "messages"
PATIENCE = 60.0  # seconds: a run looks, loads and checks, and a busy machine takes its time
SEVERAL = 500  # as many as do not wait for company
FEW = 10  # as many as a run takes after runs have failed
LINGER = 20  # seconds that a few wait for it

eventually = partial(soon, patience=PATIENCE)


@dataclass
class Service:
    """A service at work.

    Attributes:
        stop: What ends it.
        lines: What it has told.
        now: Its clock, which stands still until a test moves it.
        looks: How often it has asked for the time, and so has looked.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    lines: list[Line] = field(default_factory=list)
    now: float = 1_700_000_000.0
    looks: int = 0

    def clock(self) -> float:
        self.looks += 1
        return self.now

    def told(self, event: str) -> list[str]:
        return [line.text for line in self.lines if line.event == event]

    def works_on(self, *names: str) -> ConsumeService:
        """What does the work, over the world of this process's settings."""
        served = [feeds.find(name) for name in names]
        return ConsumeService(
            defs(), served, stop=self.stop, tell=self.lines.append, clock=self.clock
        )

    def look_again(self) -> None:
        """Waits until it has looked twice more: once with everything as it is now."""
        seen = self.looks
        eventually(lambda: self.looks > seen + 1)


@contextmanager
def serving(*names: str) -> Iterator[Service]:
    """The service of one feed, or of those that are named, ended after the test."""
    service = Service()
    with at_work(service.works_on(*names or (FEED,)), service):
        yield service


@contextmanager
def at_work(work: ConsumeService, service: Service) -> Iterator[None]:
    with ThreadPoolExecutor(1) as pool:
        running: Future[None] = pool.submit(work.run)
        try:
            yield
        finally:
            service.stop.set()
        running.result(PATIENCE)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Dagster keeps its runs: it takes seconds to make, so one serves this module."""
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_runs() == []
    return home


@pytest.fixture
def stored(
    world: World,  # noqa: ARG001 - its settings come first
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dg.DagsterInstance]:
    """Where the runs of a test are kept; no others are there."""
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        yield instance
        for run in instance.get_runs():
            instance.delete_run(run.run_id)


def logins(count: int) -> list[str]:
    return [json.dumps(login(user_id=f"{place:08x}")) for place in range(count)]


def test_a_few_wait_for_company_as_they_do_with_the_sensor(world: World) -> None:
    world.send(logins(3))
    with serving() as service:
        service.look_again()
        assert world.depth() == (3, 0)
        service.now += LINGER
        eventually(lambda: bool(service.lines))
    (line,) = service.lines
    assert (line.feed, line.event) == (FEED, "batch")
    assert line.text.startswith(
        "received 3 = loaded 3 + duplicate 0 + quarantined 0 + released 0 in "
    )
    assert line.numbers["rows"] == 3
    assert world.depth() == (0, 0)


def test_while_the_warehouse_is_down_it_backs_off_and_then_goes_on(world: World) -> None:
    """Fault 43: nothing is received, and each failed run doubles the pause."""
    world.send(logins(SEVERAL))
    admit(world.postgres_url, connections=False)
    with serving() as service:
        eventually(lambda: len(service.told("trouble")) == 1)
        service.look_again()
        service.now += 10
        eventually(lambda: len(service.told("trouble")) == 2)
        service.now += 10
        service.look_again()
        assert len(service.told("trouble")) == 2
        assert world.app.calls["ReceiveMessage"] == 0
        admit(world.postgres_url, connections=True)
        service.now += 10
        eventually(lambda: bool(service.told("batch")))
        (first,) = [line for line in service.lines if line.event == "batch"]
        assert first.numbers["received"] == FEW  # to see whether it succeeds
        service.now += LINGER
        eventually(lambda: world.depth() == (0, 0))
    assert all("E_WAREHOUSE_UNAVAILABLE" in text for text in service.told("trouble"))
    assert service.told("recovered") == ["a run succeeded again"]
    assert world.query("SELECT count(*) FROM user_logins") == [(SEVERAL,)]
    assert world.depth() == (0, 0)


def test_a_missing_queue_is_told_once_and_drained_when_it_is_made(world: World) -> None:
    """Fault 20."""
    world.sqs.delete_queue(QueueUrl=world.queue_url)
    with serving() as service:
        eventually(lambda: bool(service.lines))
        for _ in range(2):
            service.now += 30
            service.look_again()
        (trouble,) = service.told("trouble")
        assert "E_QUEUE_MISSING: queue 'login-queue' does not exist" in trouble
        world.clock.now += 61  # SQS lets a name rest for a minute
        world.sqs.create_queue(QueueName="login-queue")
        world.send(logins(SEVERAL))
        service.now += 30
        eventually(lambda: bool(service.told("batch")))
    assert service.told("recovered") == ["the queue answers again"]
    assert world.depth() == (0, 0)


def test_a_check_that_fails_is_told_without_a_value(world: World) -> None:
    world.send([*logins(SEVERAL), json.dumps(login(locale="ann@example.org"))])
    with serving() as service:
        eventually(lambda: bool(service.told("check")))
    (told,) = service.told("check")
    assert told.startswith("check kept_columns_hold_no_personal_values failed: rows with email")
    assert "ann" not in repr(service.lines)


def test_each_of_its_feeds_gets_its_turn(world: World) -> None:
    world.send(logins(3))
    url = world.sqs.create_queue(QueueName=feeds.find(OTHER).queue)["QueueUrl"]
    other = replace(world, queue_url=url)
    other.send([json.dumps(PAID)])
    with serving(FEED, OTHER) as service:
        service.look_again()
        service.now += LINGER
        eventually(lambda: len(service.told("batch")) == 2)
    told = {line.feed: line.numbers["rows"] for line in service.lines}
    assert told == {FEED: 3, OTHER: 1}
    assert (world.depth(), other.depth()) == ((0, 0), (0, 0))


def test_a_clock_that_goes_back_does_not_keep_it_from_looking(world: World) -> None:
    world.sqs.delete_queue(QueueUrl=world.queue_url)
    with serving() as service:
        eventually(lambda: bool(service.told("trouble")))
        world.clock.now += 61  # SQS lets a name rest for a minute
        world.sqs.create_queue(QueueName="login-queue")
        world.send(logins(SEVERAL))
        service.now -= 3_600
        eventually(lambda: bool(service.told("batch")))
    assert service.told("recovered") == ["the queue answers again"]


def test_what_its_run_holds_can_be_let_go_and_the_run_ends_with_that(
    world: World, stored: dg.DagsterInstance
) -> None:
    """Fault 57: all is visible at once, and the sensor sees no run that goes on for ever."""
    world.send(logins(SEVERAL))
    service = Service()
    work = service.works_on(FEED)
    with held_up(world) as holder, at_work(work, service), closing(holder):
        eventually(lambda: is_waited_for(holder))
        service.stop.set()
        assert work.let_go() == (SEVERAL, SEVERAL)
        assert world.depth() == (SEVERAL, 0)
        (run,) = stored.get_runs()
        assert run.status is dg.DagsterRunStatus.FAILURE


def test_when_the_grace_of_the_command_is_over_it_gives_back_what_it_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 57: in this process, which hears the signal, and does not end here."""
    run, ended = ConsumeService.run, threading.Event()

    def run_to_its_end(work: ConsumeService) -> None:
        try:
            run(work)
        finally:
            ended.set()

    def end(status: int) -> NoReturn:
        raise SystemExit(status)

    def tell_to_stop(holder: psycopg.Connection) -> None:
        try:
            eventually(lambda: is_waited_for(holder))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ConsumeService, "run", run_to_its_end)
    monkeypatch.setattr(os, "_exit", end)
    world.send(logins(SEVERAL))
    with held_up(world) as holder, ThreadPoolExecutor(1) as pool:
        telling = pool.submit(tell_to_stop, holder)
        done = pipeline(world.environment, "consume", FEED, "--grace", "0.1")
        telling.result()
        assert done.returncode == 0
        assert f"gave back {SEVERAL} of {SEVERAL} messages; all come again" in done.stderr
        assert world.depth() == (SEVERAL, 0)
    assert ended.wait(PATIENCE)


def test_with_a_dagster_home_its_runs_are_kept_there(
    world: World, stored: dg.DagsterInstance
) -> None:
    world.send(logins(SEVERAL))
    with serving() as service:
        eventually(lambda: bool(service.told("batch")))
    (run,) = stored.get_runs()
    assert (run.job_name, run.status) == ("ingest_user_logins", dg.DagsterRunStatus.SUCCESS)


def test_settings_that_lead_nowhere_end_it_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.depth() == (0, 0)
    monkeypatch.delenv("PIPELINE_POSTGRES_URL")
    with pytest.raises(SettingsError, match="PIPELINE_POSTGRES_URL"), serving():
        pass
