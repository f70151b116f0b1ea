"""Every rehearsal, in lanes beside each other, each with a world and a process of its own."""

import os
import queue
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from crashes.plan import Rehearsal
from crashes.rehearse import Verdict, rehearse
from crashes.stage import Stage, opened
from crashes.worker import WarmWorkers

Left = queue.SimpleQueue[Rehearsal]
"""What is still to be done."""

Tell = Callable[[Verdict], None]
"""Told of each rehearsal when it is over; by any lane's thread."""


def run_matrix(stage: Stage, rehearsals: Iterable[Rehearsal], lanes: int, tell: Tell) -> None:
    """Carries out rehearsals.

    Args:
        stage: Where.
        rehearsals: Which.
        lanes: How many at the same time.
        tell: Hears of each.
    """
    left: Left = queue.SimpleQueue()
    for each in rehearsals:
        left.put(each)
    with ThreadPoolExecutor(lanes) as pool:
        for lane in [pool.submit(_lane, stage, left, tell) for _ in range(lanes)]:
            lane.result()


def _lane(stage: Stage, left: Left, tell: Tell) -> None:
    with WarmWorkers(os.environ) as workers:
        while not left.empty():
            _in_a_world(stage, workers, left, tell)


def _in_a_world(stage: Stage, workers: WarmWorkers, left: Left, tell: Tell) -> None:
    """Rehearses until something is wrong: what is broken is not to spoil what comes after it."""
    with opened(*stage.room(), workers) as (world, runs), suppress(queue.Empty):
        while True:
            verdict = rehearse(world, runs, left.get_nowait())
            tell(verdict)
            if verdict.problems:
                return
