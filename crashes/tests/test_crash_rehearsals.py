"""Run workers that die and come back, for real; all moments and ends are in the matrix."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from crashes.deaf import lose_the_event_log
from crashes.deployed import BATCH
from crashes.plan import Moment, Rehearsal
from crashes.rehearse import rehearse
from crashes.runs import Runs
from crashes.stage import opened
from crashes.starved import CAN_STARVE, starve
from crashes.worker import WarmWorkers
from crashes.world import World
from crashes.zombies import launch_twice, wake_before_the_other, wake_too_late
from pipeline.crash_points import CrashPoint

Place = tuple[World, Runs]


@pytest.fixture(scope="module")
def workers() -> Iterator[WarmWorkers]:
    """A process that becomes a run worker as often as asked."""
    with WarmWorkers(os.environ) as workers:
        yield workers


@pytest.fixture
def place(workers: WarmWorkers, warehouse_url: str, tmp_path: Path) -> Iterator[Place]:
    """An empty world, and runs in it."""
    with opened(warehouse_url, tmp_path, workers) as place:
        yield place


def test_six_deaths_lose_and_double_nothing_and_acknowledge_nothing_early(place: Place) -> None:
    """Faults 10 and 57: after the commit, in each batch, and in the recovery."""
    again = ("after_receive:SIGTERM:2", "before_commit:MemoryError:1", "after_delete:SIGKILL:2")
    verdict = rehearse(*place, Rehearsal(Moment(CrashPoint.AFTER_COMMIT), "SIGKILL", again))
    assert (verdict.crashes, verdict.problems) == (6, [])


def test_a_stopped_run_that_wakes_after_its_visibility_has_gone_harms_nothing(place: Place) -> None:
    """Fault 59: it acknowledges what another run has settled."""
    assert list(wake_too_late(*place, Moment(CrashPoint.BEFORE_DELETE))) == []


def test_a_run_that_waits_for_a_stopped_one_finds_its_work_done(place: Place) -> None:
    """Faults 3 and 59: the stopped one holds the keys until it wakes."""
    assert list(wake_before_the_other(*place)) == []


def test_a_run_that_is_launched_twice_at_once_doubles_nothing(place: Place) -> None:
    """Fault 58."""
    assert list(launch_twice(*place)) == []


class NeverGone:
    """A server that goes on whatever it is told."""

    def start(self) -> str:
        return ""

    def stop(self) -> None:
        """Does nothing."""


def test_a_database_that_was_not_gone_is_told(place: Place) -> None:
    """Faults 65 and 66: the scene shows nothing where Dagster hears of the end."""
    moment = Moment(CrashPoint.AFTER_COMMIT)
    assert list(lose_the_event_log(*place, NeverGone(), moment)) == [
        "Dagster has heard of the end: its database was not gone"
    ]


@pytest.mark.parametrize("limit", [resource.RLIMIT_CORE] if CAN_STARVE else [])
def test_a_limit_that_takes_nothing_away_is_told(place: Place, limit: int) -> None:
    """Fault 68: the scene shows nothing where the run succeeds."""
    moment = Moment(CrashPoint.AFTER_COMMIT)
    assert list(starve(*place, limit=limit, moment=moment)) == ["it succeeded: nothing was missed"]


def test_a_witness_that_did_not_look_is_told(place: Place) -> None:
    """Faults 10 and 57: nothing was acknowledged early in the eyes of who saw nothing."""
    world, runs = place
    world.fill(BATCH)
    runs.run()
    assert list(world.unsettled()) == []
    world.witness.looks = 0
    assert list(world.unsettled()) == ["0 deletes were witnessed, of 27 messages at least"]


def test_a_moment_that_is_never_reached_is_told(place: Place) -> None:
    assert list(wake_too_late(*place, Moment(CrashPoint.BEFORE_CHECK, 2))) == [
        "it did not come to its moment"
    ]
