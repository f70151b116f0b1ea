"""Runs that wait in Redis: executed, failed where their process is gone, and Redis itself away."""

import dagster as dg

from deploy.celery.tests.redis_server import SECRET, Redis
from pipeline_tests.crash_case import LOGINS, assert_complete, drain, send_logins
from pipeline_tests.samples import eventually
from pipeline_tests.warm_case import WarmWorld, kill


def test_a_run_is_executed_and_no_password_is_printed(warm: WarmWorld) -> None:
    warm.begin()
    users = send_logins(warm.world)
    assert "ready" in warm.worker.said
    assert warm.wait(warm.launch()) is dg.DagsterRunStatus.SUCCESS
    assert_complete(warm.world, users, warm.today)
    assert SECRET not in warm.worker.said


def test_a_run_whose_process_is_killed_is_failed_by_monitoring(warm: WarmWorld) -> None:
    warm.begin()
    users = send_logins(warm.world)
    assert "ready" in warm.worker.said
    with warm.batch_in_hand() as run:
        kill(warm.worker.process_of(run))
        eventually(lambda: "WorkerLostError" in warm.worker.said)
        warm.monitor()
        assert warm.status(run) is dg.DagsterRunStatus.FAILURE
    assert warm.world.depth() == (0, LOGINS + 1)
    drain(warm.world)
    assert_complete(warm.world, users, warm.today)


def test_a_worker_outlives_its_broker(warm: WarmWorld, redis: Redis) -> None:
    warm.begin()
    users = send_logins(warm.world)
    worker = warm.worker
    redis.stop()
    eventually(lambda: "connection to broker lost" in worker.said.lower())
    redis.start()
    assert warm.wait(warm.launch()) is dg.DagsterRunStatus.SUCCESS
    assert warm.worker is worker
    assert_complete(warm.world, users, warm.today)
    assert SECRET not in worker.said
