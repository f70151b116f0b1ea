"""A run that is killed, in a process of its own; all other moments are in `make crashes`."""

from pipeline_tests.crash_case import LOGINS, START, assert_complete, drain, run, send_logins
from pipeline_tests.world import World


def test_killed_between_commit_and_acknowledgement_it_loses_and_doubles_nothing(
    world: World,
) -> None:
    """Faults 10 and 57."""
    users = send_logins(world)
    with world.app.gate("DeleteMessageBatch", 1) as gate, run(world) as process:
        assert gate.reached.wait(START)
        process.kill()
        process.wait()
    assert world.query("SELECT count(*) FROM pipeline.account") == [(1,)]
    assert world.depth() == (0, LOGINS + 1)
    drain(world)
    assert_complete(world, users)
