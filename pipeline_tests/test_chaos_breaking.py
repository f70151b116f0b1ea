"""Faults are carried out when they are due, count when they hit, and are mended in the end."""

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from chaos.breaking import Breaker
from chaos.errands import Errand
from chaos.progress import Progress
from chaos.proxy import Commit
from chaos.queue_faults import DOWN, RULES
from chaos.schedule import Fault, Strike
from chaos.stage import Stage
from chaos.workers import Moment
from pipeline_tests.chaos_stage import StandIn
from pipeline_tests.samples import eventually

LONG = 1_000.0  # seconds after which everything is due


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
    idle, busy = stage.add_worker(Moment.CHECKING), stage.add_worker(Moment.LOADING)
    hand.tick(2.0)
    hand.tick(30.0)
    assert busy.wait(10) == status
    assert hand.breaker.done == {fault: 1}
    assert hand.breaker.killed_at == {Moment.LOADING: 1}
    assert idle.poll() is None


def test_what_a_worker_was_at_is_what_its_log_says_once_it_is_dead(stage: StandIn) -> None:
    stage.add_worker(Moment.MASKING)
    look = stage.look()
    stage.moments["run 1"] = Moment.LOADING
    stage.look = lambda: look  # type: ignore[method-assign] # as it was a moment before
    hand = Hand(stage, Strike(1.0, Fault.KILL_WORKER, 0.9))
    hand.tick(30.0)
    hand.tick(LONG)
    assert hand.breaker.killed_at == {Moment.LOADING: 1}


def test_a_worker_that_was_hit_while_it_started_counts_as_that(stage: StandIn) -> None:
    stage.add_worker(Moment.STARTING)
    look = stage.look()
    stage.moments["run 1"] = Moment.RECEIVING
    stage.look = lambda: look  # type: ignore[method-assign] # as it was a moment before
    hand = Hand(stage, *[Strike(1.0, Fault.KILL_WORKER, 0.1)] * 40)
    hand.tick(2.0)
    assert hand.breaker.killed_at == {Moment.STARTING: 1}


def test_a_strike_without_a_victim_waits_and_does_not_count(stage: StandIn) -> None:
    hand = Hand(stage, Strike(1.0, Fault.KILL_WORKER, 0.1), Strike(1.0, Fault.RESET, 0.1))
    hand.tick(10.0)
    assert hand.breaker.done.total() == 0
    stage.add_worker(Moment.ACKNOWLEDGING)
    hand.tick(LONG)
    assert hand.breaker.done == {Fault.KILL_WORKER: 1}


def test_a_worker_that_was_quicker_than_the_strike_is_not_hit(stage: StandIn) -> None:
    hand = Hand(stage, Strike(1.0, Fault.KILL_WORKER, 0.1))
    quick = stage.add_worker(Moment.ACKNOWLEDGING)
    quick.kill()
    quick.wait()
    hand.tick(2.0)
    hand.tick(LONG)
    assert hand.breaker.done.total() == hand.breaker.killed_at.total() == 0
    slow = stage.add_worker(Moment.LOADING)
    hand.tick(LONG + 30)
    hand.tick(LONG + 60)
    assert slow.wait(10) == -9


def test_while_nothing_is_loaded_nothing_is_struck(stage: StandIn) -> None:
    faults = (Fault.KILL_WORKER, Fault.KILL_POSTGRES)
    hand = Hand(stage, *(Strike(1.0, fault, 0.1) for fault in faults))
    stage.add_worker(Moment.LOADING)
    hand.starving = True
    hand.tick(2.0)
    hand.tick(40.0)
    assert hand.breaker.done.total() == 0
    hand.starving = False
    hand.tick(41.0)
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
    victim = stage.add_worker(Moment.LOADING).pid
    hand.tick(2.0)
    hand.tick(30.0)
    eventually(lambda: state(victim) == "T")
    assert stage.stopped == {"run 1"}
    hand.breaker.mend_all()
    eventually(lambda: state(victim) != "T")
    assert stage.stopped == set()
    assert hand.breaker.killed_at.total() == 0


def test_postgres_is_killed_and_started_again_until_it_is_up(stage: StandIn) -> None:
    hand = Hand(stage, Strike(1.0, Fault.KILL_POSTGRES, 0.5))
    hand.tick(2.0)
    assert not stage.warehouse.is_alive()
    hand.tick(10.0)
    assert not stage.warehouse.is_alive()
    hand.tick(LONG)
    assert stage.warehouse.is_alive()
    assert hand.breaker.done == {Fault.KILL_POSTGRES: 1}


@pytest.mark.parametrize("chance", [0.1, 0.9])
def test_a_process_is_ended_and_started_again(stage: StandIn, chance: float) -> None:
    hand = Hand(stage, Strike(1.0, Fault.KILL_WEB, chance))
    web = stage.processes["web server"]
    hand.tick(2.0)
    assert (web.is_alive(), hand.breaker.down) == (False, {"web server"})
    hand.tick(LONG)
    assert (web.is_alive(), hand.breaker.down) == (True, set())
    assert len(web.groups) == 2


@pytest.mark.parametrize("moment", Moment)
def test_a_run_that_has_not_begun_is_launched_a_second_time(stage: StandIn, moment: Moment) -> None:
    hand = Hand(stage, Strike(1.0, Fault.LAUNCH_TWICE, 0.5))
    stage.add_worker(moment)
    hand.tick(2.0)
    begins = moment is Moment.STARTING
    assert stage.again == (["run 1"] if begins else [])
    assert hand.breaker.done[Fault.LAUNCH_TWICE] == begins


@pytest.mark.parametrize("fault", [Fault.QUEUE_DOWN, Fault.EXPIRED])
def test_the_queue_refuses_for_a_while_and_misbehaves_as_before(
    stage: StandIn, fault: Fault
) -> None:
    hand = Hand(stage, Strike(1.0, fault, 0.5))
    hand.tick(2.0)
    hand.tick(LONG)
    assert stage.rules == [len(DOWN) + len(RULES), len(RULES)]


def test_an_errand_is_run_once_at_a_time_and_killed_if_it_lasts(stage: StandIn) -> None:
    hand = Hand(stage, *(Strike(at, Fault.REDRIVE_LETTERS, 0.5) for at in (1.0, 2.0)))
    hand.tick(3.0)
    assert stage.run_errands == [Errand.REDRIVE_LETTERS]
    assert hand.breaker.done == {Fault.REDRIVE_LETTERS: 1}
    hand.tick(300.0)
    hand.tick(LONG)
    assert hand.breaker.done == {Fault.REDRIVE_LETTERS: 2}


@pytest.mark.parametrize(
    "fault", [Fault.READ_ONLY, Fault.NO_CONNECTIONS, Fault.LOCK, Fault.DISK_FULL]
)
def test_what_postgres_cannot_be_told_while_it_is_down_does_not_count(
    stage: StandIn, fault: Fault
) -> None:
    hand = Hand(stage, Strike(1.0, fault, 0.5))
    hand.tick(2.0)
    assert hand.breaker.done.total() == 0


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
