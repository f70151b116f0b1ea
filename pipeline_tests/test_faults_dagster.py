"""Faults of what drives the runs: late ticks, a slow queue, a log that takes nothing."""

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import dagster as dg
import pytest
from sqlalchemy.exc import DatabaseError

from pipeline.consume.asset import ingest
from pipeline.consume.plan import Seen, decide
from pipeline.definitions import defs
from pipeline.errors import QueueUnreachable
from pipeline.resources import outside
from pipeline.resources.outside_resource import OutsideResource
from pipeline_tests.outside_world import silent_port
from pipeline_tests.samples import USER_LOGINS, login, small
from pipeline_tests.world import JOB, World, sample_bodies

HOUR: Final = 3_600.0
LIMITS: Final = USER_LOGINS.limits
TOLERATED: Final = 15.0  # seconds that the strictest proxies between daemon and code give a tick


@contextlib.contextmanager
def instance_in(folder: Path, **overrides: object) -> Iterator[dg.DagsterInstance]:
    """An instance of Dagster that keeps what it knows in files."""
    folder.mkdir()
    settings: dict[str, object] = {"telemetry": {"enabled": False}, **overrides}
    with dg.DagsterInstance.local_temp(str(folder), overrides=settings) as instance:
        yield instance


def run_on(instance: dg.DagsterInstance, run_id: str | None = None) -> dg.ExecuteInProcessResult:
    """One run in this process, successful or not."""
    job = defs().resolve_job_def(JOB)
    return job.execute_in_process(instance=instance, run_id=run_id, raise_on_error=False)


def tick(
    cursor: str | None, instance: dg.DagsterInstance, deployed: dg.Definitions | None = None
) -> list[dg.RunRequest]:
    """What one tick of the deployed sensor asks for."""
    deployed = deployed or defs()
    sensor = deployed.resolve_sensor_def("user_logins_sensor")
    with dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        sensor_name=sensor.name,
        definitions=deployed,
        resources={"outside": OutsideResource()},
    ) as context:
        return list(sensor.evaluate_tick(context).run_requests or [])


@pytest.mark.parametrize("hours", [1, 25, 5 * 24])
def test_the_first_tick_after_an_outage_of_the_daemon_is_as_bounded_as_any(
    world: World, hours: int
) -> None:
    """Fault 62: what it remembers is old, the queue is full, and nothing is made up for."""
    world.send(["{}"] * LIMITS.linger_messages)
    before = world.app.calls.copy()
    long_ago = str(time.time() - hours * HOUR)
    with dg.DagsterInstance.ephemeral() as instance:
        requests = tick(long_ago, instance)
    assert len(requests) == 1
    assert world.app.calls["ReceiveMessage"] == before["ReceiveMessage"]
    assert world.receive_counts() == [1] * LIMITS.linger_messages


@pytest.mark.parametrize("hours", [1, 25, 5 * 24])
def test_however_much_has_come_meanwhile_no_more_runs_are_asked_for(hours: int) -> None:
    """Fault 62: a million messages wait."""
    waiting_since = -hours * HOUR
    seen = Seen(now=0, depth=1_000_000, active=0, receiving=0, waiting_since=waiting_since)
    assert decide(seen, LIMITS).runs == LIMITS.max_runs


def test_a_backlog_of_twenty_batches_is_drained_by_no_more_runs_than_it_has_batches(
    world: World,
) -> None:
    """Faults 27 and 62: tick after tick, and at none of them more runs than a feed may have."""
    feed = small(batch_messages=10, run_messages=10, linger_messages=1)
    deployed = dg.Definitions.merge(ingest(feed), dg.Definitions(resources=defs().resources))
    world.send([json.dumps(login(user_id=f"user-{place}")) for place in range(20 * 10)])
    asked: list[int] = []
    with dg.DagsterInstance.ephemeral() as instance:
        while world.depth() != (0, 0) and len(asked) < 20:
            requests = tick(None, instance, deployed)
            asked.append(len(requests))
            for request in requests:
                job = deployed.resolve_job_def(JOB)
                assert job.execute_in_process(instance=instance, tags=request.tags).success
    assert asked == [feed.limits.max_runs] * (20 // feed.limits.max_runs)
    assert world.query("SELECT count(*) FROM user_logins") == [(200,)]
    assert world.query("SELECT count(*), sum(loaded) FROM pipeline.account") == [(20, 200)]


def test_a_tick_at_a_queue_that_never_answers_ends_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 63: one call with short timeouts, tried three times; the wait is shortened here."""
    assert 3 * outside.LOOK_SECONDS + (1 + 2) <= TOLERATED  # botocore's longest pauses between
    monkeypatch.setattr(outside, "LOOK_SECONDS", 0.2)
    assert world.depth() == (0, 0)
    with silent_port() as port, dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", f"http://127.0.0.1:{port}")
        started = time.monotonic()
        with pytest.raises(QueueUnreachable, match="does not answer"):
            tick(None, instance)
    assert time.monotonic() - started < 3 * 0.2 + (1 + 2) + 1


def test_an_event_log_that_fails_after_the_commit_keeps_nothing_from_being_acknowledged(
    world: World, tmp_path: Path
) -> None:
    """Faults 65 and 66: it is gone while the first of ten acknowledgements is under way."""
    world.send(sample_bodies())
    with instance_in(tmp_path / "instance") as instance:
        run_id = "5f7a1a5c-0d63-4b0c-9d0e-0d7ff6a3c9aa"
        world.app.hooks["DeleteMessageBatch", 1] = lambda: spoil(tmp_path, run_id)
        with pytest.raises(DatabaseError, match="no such table: event_logs"):
            run_on(instance, run_id)
        told = instance.get_run_by_id(run_id)
    assert told is not None
    assert told.status is dg.DagsterRunStatus.STARTED  # of its end nobody has heard
    assert world.app.calls["DeleteMessageBatch"] == 10
    assert world.depth() == (0, 0)
    assert world.query("SELECT count(*) FROM user_logins") == [(99,)]
    assert world.query("SELECT received FROM pipeline.account") == [(100,)]


def spoil(folder: Path, run_id: str) -> None:
    """Takes the table from a run's event log."""
    [path] = folder.rglob(f"{run_id}.db")
    with contextlib.closing(sqlite3.connect(path)) as log, log:
        log.execute("DROP TABLE event_logs")


@pytest.fixture
def denying() -> Iterator[tuple[str, list[str]]]:
    """A store that refuses whatever it is given: its URL, and what it was asked for."""
    asked: list[str] = []

    class Denying(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Denying) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_a_store_of_logs_that_refuses_them_fails_no_run(
    world: World, denying: tuple[str, list[str]], tmp_path: Path
) -> None:
    """Fault 67: the run has succeeded, and its event log says what it could not keep."""
    url, asked = denying
    world.send(sample_bodies())
    compute_logs = {
        "module": "dagster_aws.s3.compute_log_manager",
        "class": "S3ComputeLogManager",
        "config": {
            "bucket": "logs",
            "endpoint_url": url,
            "local_dir": str(tmp_path / "compute"),
            "region": "us-east-1",
        },
    }
    with instance_in(tmp_path / "instance", compute_logs=compute_logs) as instance:
        ended = run_on(instance)
        events = instance.all_logs(ended.run_id)
    assert ended.success
    assert asked
    assert any("compute log" in (event.message or "").lower() for event in events)
    assert world.depth() == (0, 0)
    assert world.query("SELECT count(*) FROM user_logins") == [(99,)]
