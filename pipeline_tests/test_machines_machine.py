"""A machine's worker is stopped where nothing is held, and struck where something is."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from machines.deployed import defs
from machines.feed import VISIBILITY_SECONDS, machines_feed
from machines.machine import Machine
from pipeline.crash_points import CrashPoint

POINT = CrashPoint.AFTER_MASK
WORKER = """
import json, os, signal, time
def tell(event, text): print(json.dumps({"event": event, "text": text}), flush=True)
print("{not a line of ours", flush=True)
tell("ready", "")
while not os.path.exists("filled"): time.sleep(0.01)
tell("trouble", "E_QUEUE: refused")
point, _, how = os.environ.get("PIPELINE_CRASH_POINT", "::").partition(":")
if point:
    print(f"PIPELINE_CRASH_POINT: {how} at {point}", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
tell("batch", "")
time.sleep(600)
"""


class OnThisMachine:
    """Surroundings that are none: everything runs here."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def within(self, _machine: int, command: Sequence[str]) -> list[str]:
        return list(command)

    def cut(self, machine: int) -> None:
        self.done.append(f"cut {machine}")

    def mend(self, machine: int) -> None:
        self.done.append(f"mend {machine}")

    def lose(self, machine: int) -> int:
        self.done.append(f"lose {machine}")
        return 1


def machine_of(folder: Path, worker: str) -> Machine:
    return Machine(2, OnThisMachine(), folder, folder, [sys.executable, "-c", worker])


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """One whose worker stops itself where it is told to."""
    made = machine_of(tmp_path, WORKER)
    yield made
    made.end()


def test_a_worker_is_stopped_at_the_point_of_the_strike(machine: Machine, tmp_path: Path) -> None:
    machine.start(dict(os.environ), stops_at=POINT)
    machine.wait_until_ready()
    (tmp_path / "filled").touch()
    machine.resume()
    machine.wait_until_stopped(POINT)
    assert [line["event"] for line in machine.lines()] == ["ready", "trouble"]
    assert machine.troubles() == ["E_QUEUE"]


def test_a_worker_that_is_started_again_tells_of_its_new_life_only(
    machine: Machine, tmp_path: Path
) -> None:
    for _ in range(2):
        machine.start(dict(os.environ), stops_at=POINT)
        machine.wait_until_ready()
    (tmp_path / "filled").touch()
    machine.resume()
    machine.wait_until_stopped(POINT)
    assert [line["event"] for line in machine.lines()] == ["ready", "trouble"]


def test_a_worker_that_ends_at_the_start_is_told_with_what_it_said(tmp_path: Path) -> None:
    made = machine_of(tmp_path, "raise SystemExit('no keyring')")
    made.start(dict(os.environ))
    with pytest.raises(SystemExit, match=r"worker 2 did not say .*; it said: no keyring"):
        made.wait_until_ready()


def test_messages_come_again_within_a_cut() -> None:
    assert machines_feed().limits.visibility_seconds == VISIBILITY_SECONDS


def test_a_worker_runs_the_job_that_the_sensor_launches() -> None:
    name = f"ingest_{machines_feed().name}"
    assert defs().resolve_job_def(name).name == name
