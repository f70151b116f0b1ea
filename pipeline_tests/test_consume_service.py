"""The service that drains on and on: it backs off, says each trouble once, and never gives up."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg
import pytest

from pipeline import feeds
from pipeline.definitions import defs
from pipeline.errors import SettingsError
from pipeline.operate.consume_service import ConsumeService, Line
from pipeline_tests.samples import eventually, login
from pipeline_tests.world import World, admit

FEED = "user_logins"
SEVERAL = 500  # as many as do not wait for company
LINGER = 20  # seconds that a few wait for it


@dataclass
class Service:
    """A service at work.

    Attributes:
        lines: What it has told.
        now: Its clock, which stands still until a test moves it.
        looks: How often it has asked for the time, and so has looked.
    """

    lines: list[Line] = field(default_factory=list)
    now: float = 1_700_000_000.0
    looks: int = 0

    def clock(self) -> float:
        self.looks += 1
        return self.now

    def told(self, event: str) -> list[str]:
        return [line.text for line in self.lines if line.event == event]

    def look_again(self) -> None:
        """Waits until it has looked twice more: once with everything as it is now."""
        seen = self.looks
        eventually(lambda: self.looks > seen + 1)


@contextmanager
def serving() -> Iterator[Service]:
    """The service over the world of this process's settings, ended after the test."""
    service, stop = Service(), threading.Event()
    work = ConsumeService(
        defs(), [feeds.find(FEED)], stop=stop, tell=service.lines.append, clock=service.clock
    )
    with ThreadPoolExecutor(1) as pool:
        running: Future[None] = pool.submit(work.run)
        try:
            yield service
        finally:
            stop.set()
        running.result(10)


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
        service.now += LINGER  # the first batch was a small one, to see whether it succeeds
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


def test_with_a_dagster_home_its_runs_are_kept_there(
    world: World, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    world.send(logins(SEVERAL))
    with serving() as service:
        eventually(lambda: bool(service.told("batch")))
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
    assert (run.job_name, run.status) == ("ingest_user_logins", dg.DagsterRunStatus.SUCCESS)


def test_settings_that_lead_nowhere_end_it_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.depth() == (0, 0)
    monkeypatch.delenv("PIPELINE_POSTGRES_URL")
    with pytest.raises(SettingsError, match="PIPELINE_POSTGRES_URL"), serving():
        pass
