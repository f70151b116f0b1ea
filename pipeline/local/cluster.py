"""A Postgres data folder: made whole or not at all, and freed of servers left behind."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import LocalServiceError
from pipeline.local.binaries import QUIET, Binaries
from pipeline.local.identity import Identity
from pipeline.local.locks import signal_holder, wait_for_lock
from pipeline.local.private_files import write_private

# Not the name of any schema: "$user" comes first where Postgres looks for a table.
USER: Final = "warehouse"
# The first version with a locale provider that needs no locale of the machine's.
_BUILTIN_LOCALE: Final = 17
# Seconds until an orphan has ended by itself, at a request, at an order.
_GRACE: Final = ((2.0, signal.SIGINT), (15.0, signal.SIGQUIT), (10.0, None))


@dataclass(frozen=True)
class Cluster:
    """Where the parts of one Postgres lie.

    Args:
        folder: The private folder of the embedded services, resolved.
    """

    folder: Path

    @property
    def home(self) -> Path:
        """Holds the data and its password, and exists only when both are whole."""
        return self.folder / "postgres"

    @property
    def data(self) -> Path:
        """What Postgres calls PGDATA."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server prints."""
        return self.folder / "postgres.log"

    @property
    def lock(self) -> Path:
        """Locked for as long as any process of this Postgres lives."""
        return self.folder / "postgres.lock"

    def password(self) -> str:
        """The superuser's password.

        Raises:
            LocalServiceError: It is gone, and with it the way in.
        """
        try:
            return (self.home / "password").read_text()
        except OSError as error:
            raise self.broken("has no readable password file") from error

    def major(self) -> int | None:
        """The version that the data was made with, or None before there is data.

        Raises:
            LocalServiceError: The data folder is damaged.
        """
        if not self.home.exists():
            return None
        try:
            return int((self.data / "PG_VERSION").read_text())
        except (OSError, ValueError) as error:
            raise self.broken("has no readable PG_VERSION") from error

    def broken(self, how: str) -> LocalServiceError:
        """The error for a data folder that no server can use."""
        return LocalServiceError(
            f"The embedded Postgres in {self.home} {how}",
            remedy=f"Restore it, or move {self.home} away to start empty",
        )


@contextmanager
def exclusive(cluster: Cluster) -> Iterator[int]:
    """Have a data folder for oneself: with a lock that the server inherits and keeps.

    A server that outlived its supervisor is ended first. Whoever has the lock knows that
    nobody uses the data, whatever a pid file says; so it may be removed.

    Raises:
        LocalServiceError: A server is in the way and does not end.
    """
    descriptor = None
    for seconds, order in _GRACE:
        descriptor = wait_for_lock(cluster.lock, seconds)
        if descriptor is not None:
            break
        if order is not None:
            signal_holder(cluster.lock, str(cluster.data), order)
    if descriptor is None:
        raise LocalServiceError(
            f"A Postgres left over in {cluster.home} does not end",
            remedy=f"End the processes that have {cluster.lock} open",
        )
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make_cluster(cluster: Cluster, binaries: Binaries, identity: Identity, *, lock: int) -> None:
    """Run `initdb` beside the final place, then rename: half a data folder is never used.

    Args:
        cluster: Where.
        binaries: Whose.
        identity: As whom.
        lock: The descriptor from `exclusive`, which `initdb` inherits: should this process
            die meanwhile, the next one waits until `initdb` is out of the way.

    Raises:
        LocalServiceError: `initdb` failed.
    """
    side = cluster.home.with_name("postgres.new")
    if side.exists():
        shutil.rmtree(side)
    side.mkdir(mode=0o700)
    write_private(side / "password", secrets.token_urlsafe(24).encode())
    locale = ["--locale=C"]
    if binaries.major >= _BUILTIN_LOCALE:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    ended = subprocess.run(  # noqa: S603 - a program found where Postgres lives
        [
            *identity.prefix, binaries.initdb, "--pgdata", side / "data", "--username", USER,
            "--pwfile", side / "password", "--auth=scram-sha-256", "--encoding=UTF8", *locale,
        ],
        env=QUIET, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        pass_fds=(lock,), start_new_session=True, umask=0o077,
    )  # fmt: skip
    if ended.returncode != 0:
        raise LocalServiceError(
            f"initdb failed: {' | '.join(ended.stderr.splitlines()[-3:])}",
            remedy=f"See to the cause; free space and the rights on {cluster.folder} come first",
        )
    side.rename(cluster.home)
