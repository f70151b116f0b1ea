"""Two runs with the same messages: a stopped one that goes on too late, and one launched twice."""

import os
import signal
from collections.abc import Iterator

import dagster as dg

from crashes.deployed import BATCH
from crashes.plan import Moment
from crashes.recovery import recover
from crashes.runs import Runs
from crashes.world import World
from pipeline.crash_points import CrashPoint
from pipeline_tests.samples import eventually

# Between these a stopped run has a transaction open, in which it may hold locks.
_OPEN = frozenset(
    {
        CrashPoint.AFTER_BEGIN,
        CrashPoint.AFTER_STAGE,
        CrashPoint.AFTER_INSERT,
        CrashPoint.AFTER_QUARANTINE,
        CrashPoint.BEFORE_COMMIT,
    }
)
_WAITS = "SELECT FROM pg_locks WHERE NOT granted"
_WORKED = "SELECT count(*) FROM pipeline.account WHERE run_id = %s"
# What Postgres does after two minutes: idle_in_transaction_session_timeout.
_END_IDLE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE state = 'idle in transaction' AND datname = current_database()
"""


def wake_too_late(world: World, runs: Runs, moment: Moment) -> Iterator[str]:
    """Fault 59: stopped at a moment until another run has done its work; what is wrong.

    Args:
        world: Where nothing waits.
        runs: Start the workers.
        moment: Where the first one is stopped.
    """
    world.fill(BATCH)
    stopped = runs.start(moment.order("SIGSTOP"))
    if not os.WIFSTOPPED(runs.wait(stopped).status):
        yield "it did not come to its moment"
        return
    yield from world.all_visible()
    if moment.point in _OPEN:
        world.warehouse.execute(_END_IDLE)
    if runs.run().run is not dg.DagsterRunStatus.SUCCESS:
        yield "the other run did not succeed"
    yield from world.lacks()
    os.kill(stopped.pid, signal.SIGCONT)
    runs.wait(stopped)
    yield from recover(world, runs)
    yield from world.unsettled()


def wake_before_the_other(world: World, runs: Runs) -> Iterator[str]:
    """Faults 3 and 59: it wakes while the other one waits for its transaction; what is wrong."""
    world.fill(BATCH)
    stopped = runs.start(Moment(CrashPoint.BEFORE_COMMIT).order("SIGSTOP"))
    runs.wait(stopped)
    yield from world.all_visible()
    other = runs.start()
    eventually(lambda: bool(world.warehouse.execute(_WAITS).fetchall()), patience=60)
    os.kill(stopped.pid, signal.SIGCONT)
    for each in (stopped, other):
        if runs.wait(each).run is not dg.DagsterRunStatus.SUCCESS:
            yield "one of the two runs did not succeed"
    yield from recover(world, runs)
    yield from world.unsettled()


def launch_twice(world: World, runs: Runs) -> Iterator[str]:
    """Fault 58: one run in two processes at once; what is wrong.

    Dagster turns a second worker away once it has heard of the first, so both come in before that.
    """
    world.fill(2 * BATCH)
    order = Moment(CrashPoint.BEFORE_CHECK).order("SIGSTOP")
    one = runs.start(order)
    came = {one: runs.end(one)}
    again = runs.start(order, run_id=one.run_id)
    came[again] = runs.end(again)
    stopped = [each for each, status in came.items() if os.WIFSTOPPED(status)]
    for each in stopped:
        os.kill(each.pid, signal.SIGCONT)
    for each in stopped:
        runs.wait(each)
    if world.warehouse.execute(_WORKED, (one.run_id,)).fetchone() != (2,):
        yield "only one of the two worked"
    yield from recover(world, runs)
    yield from world.unsettled()
