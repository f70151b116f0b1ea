"""Fixtures: canaries, and the places where a run of the real job could leave them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline_tests.canaries import Canaries

if TYPE_CHECKING:
    import dagster as dg

    from pipeline_tests.privacy_case import Traces
    from pipeline_tests.world import World


@pytest.fixture
def canaries() -> Canaries:
    """Values that occur nowhere else."""
    return Canaries()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of this process and those that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is DAGSTER_HOME."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder


@pytest.fixture
def instance(home: Path) -> "Iterator[dg.DagsterInstance]":
    """An instance that keeps everything below that folder, what ops print included."""
    # Late: a test that asks for none of this does not wait for Dagster.
    import dagster as dg  # noqa: PLC0415

    telemetry = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(home), overrides=telemetry) as instance:
        yield instance


@pytest.fixture
def traces(
    world: "World",
    home: Path,
    temporary: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> "Traces":
    """Every place to look in."""
    from pipeline_tests.privacy_case import Traces  # noqa: PLC0415 - late, as above

    return Traces(world, home, temporary, capfd, caplog)
