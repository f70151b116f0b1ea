"""A run that may open no more files, or write none: the disk is full, or there are no handles."""

import os
import resource
import signal
from collections.abc import Iterator
from typing import Final

import dagster as dg

from crashes.deployed import BATCH
from crashes.plan import Moment
from crashes.recovery import recover
from crashes.runs import Runs
from crashes.world import World
from pipeline.crash_points import CrashPoint

CAN_STARVE: Final = hasattr(resource, "prlimit")
"""Whether the limits of another process can be set: on Linux."""

WANTS: Final = {
    "no handle left": resource.RLIMIT_NOFILE,
    "no room for a file": resource.RLIMIT_FSIZE,
}
"""What a run lacks, and the limit that takes it away."""

MOMENTS: Final = tuple(
    map(Moment, (CrashPoint.AFTER_RECEIVE, CrashPoint.AFTER_MASK, CrashPoint.AFTER_COMMIT))
)
"""With a batch in hand, before its transaction, and when it is to be acknowledged."""


def starve(world: World, runs: Runs, *, limit: int, moment: Moment) -> Iterator[str]:
    """Fault 68: from a moment on a run finds no room or handles; what is wrong.

    Args:
        world: Where nothing waits.
        runs: Start the workers.
        limit: What is taken away, one of `WANTS`.
        moment: When.
    """
    world.fill(BATCH)
    running = runs.start(moment.order("SIGSTOP"))
    if not os.WIFSTOPPED(runs.end(running)):
        yield "it did not come to its moment"
        return
    resource.prlimit(running.pid, limit, (0, 0))
    os.kill(running.pid, signal.SIGCONT)
    if runs.wait(running).run is dg.DagsterRunStatus.SUCCESS:
        yield "it succeeded: nothing was missed"
    yield from world.lacks()
    yield from recover(world, runs)
    yield from world.unsettled()
