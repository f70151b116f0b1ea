"""A run in a process of its own, killed at chosen moments: nothing is lost, nothing is doubled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
import pytest

from pipeline_tests.crash_case import (
    LOGINS,
    START,
    assert_complete,
    drain,
    run,
    send_logins,
)
from pipeline_tests.samples import eventually
from pipeline_tests.world import World, lock

BACK_OFF: Final = 10  # seconds after a first delivery

AT_A_CALL: Final = {
    # name: operation, from which call on, whether the queue still performs it
    "while it receives": ("ReceiveMessage", 3, False),
    "with a delivery that it never saw": ("ReceiveMessage", 4, True),
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
