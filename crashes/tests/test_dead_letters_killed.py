"""A redrive in a process of its own, killed at each of its calls: nothing is lost or doubled."""

import subprocess
from typing import Final

import pytest

from pipeline_tests.crash_case import PIPELINE, START
from pipeline_tests.dead_letter_case import (
    DAYS,
    bury,
    depth,
    environment,
    logins,
    outside,
    recorded,
)
from pipeline_tests.test_dead_letters_redrive import redriven
from pipeline_tests.world import CLOCK_DAY, World

COUNT: Final = 25

MOMENTS: Final = {
    # name: operation, from which call on, whether the queue still performs it
    "with letters that it never saw": ("ReceiveMessage", 2, True),
    "before it sends": ("SendMessageBatch", 2, False),
    "sent, but without the answer": ("SendMessageBatch", 2, True),
    "sent, before it deletes": ("DeleteMessageBatch", 1, False),
    "deleted, but without the answer": ("DeleteMessageBatch", 2, True),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_a_call_it_loses_and_doubles_nothing(world: World, moment: str) -> None:
    """Faults 18 and 57: the next redrive and the ledger finish and settle it."""
    operation, nth, performed = MOMENTS[moment]
    letters = bury(world, logins(COUNT), named=False)
    outside(world)
    command = ["dead-letters", "redrive", "user_logins", "--reason", "ticket 12", "--rate", "500"]
    with (
        world.app.gate(operation, nth, performed=performed) as gate,
        subprocess.Popen(
            [str(PIPELINE), *command],
            env=dict(environment(world)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        assert gate.reached.wait(START)
        process.kill()
    assert recorded(world) == [
        ("redrive dead letters", f"copy, {COUNT} there, 500 a second at most")
    ]
    world.clock.now += DAYS
    assert world.depth()[0] + depth(world, letters)[0] >= COUNT
    redriven(world)
    world.ingest()
    assert (world.depth(), depth(world, letters)) == ((0, 0), (0, 0))
    assert world.query(
        "SELECT count(*), count(DISTINCT user_id), min(create_date), max(create_date)"
        " FROM user_logins"
    ) == [(COUNT, COUNT, CLOCK_DAY, CLOCK_DAY)]
