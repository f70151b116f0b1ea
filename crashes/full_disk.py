"""A Postgres whose disk is full for real: a small file system of its own, and ballast on it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psycopg

from pipeline.consume.batch import Account
from pipeline.errors import WarehouseUnavailable
from pipeline.local.postgres import EmbeddedPostgres
from pipeline.messages import Message
from pipeline_tests.load_case import batch, counts, logins, prepared, settle
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import eventually

_SIZE: Final = "256m"  # an empty cluster takes a fifth of it
_BLOCK: Final = bytes(1 << 16)
_LOGS: Final = 4
_RECOVERY: Final = 60.0  # seconds
_MANY: Final = 5_000  # rows, which no free page of a new table has room for


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Makes a folder a file system of its own; whether this process may do that.

    Root may, on Linux.

    Args:
        folder: An empty one.
    """
    mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=0711", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)  # noqa: S603 - a folder of ours
    except (OSError, subprocess.CalledProcessError):
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["/bin/umount", str(folder)], check=True)  # noqa: S603 - as above


def fill(folder: Path) -> Iterator[str]:
    """Faults 49 and 50: no room for rows, then none for the log of the server; what is wrong.

    Args:
        folder: The root of a small file system.
    """
    server = EmbeddedPostgres(folder)
    try:
        url = prepared(server.start())
        settle(batch(logins(3)), url)
        kept = counts(url)
        _keep_log_ahead(url)
        _add_ballast(folder)
        yield from _is_refused(url, logins(_MANY), "SQLSTATE 53100")
        if counts(url) != kept:
            yield "a batch for which there was no room left something"
        yield from _panic(url)
        _ballast(folder).unlink()
        eventually(lambda: _is_back(server), patience=_RECOVERY)
        if counts(url) != kept:
            yield "the recovery lost something, or kept half of a batch"
        if settle(batch(logins(_MANY)), url) != Account(_MANY, loaded=_MANY - 3, duplicate=3):
            yield "what was refused is not settled as it should be"
    finally:
        server.stop()


def _is_back(server: EmbeddedPostgres) -> bool:
    """Whether it has recovered: by itself, or started again where it has ended."""
    try:
        psycopg.connect(server.start()).close()
    except psycopg.OperationalError:
        return False
    return True


def _keep_log_ahead(url: str) -> None:
    """Has the server keep files for the log that it will write: rows are to find no room first."""
    for _ in range(_LOGS):
        ask(url, "SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def _panic(url: str) -> Iterator[str]:
    """Uses these files up, until the server cannot write its log and ends."""
    load = batch(logins(4))
    with suppress(psycopg.Error):
        for _ in range(4 * _LOGS):
            ask(url, "SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")
    try:
        settle(load, url)
    except WarehouseUnavailable:
        return
    yield "the server could write its log still"


def _is_refused(url: str, messages: list[Message], told: str) -> Iterator[str]:
    try:
        settle(batch(messages), url)
    except WarehouseUnavailable as error:
        if told not in str(error) or "has room" not in str(error):
            yield f"it was told so: {error}"
    else:
        yield "the disk was not full"


def _ballast(folder: Path) -> Path:
    return folder / "ballast"


def _add_ballast(folder: Path) -> None:
    """Leaves no byte free."""
    with _ballast(folder).open("wb", buffering=0) as file, suppress(OSError):
        while True:
            os.write(file.fileno(), _BLOCK)
