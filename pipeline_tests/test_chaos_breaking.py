"""Faults are carried out when they are due, count when they hit, and are mended in the end."""

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from chaos.breaking import Breaker
from chaos.processes import Process
from chaos.progress import Progress
from chaos.proxy import Commit, PostgresProxy
from chaos.schedule import Fault, Strike
from chaos.stage import Stage
from pipeline_tests.samples import eventually

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
LONG = 1_000.0  # seconds after which everything is due


class Warehouse:
    """One that counts its lives."""

    def __init__(self) -> None:
        self.lives = 1
        self.alive = True

    def is_alive(self) -> bool:
        return self.alive

    def kill(self) -> None:
        self.alive = False


class StandIn:
    """A stage with real processes and a real proxy, and no services behind them."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = Warehouse()
        self.proxy = PostgresProxy(lambda: ("127.0.0.1", 1))
        names = ("daemon", "code server", "REST service")
        self.processes = {name: Process(SLEEP, {}, folder, folder / name) for name in names}
        self.code_server = self
        self.children: list[subprocess.Popen[bytes]] = []
        self.held = 1

    def workers(self) -> list[int]:
        return [child.pid for child in self.children if child.poll() is None]

    def in_flight(self) -> int:
        return self.held

    def start_warehouse(self) -> None:
        self.warehouse.alive = True
        self.warehouse.lives += 1

    def add_workers(self, count: int) -> None:
        self.children += [subprocess.Popen(SLEEP) for _ in range(count)]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[StandIn]:
    """A stage of which everything has ended after the test."""
    stage = StandIn(tmp_path)
    stage.proxy.start()
    for process in stage.processes.values():
        process.start()
    yield stage
    for process in stage.processes.values():
        process.end()
    for child in stage.children:
        child.kill()
        child.wait()
    stage.proxy.stop()


class Hand:
    """A breaker, and the time as the test has it."""

    def __init__(self, stage: StandIn, *strikes: Strike) -> None:
        self.now = 0.0
        rng = random.Random(1)  # noqa: S311 - a test's
        self.starving = False
        self.breaker = Breaker(
            cast("Stage", stage),
            list(strikes),
            lambda: self.now,
            rng=rng,
            starving=lambda: self.starving,
        )

    def tick(self, now: float) -> None:
        self.now = now
        self.breaker.tick()


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault.KILL_WORKER, -9), (Fault.TERMINATE_WORKER, -15)]
)
def test_a_worker_is_killed_while_it_holds_messages(
    stage: StandIn, fault: Fault, status: int
) -> None:
    hand = Hand(stage, Strike(1.0, fault, 0.9))
    stage.add_workers(2)
    stage.held = 0
    hand.tick(2.0)
    hand.tick(3.5)
    assert hand.breaker.done == {}
    stage.held = 7
    hand.tick(5.0)
    hand.tick(20.0)
    assert stage.children[1].wait(10) == status
    assert hand.breaker.done == {fault: 1}
    assert stage.children[0].poll() is None


def test_a_strike_without_a_victim_waits_and_does_not_count(stage: StandIn) -> None:
    hand = Hand(stage, Strike(1.0, Fault.KILL_WORKER, 0.1), Strike(1.0, Fault.RESET, 0.1))
    hand.tick(10.0)
    assert hand.breaker.done.total() == 0
    stage.add_workers(2)
    hand.tick(11.0)
    hand.tick(LONG)
    assert hand.breaker.done == {Fault.KILL_WORKER: 1}


def test_while_nothing_is_loaded_nothing_is_struck(stage: StandIn) -> None:
    faults = (Fault.KILL_WORKER, Fault.KILL_POSTGRES)
    hand = Hand(stage, *(Strike(1.0, fault, 0.1) for fault in faults))
    stage.add_workers(2)
    hand.starving = True
    hand.tick(2.0)
    hand.tick(20.0)
    assert hand.breaker.done.total() == 0
    hand.starving = False
    hand.tick(21.0)
    hand.tick(LONG)
    assert hand.breaker.done == dict.fromkeys(faults, 1)


def test_progress_is_a_batch_more_within_ninety_seconds() -> None:
    now, batches = 0.0, 0
    progress = Progress(lambda: batches, lambda: now)
    now = 89.0
    assert not progress.starving()
    now = 91.0
    assert progress.starving()
    now, batches = 94.0, 1
    assert not progress.starving()
    now = 185.0
    assert progress.starving()


def test_a_stopped_worker_goes_on_later(stage: StandIn) -> None:
    hand = Hand(stage, Strike(1.0, Fault.STOP_WORKER, 0.1))
    stage.add_workers(2)
    hand.tick(2.0)
    hand.tick(12.0)
    victim = stage.children[0].pid
    eventually(lambda: state(victim) == "T")
    hand.breaker.mend_all()
    eventually(lambda: state(victim) != "T")


def test_postgres_is_killed_and_started_again(stage: StandIn) -> None:
    hand = Hand(stage, Strike(1.0, Fault.KILL_POSTGRES, 0.5))
    hand.tick(2.0)
    assert not stage.warehouse.is_alive()
    hand.tick(LONG)
    assert stage.warehouse.is_alive()
    assert (stage.warehouse.lives, hand.breaker.done) == (2, {Fault.KILL_POSTGRES: 1})


@pytest.mark.parametrize("chance", [0.1, 0.9])
def test_a_process_is_ended_and_started_again(stage: StandIn, chance: float) -> None:
    hand = Hand(stage, Strike(1.0, Fault.KILL_DAEMON, chance))
    daemon = stage.processes["daemon"]
    hand.tick(2.0)
    assert (daemon.is_alive(), hand.breaker.down) == (False, {"daemon"})
    hand.tick(LONG)
    assert (daemon.is_alive(), hand.breaker.down) == (True, set())
    assert len(daemon.groups) == 2


def test_whatever_is_broken_is_mended_at_once_in_the_end(stage: StandIn) -> None:
    faults = (Fault.SILENCE, Fault.LATENCY, Fault.COMMIT_REQUEST, Fault.KILL_POSTGRES)
    hand = Hand(stage, *(Strike(1.0, fault, 0.9) for fault in faults), Strike(9.0, faults[0], 0.9))
    hand.tick(2.0)
    assert (stage.proxy.silent, stage.proxy.latency > 0) == (True, True)
    hand.breaker.mend_all()
    assert (stage.proxy.silent, stage.proxy.latency) == (False, 0.0)
    assert stage.proxy.lost_half(b"COMMIT\0") is None
    assert stage.warehouse.is_alive()
    hand.tick(LONG)
    assert hand.breaker.done == dict.fromkeys(faults, 1)


@pytest.mark.parametrize(
    ("fault", "half"),
    [(Fault.COMMIT_REQUEST, Commit.REQUEST), (Fault.COMMIT_ANSWER, Commit.ANSWER)],
)
def test_the_next_commit_is_lost(stage: StandIn, fault: Fault, half: Commit) -> None:
    Hand(stage, Strike(1.0, fault, 0.5)).tick(2.0)
    assert stage.proxy.lost_half(b"COMMIT\0") is half


def state(pid: int) -> str:
    """The first letter of what `ps` says of a process: T for one that is stopped."""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=True)
    return told.stdout.decode().strip()[:1]
