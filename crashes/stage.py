"""Where rehearsals take place: one Postgres, and a world of its own for each lane of them."""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from crashes.runs import Runs
from crashes.worker import Workers
from crashes.world import World, empty_world
from pipeline.local.postgres import EmbeddedPostgres


class Stage:
    """A Postgres with a new database for each world.

    Args:
        server_url: The URL of a database of it.
        folder: An empty folder.
    """

    def __init__(self, server_url: str, folder: Path) -> None:
        self._url, self._folder = server_url, folder
        self._serial = itertools.count()

    def room(self) -> tuple[str, Path]:
        """The URL of a database and a folder, both new and empty."""
        name = f"world_{next(self._serial)}"
        folder = self._folder / name
        folder.mkdir()
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"{self._url.rpartition('/')[0]}/{name}", folder


@contextmanager
def opened(database_url: str, folder: Path, workers: Workers) -> Iterator[tuple[World, Runs]]:
    """An empty world, and runs in it.

    Args:
        database_url: An empty database.
        folder: An empty folder.
        workers: Start the processes.
    """
    (home := folder / "dagster").mkdir()
    with (
        empty_world(database_url, folder) as world,
        Runs(workers, world.environment, home) as runs,
    ):
        yield world, runs


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage that is gone afterwards, Postgres and all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "postgres").mkdir()
        server = EmbeddedPostgres(folder / "postgres")
        try:
            yield Stage(server.start(), folder)
        finally:
            server.stop()
