"""Dagster's own database is gone in the middle of a run, while the warehouse is well."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import dagster as dg

from crashes.deployed import BATCH
from crashes.plan import Moment
from crashes.recovery import recover
from crashes.runs import Runs
from crashes.worker import Workers
from crashes.world import World, empty_world
from pipeline.crash_points import CrashPoint
from pipeline.local.postgres import EmbeddedPostgres

MOMENTS: Final = (
    Moment(CrashPoint.AFTER_RECEIVE),
    Moment(CrashPoint.AFTER_COMMIT),
    Moment(CrashPoint.AFTER_ACKNOWLEDGE),
)
"""Before anything is committed, before anything is acknowledged, and when all is done."""


class Server(Protocol):
    """What keeps Dagster's database."""

    def start(self) -> str:
        """Starts it; its URL."""

    def stop(self) -> None:
        """Stops it."""


@contextmanager
def deaf_world(
    database_url: str, folder: Path, workers: Workers
) -> Iterator[tuple[World, Runs, EmbeddedPostgres]]:
    """An empty world, runs in it, and the server in which Dagster keeps what it knows.

    Args:
        database_url: An empty database for the warehouse, of another server.
        folder: An empty folder.
        workers: Start the processes.
    """
    (home := folder / "dagster").mkdir()
    (place := folder / "server").mkdir()
    server = EmbeddedPostgres(place)
    try:
        url = server.start()
        with (
            empty_world(database_url, folder) as world,
            Runs(workers, world.environment, home, database_url=url) as runs,
        ):
            yield world, runs, server
    finally:
        server.stop()


def lose_the_event_log(world: World, runs: Runs, server: Server, moment: Moment) -> Iterator[str]:
    """Faults 65 and 66: what Dagster would write is lost from a moment on; what is wrong.

    Args:
        world: Where nothing waits.
        runs: Start the workers.
        server: Dagster's own; started again when the run is over.
        moment: When it is stopped.
    """
    world.fill(BATCH)
    running = runs.start(moment.order("SIGSTOP"))
    if not os.WIFSTOPPED(runs.end(running)):
        yield "it did not come to its moment"
        return
    server.stop()
    os.kill(running.pid, signal.SIGCONT)
    runs.end(running)
    yield from world.lacks()
    server.start()
    if runs.told(running) is dg.DagsterRunStatus.SUCCESS:
        yield "Dagster has heard of the end: its database was not gone"
    yield from recover(world, runs)
    yield from world.unsettled()
