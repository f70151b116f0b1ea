"""`pipeline consume` as a process: told to stop, it finishes or gives everything back."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from pipeline.consume.readiness import check_sink
from pipeline.feeds import find
from pipeline.masking.key_file import KeyFile
from pipeline_tests.crash_case import PIPELINE, START, held_up, is_waited_for
from pipeline_tests.samples import eventually, login
from pipeline_tests.world import World

LOGINS = 520  # more than wait for company


def test_told_to_stop_while_it_receives_it_finishes_what_it_has_and_leaves_the_rest(
    world: World,
) -> None:
    """Fault 57: nothing is lost, doubled, or left invisible."""
    users = send_logins(world, count := 4_000)  # many calls more than the signal takes to arrive
    with consume(world) as process:
        world.app.hooks["ReceiveMessage", 3] = process.terminate
        assert process.wait(START) == 0
    waiting, held = world.depth()
    assert held == 0
    assert 0 < waiting < count
    assert world.query("SELECT count(*) FROM user_logins") == [(count - waiting,)]
    assert world.receive_counts() == [1] * waiting
    world.clock.now += 1_000
    world.ingest()
    assert_complete(world, users)


def test_told_to_stop_in_the_transaction_it_commits(world: World) -> None:
    """Fault 57: the batch is finished within the time of grace, and acknowledged."""
    users = send_logins(world)
    with held_up(world) as holder, consume_until_held(world, holder) as process:
        process.send_signal(signal.SIGINT)
        holder.rollback()
        assert process.wait(START) == 0
        assert process.stdout is not None
        (line,) = map(json.loads, process.stdout)
    assert (line["event"], line["received"], line["rows"]) == ("batch", LOGINS, LOGINS)
    assert world.depth() == (0, 0)
    assert_complete(world, users)


def test_when_the_grace_is_over_everything_is_visible_at_once(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 57: without waiting for the visibility timeout, or for a back-off."""
    users = send_logins(world)
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with (
        held_up(world) as holder,
        consume_until_held(world, holder, "--grace", "0.5", DAGSTER_HOME=str(home)) as process,
    ):
        process.terminate()
        assert process.wait(START) == 0
        assert process.stderr is not None
        assert f"gave back {LOGINS} of {LOGINS} messages" in process.stderr.read()
    assert world.depth() == (LOGINS, 0)
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.FAILURE  # not running for ever, as the sensor sees it
    world.ingest()
    assert_complete(world, users)


def test_a_second_signal_ends_it_there_and_then(world: World) -> None:
    users = send_logins(world)
    with held_up(world) as holder, consume_until_held(world, holder) as process:
        process.terminate()
        eventually(lambda: _ended_by(process, signal.SIGTERM), patience=START)
        assert process.returncode == 128 + signal.SIGTERM
    world.clock.now += 1_000
    world.ingest()
    assert_complete(world, users)


def test_two_side_by_side_load_everything_once(world: World) -> None:
    users = send_logins(world)
    with consume(world) as one, consume(world) as other:
        eventually(lambda: world.depth() == (0, 0), patience=START)
        for process in (one, other):
            process.terminate()
            assert process.wait(START) == 0
    assert_complete(world, users)


def _ended_by(process: subprocess.Popen[str], number: int) -> bool:
    """Whether it has ended; else it gets another signal: two that come together count as one."""
    process.send_signal(number)
    return process.poll() is not None


def send_logins(world: World, count: int = LOGINS) -> list[str]:
    """Logins of different users; the users."""
    check_sink(find("user_logins"), url=world.postgres_url, keyring=KeyFile(world.keyring))
    users = [f"{place:08x}-0000-4000-8000-000000000000" for place in range(count)]
    world.send([json.dumps(login(user_id=user)) for user in users])
    return users


@contextmanager
def consume(world: World, *options: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """`pipeline consume` as a process of its own, gone when the block ends."""
    with subprocess.Popen(
        [str(PIPELINE), "consume", "user_logins", "--json", *options],
        env={**world.environment, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def consume_until_held(
    world: World, holder: psycopg.Connection, *options: str, **settings: str
) -> Iterator[subprocess.Popen[str]]:
    """As `consume`, with a batch in hand that waits for the table that is held."""
    with consume(world, *options, **settings) as process:
        eventually(lambda: is_waited_for(holder), patience=START)
        yield process


def assert_complete(world: World, users: list[str]) -> None:
    """Each login has one row and one entry of the ledger, and nothing is left."""
    assert world.depth() == (0, 0)
    rows = world.query("SELECT user_id FROM user_logins ORDER BY user_id")
    assert rows == [(user,) for user in users]
    assert world.query("SELECT count(*) FROM pipeline.ledger") == [(len(users),)]
