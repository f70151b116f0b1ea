"""The web UI of a folder is open once, and waits for no run whose process is gone."""

import os
import socket
import uuid
from pathlib import Path

import dagster as dg
import pytest

from pipeline.errors import LocalServiceError
from pipeline.local.locks import try_lock
from pipeline.operate.web_ui import end_dead_runs, open_web_ui


def test_it_is_open_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_LOCAL_DIR", str(tmp_path / "local"))
    home = tmp_path / "local" / "dagster"
    home.mkdir(mode=0o700, parents=True)
    home.parent.chmod(0o700)
    lock = try_lock(home / "open.lock")
    assert lock is not None
    try:
        with pytest.raises(LocalServiceError, match="open already"):
            open_web_ui(3000)
    finally:
        os.close(lock)
    assert "DAGSTER_HOME" not in os.environ


def test_a_run_whose_process_is_gone_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    states = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS)
    with dg.DagsterInstance.get() as instance:
        runs = [
            dg.DagsterRun(job_name="ingest", run_id=str(uuid.uuid4()), status=state)
            for state in states
        ]
        for run in runs:
            instance.add_run(run)
    end_dead_runs()
    with dg.DagsterInstance.get() as instance:
        found = [instance.get_run_by_id(run.run_id) for run in runs]
    assert [run.status for run in found if run] == [
        dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.SUCCESS,
    ]


def test_a_port_that_is_taken_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster would log it and go on without a page to look at."""
    (tmp_path / "local").mkdir(mode=0o700)
    monkeypatch.setenv("PIPELINE_LOCAL_DIR", str(tmp_path / "local"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(LocalServiceError, match="is taken"):
            open_web_ui(taken.getsockname()[1])
    assert "DAGSTER_HOME" not in os.environ
