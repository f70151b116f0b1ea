"""A run in a process of its own, killed at chosen moments: nothing is lost, nothing is doubled."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest

from pipeline.consume.readiness import check_sink
from pipeline.feeds import find
from pipeline.masking.key_file import KeyFile
from pipeline_tests.samples import eventually, login
from pipeline_tests.world import CLOCK_DAY, World, lock

PIPELINE: Final = Path(sys.executable).with_name("pipeline")
LOGINS: Final = 60
BACK_OFF: Final = 10  # seconds after a first delivery
ALL_VISIBLE: Final = 1_000  # seconds: longer than any visibility timeout of the feed
START: Final = 60.0  # seconds within which a process must come to its moment

AT_A_CALL: Final = {
    # name: operation, from which call on, whether the queue still performs it
    "while it receives": ("ReceiveMessage", 3, False),
    "with a delivery that it never saw": ("ReceiveMessage", 4, True),
    "after the commit, before the acknowledgement": ("DeleteMessageBatch", 1, False),
    "in the middle of the acknowledgement": ("DeleteMessageBatch", 4, False),
    "with an acknowledgement that it never saw": ("DeleteMessageBatch", 6, True),
}
IN_THE_TRANSACTION: Final = {
    "before the ledger is written": "pipeline.ledger",
    "right before the commit": "pipeline.account",
}


@pytest.mark.parametrize("moment", AT_A_CALL)
def test_killed_at_a_call_of_the_queue_it_loses_and_doubles_nothing(
    world: World, moment: str
) -> None:
    """Faults 10 and 57."""
    operation, nth, performed = AT_A_CALL[moment]
    users = send_logins(world)
    with world.app.gate(operation, nth, performed=performed) as gate, run(world) as process:
        assert gate.reached.wait(START)
        process.kill()
        process.wait()
    committed = operation == "DeleteMessageBatch"
    assert world.query("SELECT count(*) FROM pipeline.account") == [(int(committed),)]
    drain(world)
    assert_complete(world, users)


@pytest.mark.parametrize("moment", IN_THE_TRANSACTION)
def test_killed_in_the_transaction_it_loses_and_doubles_nothing(world: World, moment: str) -> None:
    """Fault 57: everything is received, nothing is committed."""
    users = send_logins(world)
    with locked(world, IN_THE_TRANSACTION[moment]) as waits, run(world) as process:
        eventually(waits, patience=START)
        process.kill()
        process.wait()
    assert world.depth() == (0, LOGINS + 1)
    assert world.app.calls["DeleteMessageBatch"] == 0
    drain(world)
    assert_complete(world, users)


def test_asked_to_end_it_releases_what_it_holds(world: World) -> None:
    """Fault 57: the messages come back after the back-off, not after the visibility timeout."""
    users = send_logins(world)
    with locked(world, "pipeline.account") as waits, run(world) as process:
        eventually(waits, patience=START)
        process.terminate()
        assert process.wait(START) != 0
    assert world.app.calls["ChangeMessageVisibilityBatch"] > 0
    assert world.query("SELECT count(*) FROM user_logins") == [(0,)]
    world.clock.now += BACK_OFF
    assert world.depth() == (LOGINS + 1, 0)
    world.ingest()
    assert_complete(world, users)


def send_logins(world: World) -> list[str]:
    """Sixty logins of different users and one broken message; the users."""
    check_sink(find("user_logins"), url=world.postgres_url, keyring=KeyFile(world.keyring))
    users = [f"{place:08x}-0000-4000-8000-000000000000" for place in range(LOGINS)]
    bodies = [json.dumps(login(user_id=user)) for user in users]
    world.send(["broken", *bodies])
    return users


@contextmanager
def run(world: World) -> Iterator[subprocess.Popen[bytes]]:
    """`pipeline ingest` as a process of its own, gone when the block ends."""
    with subprocess.Popen(
        [str(PIPELINE), "ingest", "user_logins"],
        env=dict(world.environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def locked(world: World, table: str) -> Iterator[Callable[[], bool]]:
    """Locks a table once a run receives; the value tells whether it waits to write there."""
    with psycopg.connect(world.postgres_url) as holder:
        # Before it receives it makes sure that it could write.
        world.app.hooks["ReceiveMessage", 1] = lambda: lock(holder, table)
        yield lambda: bool(
            holder.execute(
                "SELECT 1 FROM pg_locks WHERE NOT granted AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            ).fetchall()
        )


def drain(world: World) -> None:
    """A restart: what the dead run held becomes visible, and is worked off."""
    world.clock.now += ALL_VISIBLE
    world.ingest()
    assert world.depth() == (0, 0)


def assert_complete(world: World, users: list[str]) -> None:
    """Each login has one row and one entry of the ledger, and every account adds up."""
    rows = world.query("SELECT user_id, create_date FROM user_logins ORDER BY user_id")
    assert rows == [(user, CLOCK_DAY) for user in users]
    assert world.query("SELECT count(*) FROM pipeline.ledger") == [(LOGINS,)]
    assert world.query("SELECT reason FROM pipeline.quarantine") == [("not_json",)]
    assert world.query(
        "SELECT sum(loaded), sum(quarantined),"
        " bool_and(received = loaded + duplicate + quarantined) FROM pipeline.account"
    ) == [(LOGINS, 1, True)]
