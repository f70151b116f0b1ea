"""The three processes of the instance: from a seed to rows, and each of them killed meanwhile."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus

from chaos.processes import Process
from deploy.instance.tests.stage import (
    BUCKET,
    CHECKOUT,
    LOGINS,
    PATIENCE,
    Stage,
    batch_in_hand,
    depth,
    send_bodies,
)
from pipeline.feeds.user_logins import FEED
from pipeline.instance.code_server import GRACE_SECONDS, CodeServerRunLauncher
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import eventually, login

ELSEWHERE: Final = "postgresql://somebody@elsewhere.test/warehouse"
LAUNCH: Final = """
mutation Launch($job: String!, $config: RunConfigData!) {
  launchPipelineExecution(executionParams: {
    selector: {
      repositoryLocationName: "pipeline", repositoryName: "__repository__", jobName: $job
    },
    runConfigData: $config
  }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
  }
}
"""


def launch(stage: Stage, job: str, config: object) -> dict[str, Any]:
    """What a launch through the web server comes to."""
    told: dict[str, Any] = stage.graphql(LAUNCH, job=job, config=config)["launchPipelineExecution"]
    return told


def assert_known_to_be_running(stage: Stage, run_id: str) -> None:
    """Run monitoring finds the run with its code server, however long it looks."""
    launcher = CodeServerRunLauncher(clock=itertools.count(0.0, GRACE_SECONDS).__next__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_POSTGRES_URL", stage.history)
        with dg.DagsterInstance.from_config(str(stage.home)) as instance:
            launcher.register_instance(instance)
            run = instance.get_run_by_id(run_id)
            assert run is not None
            for _ in range(2):
                assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING


def kill(process: Process) -> None:
    """SIGKILL for it and for all that it has started, as where its container ends."""
    group = process.groups[-1]
    os.killpg(group, signal.SIGKILL)
    eventually(lambda: not process.is_alive())


def test_what_a_seed_job_sends_becomes_rows_and_its_output_lies_encrypted(stage: Stage) -> None:
    before = ask(stage.warehouse, "SELECT count(*) FROM user_logins")[0][0]
    sent = {"count": 30, "duplicates": 0.0, "malformed": 0.0, "random_seed": 7}
    seed = launch(stage, "seed_user_logins", {"ops": {"send_user_logins": {"config": sent}}})
    assert seed["__typename"] == "LaunchRunSuccess", seed
    rows = "SELECT count(*) FROM user_logins"
    eventually(lambda: ask(stage.warehouse, rows)[0][0] == before + 30, patience=PATIENCE)
    seeded = ask(stage.warehouse, "SELECT user_id FROM user_logins")
    stage.users[:] = [user for (user,) in seeded]
    eventually(lambda: {each["status"] for each in stage.runs()} == {"SUCCESS"}, patience=PATIENCE)
    stage.assert_nothing_lost_or_doubled()

    kept = stage.logs()
    assert any(seed["run"]["runId"] in each for each in kept)
    assert any(each["runId"] in key for each in stage.runs() for key in kept)
    heads = [stage.s3.head_object(Bucket=BUCKET, Key=key) for key in kept]
    assert {each["ServerSideEncryption"] for each in heads} == {"AES256"}


def test_no_process_writes_to_its_home(stage: Stage) -> None:
    assert {each.name for each in stage.home.rglob("*")} == {"dagster.yaml", "workspace.yaml"}
    assert (stage.home / "dagster.yaml").read_bytes() == (
        CHECKOUT / "deploy" / "dagster.yaml"
    ).read_bytes()


def test_dagsters_own_tables_are_migrated_by_its_command(stage: Stage) -> None:
    command = [str(Path(sys.executable).with_name("dagster")), "instance", "migrate"]
    done = subprocess.run(
        command, env=dict(stage.environment), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_killed_code_server_takes_its_run_along_and_nothing_is_lost(stage: Stage) -> None:
    with batch_in_hand(stage):
        [run, *_] = stage.runs()
        kill(stage.code)
    stage.start()
    stage.show_hidden()
    # Once the time of grace is over: until then the sensor leaves the messages to that run.
    eventually(lambda: {**run, "status": "FAILURE"} in stage.runs(), patience=2 * PATIENCE)
    stage.wait_for_rows()
    stage.assert_nothing_lost_or_doubled()


def test_a_code_server_that_is_told_to_stop_ends_with_its_run(stage: Stage) -> None:
    """As where a new version takes its place."""
    with batch_in_hand(stage):
        [run, *_] = stage.runs()
        assert_known_to_be_running(stage, run["runId"])
        stage.code.send(signal.SIGTERM)
    eventually(lambda: not stage.code.is_alive(), patience=PATIENCE)
    assert {**run, "status": "SUCCESS"} in stage.runs()
    assert stage.code.status == 0
    stage.wait_for_rows()
    stage.assert_nothing_lost_or_doubled()


def test_a_run_goes_on_without_a_daemon_and_the_next_one_begins_with_it(stage: Stage) -> None:
    with batch_in_hand(stage):
        kill(stage.daemon)
    stage.wait_for_rows()
    stage.send(LOGINS)
    stage.start()
    stage.wait_for_rows()
    stage.assert_nothing_lost_or_doubled()


def test_a_run_goes_on_without_a_web_server_which_then_tells_of_it(stage: Stage) -> None:
    with batch_in_hand(stage):
        [run, *_] = stage.runs()
        kill(stage.web)
    stage.wait_for_rows()
    stage.start()
    eventually(lambda: {**run, "status": "SUCCESS"} in stage.runs(), patience=PATIENCE)
    stage.assert_nothing_lost_or_doubled()


@pytest.mark.parametrize(
    "config",
    [
        {"resources": {"outside": {"config": {"postgres_url": ELSEWHERE}}}},
        {
            "resources": {
                "outside": {"config": {"environment": {"PIPELINE_POSTGRES_URL": ELSEWHERE}}}
            }
        },
        {"execution": {"config": {"multiprocess": {"max_concurrent": 8}}}},
    ],
    ids=["host", "environment", "executor"],
)
def test_no_launch_through_the_web_server_chooses_where_data_goes(
    stage: Stage, config: object
) -> None:
    before = stage.runs()
    told = launch(stage, f"ingest_{FEED.name}", config)
    assert told["__typename"] == "RunConfigValidationInvalid", told
    assert stage.runs() == before


def test_what_a_launch_says_to_an_op_of_table_and_queue_is_not_heard(stage: Stage) -> None:
    """Dagster takes anything as the config of an op that has none."""
    another = stage.sqs.create_queue(QueueName="another-queue")["QueueUrl"]
    send_bodies(stage.sqs, another, [json.dumps(login())])
    stage.send(LOGINS)
    said = {
        f"extract_{FEED.name}": {"config": {"queue": "another-queue"}},
        f"load_{FEED.name}": {"config": {"table": "another", "postgres_url": ELSEWHERE}},
    }
    told = launch(stage, f"ingest_{FEED.name}", {"ops": {FEED.name: {"ops": said}}})
    run = {"runId": told["run"]["runId"], "status": "SUCCESS"}
    eventually(lambda: run in stage.runs(), patience=PATIENCE)
    stage.wait_for_rows()
    stage.assert_nothing_lost_or_doubled()
    assert depth(stage.sqs, another) == 1
    assert ask(stage.warehouse, "SELECT to_regclass('another')") == [(None,)]
