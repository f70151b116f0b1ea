"""A run of a range in a process of its own, ended in the middle and launched again."""

import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Final

import dagster as dg
import pytest

from pipeline.sources import pokeapi
from pipeline_tests.crash_case import START
from pipeline_tests.fetch_case import paths
from pipeline_tests.fetch_fixtures import MakeCase
from pipeline_tests.fetch_jobs_case import deploy, surroundings
from pipeline_tests.upstream import Reply, Request, Upstream

CHECKOUT: Final = Path(__file__).parents[2]
KEY: Final = "0000000-0000200"
COUNT: Final = 30
BEFORE: Final = 15  # records that are answered before the process ends
RUN: Final = f"""
import dagster as dg
from pipeline.definitions import defs
with dg.DagsterInstance.get() as instance:
    job = defs().resolve_job_def("fetch_pokeapi")
    job.execute_in_process(instance=instance, partition_key={KEY!r}, raise_on_error=False)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_ended_early_is_launched_again_and_goes_on(
    case_of: MakeCase,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    """Faults 57 and 80: no record is lost, none is on the queue twice but those on their way."""
    case = case_of(Upstream(range(1, COUNT + 1)))
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    reached = threading.Event()

    def hang(_request: Request) -> Reply | None:
        if len(case.api.asked()) <= BEFORE:
            return None
        reached.set()
        return Reply(hangs=True, cut=0)

    case.api.hooks.append(hang)
    with dg.DagsterInstance.get() as instance:
        one = replace(deploy(case, instance, tmp_path, monkeypatch), source=pokeapi.SOURCE)
        one.plan()
        environment = {**surroundings(case, tmp_path), "DAGSTER_HOME": str(home)}
        with subprocess.Popen(
            [sys.executable, "-c", RUN],
            cwd=CHECKOUT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert reached.wait(START)
            process.send_signal(number)
            process.wait(START)
        case.api.hooks.clear()
        case.api.forget()
        done = one.fetch(KEY)
    again = len(case.api.asked())
    assert COUNT - BEFORE <= again <= COUNT - BEFORE + 10  # a call of SQS, not sent or not noted
    assert (done["sent"], done["failed"]) == (again, 0)
    assert set(case.sent()) == set(paths(range(1, COUNT + 1)))
    assert len({event_id for event_id, _ in case.taken}) == COUNT
