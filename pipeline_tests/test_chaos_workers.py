"""What a run worker is at is read from Dagster's own log of its run."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from sqlalchemy.exc import OperationalError

from chaos.workers import Moment, Worker, Workers

PID = 4_711
FEED = "user_logins_b"
STEPS = {
    f"{FEED}.extract_{FEED}": Moment.RECEIVING,
    f"{FEED}.mask_{FEED}": Moment.MASKING,
    f"{FEED}.load_{FEED}": Moment.LOADING,
    f"{FEED}.acknowledge_{FEED}": Moment.ACKNOWLEDGING,
    f"{FEED}.repeat_{FEED}": Moment.REPEATING,
    f"{FEED}_account_adds_up": Moment.CHECKING,
}


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """Those of an instance of Dagster of its own."""
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    workers = Workers(tmp_path)
    yield workers
    workers.close()


def launch(workers: Workers, job: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """A run whose worker has not come up."""

    @dg.job(name=job)
    def nothing() -> None:
        """Gives a run its name."""

    return workers.instance.create_run_for_job(nothing, status=status)


def come_up(workers: Workers, run: dg.DagsterRun) -> None:
    """What Dagster's code server tells when the worker is there."""
    told = f"Started process for run (pid: {PID})."
    workers.instance.report_engine_event(told, run, EngineEventData.in_process(PID))


def begin(workers: Workers, run: dg.DagsterRun, step: str) -> None:
    """What the worker tells at the start of a step."""
    kind = dg.DagsterEventType.STEP_START.value
    event = dg.DagsterEvent(kind, run.job_name, step_key=step, message="it starts")
    workers.instance.report_dagster_event(event, run.run_id)


def test_a_worker_is_known_once_it_has_come_up(workers: Workers) -> None:
    run = launch(workers, f"ingest_{FEED}", dg.DagsterRunStatus.STARTING)
    assert workers.look() == []
    come_up(workers, run)
    assert workers.look() == [Worker(PID, run.run_id, FEED, Moment.STARTING)]


def test_a_worker_that_is_stopped_is_where_it_was(workers: Workers, tmp_path: Path) -> None:
    """Even where it has locked its log, as one does that was stopped in the middle of a write."""
    run = launch(workers, f"ingest_{FEED}", dg.DagsterRunStatus.STARTED)
    come_up(workers, run)
    begin(workers, run, next(iter(STEPS)))
    before = workers.look()
    log = tmp_path / "history" / "runs" / f"{run.run_id}.db"
    with closing(sqlite3.connect(log, isolation_level=None)) as stopped:
        stopped.execute("PRAGMA locking_mode = EXCLUSIVE")
        stopped.execute("BEGIN EXCLUSIVE")
        workers.stopped.add(run.run_id)
        assert workers.look() == before
    assert before[0].moment is Moment.RECEIVING


@pytest.mark.parametrize(("locked", "known"), [("get_runs", 0), ("get_records_for_run", 1)])
def test_files_that_are_locked_end_no_chaos(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, locked: str, known: int
) -> None:
    come_up(workers, launch(workers, f"ingest_{FEED}", dg.DagsterRunStatus.STARTED))
    before = workers.look()
    error = OperationalError("SELECT", {}, sqlite3.OperationalError("database is locked"))
    monkeypatch.setattr(workers.instance, locked, Mock(side_effect=error))
    assert workers.look() == before[:known]
    monkeypatch.undo()
    assert workers.look() == before


@pytest.mark.parametrize("step", STEPS)
def test_its_latest_step_says_what_it_is_at(workers: Workers, step: str) -> None:
    run = launch(workers, f"ingest_{FEED}", dg.DagsterRunStatus.STARTED)
    come_up(workers, run)
    for each in STEPS:
        begin(workers, run, each)
        if each == step:
            break
    assert workers.look() == [Worker(PID, run.run_id, FEED, STEPS[step])]
    assert workers.moment(run.run_id) is STEPS[step]


@pytest.mark.parametrize(
    ("job", "status"),
    [
        (f"ingest_{FEED}", dg.DagsterRunStatus.SUCCESS),
        (f"ingest_{FEED}", dg.DagsterRunStatus.FAILURE),
        (f"ingest_{FEED}", dg.DagsterRunStatus.NOT_STARTED),
        (f"redrive_{FEED}", dg.DagsterRunStatus.STARTED),
    ],
)
def test_who_has_ended_or_does_another_job_is_none(
    workers: Workers, job: str, status: dg.DagsterRunStatus
) -> None:
    come_up(workers, launch(workers, job, status))
    assert workers.look() == []
