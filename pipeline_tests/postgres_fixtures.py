"""Fixtures: one real Postgres for the test session, an empty database for each test."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Final

import psycopg
import pytest
from psycopg import sql

from pipeline.local.postgres import EmbeddedPostgres

_serial: Final = itertools.count()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running server; its `start()` gives the URL of its own database."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    try:
        own = server.start()
        # Each database is made and dropped for one test, and each of both would wait for the
        # disk, twice. Who looks at what outlives a crash of the machine starts a server of his own.
        for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
            _execute(own, sql.SQL(statement))
        yield server
    finally:
        server.stop()


@pytest.fixture
def warehouse_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a database that is empty, and gone after the test whoever is connected."""
    with database(postgres_server) as url:
        yield url


@contextlib.contextmanager
def database(server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of an empty database, which is gone after the block whoever is connected."""
    name = f"warehouse_{next(_serial)}"
    own = server.start()
    _execute(own, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield f"{own.rpartition('/')[0]}/{name}"
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    _execute(server.start(), drop)


def _execute(url: str, statement: sql.SQL | sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
