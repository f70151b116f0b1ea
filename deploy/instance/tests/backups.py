"""Dumps and restores by Postgres's own programs, as docs/backup.md says."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict

from pipeline.local.binaries import QUIET, find_binaries

_PROGRAMS: Final = find_binaries().folder
# A user that every server has already, and roles that are not there to be dropped.
_ROLES: Final = ("--roles-only", "--no-role-passwords")


@dataclass(frozen=True, slots=True)
class Backup:
    """What is kept of a warehouse.

    Attributes:
        roles: SQL that makes the server's roles, without their passwords.
        dump: The database, in pg_dump's own format.
    """

    roles: Path
    dump: Path


def back_up(url: str, folder: Path) -> Backup:
    """Keeps a warehouse as it is now."""
    backup = Backup(folder / "roles.sql", folder / "warehouse.dump")
    _run(url, "pg_dumpall", *_ROLES, f"--file={backup.roles}")
    _run(url, "pg_dump", "--format=custom", f"--file={backup.dump}")
    return backup


def restore(backup: Backup, server: str, database: str) -> str:
    """The URL of a warehouse as it was kept, on a server that has nothing yet.

    Args:
        backup: What was kept.
        server: The URL of the server's own database, with its superuser.
        database: The name that the warehouse had.
    """
    # The superuser is there already, so one line fails, and the rest is to go on.
    _run(server, "psql", "--quiet", f"--file={backup.roles}")
    _run(server, "pg_restore", "--create", "--exit-on-error", "--dbname=postgres", str(backup.dump))
    return f"{server.rpartition('/')[0]}/{database}"


def as_text(backup: Backup) -> str:
    """All that a dump holds, as SQL."""
    return _run("", "pg_restore", "--file=-", str(backup.dump))


def _run(url: str, program: str, *arguments: str) -> str:
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    place = {**conninfo_to_dict(url), **({"dbname": ""} if program == "pg_restore" else {})}
    environment = {names[name]: str(value) for name, value in place.items() if name in names}
    if place.get("dbname"):
        environment["PGDATABASE"] = str(place["dbname"])
    done = subprocess.run(
        [str(_PROGRAMS / program), *arguments],
        env={**QUIET, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
