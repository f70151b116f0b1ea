"""What is rehearsed beside the matrix: cold workers, two runs at once, a Dagster that is deaf."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from crashes import daemons, deaf, full_disk, poison, starved
from crashes.plan import MOMENTS, Moment, Rehearsal
from crashes.rehearse import rehearse
from crashes.runs import Runs
from crashes.stage import Stage, opened
from crashes.worker import ColdWorkers, WarmWorkers
from crashes.world import World
from crashes.zombies import launch_twice, wake_before_the_other, wake_too_late
from pipeline.crash_points import CrashPoint

Tell = Callable[[str, list[str]], None]
"""Told of each scene, with what was wrong."""

COLD: Final = Rehearsal(
    Moment(CrashPoint.AFTER_COMMIT),
    "SIGKILL",
    ("after_receive:SIGTERM:2", "before_commit:MemoryError:1", "after_delete:SIGKILL:2"),
)
"""What is rehearsed with cold workers: six deaths of all three kinds."""

_Scene = Callable[[World, Runs], Iterator[str]]


def act_all(stage: Stage, tell: Tell) -> None:
    """Plays every scene, one after the other.

    Args:
        stage: Where.
        tell: Hears of each.
    """
    with opened(*stage.room(), ColdWorkers()) as (world, runs):
        tell(f"cold, {COLD}", rehearse(world, runs, COLD).problems)
    with WarmWorkers(os.environ) as workers:
        for name, scene in _scenes():
            # A world each: one that went wrong would spoil the others.
            with opened(*stage.room(), workers) as (world, runs):
                tell(name, list(scene(world, runs)))
        for moment in deaf.MOMENTS:
            with deaf.deaf_world(*stage.room(), workers) as (world, runs, server):
                problems = deaf.lose_the_event_log(world, runs, server, moment)
                tell(f"Dagster's database gone, {moment}", list(problems))
    _, folder = stage.room()
    with full_disk.small_disk(folder) as made:
        name = "a full disk" if made else "a full disk: only root on Linux can make a small one"
        tell(name, list(full_disk.fill(folder)) if made else [])


def _scenes() -> Iterator[tuple[str, _Scene]]:
    yield "launched twice", launch_twice
    yield "woken while another one waits", wake_before_the_other
    yield "a message that kills", poison.poison
    for moment in MOMENTS:
        yield f"woken too late, {moment}", partial(wake_too_late, moment=moment)
    for dies_at in daemons.MOMENTS:
        yield f"daemon killed, {dies_at}", partial(daemons.die_at, moment=dies_at)
    yield "Dagster killed", partial(daemons.die_together, kill=os.kill)
    yield "Dagster killed with its run", partial(daemons.die_together, kill=os.killpg)
    yield "a deployment that cannot be imported", daemons.deploy_badly
    for what, limit in starved.WANTS.items() if starved.CAN_STARVE else ():
        for moment in starved.MOMENTS:
            yield f"{what}, {moment}", partial(starved.starve, limit=limit, moment=moment)
