"""Runs in warm workers, over the embedded SQS as broker: how they go on, and how they end."""

from collections.abc import Iterator
from contextlib import suppress

import boto3
import dagster as dg
import pytest

from pipeline.local.postgres import EmbeddedPostgres
from pipeline_tests.crash_case import ALL_VISIBLE, LOGINS, assert_complete, drain, send_logins
from pipeline_tests.samples import PATIENCE, eventually, login
from pipeline_tests.warm_case import HALF_A_DAY, WarmWorld, kill, warm_world


@pytest.fixture(scope="module")
def shared(
    postgres_server: EmbeddedPostgres,
    aws_session: boto3.Session,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WarmWorld]:
    """One world for all tests here, since a worker takes seconds to start."""
    with warm_world(postgres_server, aws_session, tmp_path_factory.mktemp("warm")) as shared:
        yield shared


@pytest.fixture
def warm(shared: WarmWorld) -> WarmWorld:
    """The world with an empty warehouse, and a worker that lives; tests leave the queue empty."""
    shared.begin()
    assert shared.worker.process.poll() is None
    return shared


def test_a_run_is_executed_by_the_worker_which_tells_nothing_of_it(warm: WarmWorld) -> None:
    users = send_logins(warm.world)
    run = warm.launch()
    assert warm.wait(run) is dg.DagsterRunStatus.SUCCESS
    assert_complete(warm.world, users, warm.today)
    assert warm.worker.process_of(run) != warm.worker.process.pid
    eventually(lambda: warm.waiting() == (0, 0))  # it has left the queue of the runs
    personal = str(login()["ip"])
    assert personal not in warm.worker.said
    assert all(personal not in each for each in warm.told(run))


def test_a_run_whose_process_is_killed_is_failed_by_monitoring_and_loses_nothing(
    warm: WarmWorld,
) -> None:
    """Fault 57, in a warm worker."""
    users = send_logins(warm.world)
    with warm.batch_in_hand() as run:
        kill(warm.worker.process_of(run))
        eventually(lambda: "WorkerLostError" in warm.worker.said)
        assert warm.status(run) is dg.DagsterRunStatus.STARTED
        warm.monitor()
        assert warm.status(run) is dg.DagsterRunStatus.FAILURE
    assert warm.world.depth() == (0, LOGINS + 1)
    warm.world.clock.now += ALL_VISIBLE
    assert warm.wait(warm.launch()) is dg.DagsterRunStatus.SUCCESS
    assert_complete(warm.world, users, warm.today)
    assert warm.world.depth() == (0, 0)


def test_a_run_that_is_cancelled_gives_back_what_it_held(warm: WarmWorld) -> None:
    users = send_logins(warm.world)
    with warm.batch_in_hand() as run:
        assert warm.instance.run_launcher.terminate(run)
        assert warm.wait(run) is dg.DagsterRunStatus.CANCELED
    assert_gave_back(warm, run)
    drain(warm.world)
    assert_complete(warm.world, users, warm.today)


def test_a_worker_that_is_killed_is_waited_for_and_its_run_never_executed_again(
    warm: WarmWorld,
) -> None:
    """Faults 58 and 60: nobody tells of the loss of a machine, and SQS delivers the run again."""
    users = send_logins(warm.world)
    with warm.batch_in_hand(**{"dagster/max_runtime": "0.1"}) as run:
        child = warm.worker.process_of(run)
        warm.worker.end()
        with suppress(ProcessLookupError):  # on Linux it has ended with its parent
            kill(child)
        warm.monitor()
        assert warm.status(run) is dg.DagsterRunStatus.FAILURE
    warm.world.clock.now += HALF_A_DAY + 1
    assert warm.worker.process_of(run)  # another one is given it
    eventually(lambda: any("had already finished" in each for each in warm.told(run)))
    assert warm.world.query("SELECT count(*) FROM user_logins") == [(0,)]
    drain(warm.world)
    assert_complete(warm.world, users, warm.today)


def test_told_to_stop_it_ends_once_its_run_has_given_back_what_it_held(warm: WarmWorld) -> None:
    users = send_logins(warm.world)
    worker = warm.worker
    with warm.batch_in_hand() as run:
        worker.process.terminate()
        assert warm.wait(run) is dg.DagsterRunStatus.FAILURE
        assert worker.process.wait(PATIENCE) == 0
    assert_gave_back(warm, run)
    drain(warm.world)
    assert_complete(warm.world, users, warm.today)


def assert_gave_back(warm: WarmWorld, run: str) -> None:
    """A run was interrupted, not only out of patience, and gave back all that it held."""
    told = "".join(warm.told(run))
    assert "DagsterExecutionInterruptedError" in told
    assert f"released {LOGINS + 1} of {LOGINS + 1} messages" in told
