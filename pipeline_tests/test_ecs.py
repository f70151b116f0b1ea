"""Runs as ECS tasks: `deploy/aws`, by Dagster's own launcher, in a cluster that moto plays."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import monitor_started_run
from dagster._grpc.types import ExecuteRunArgs
from dagster_shared.serdes import deserialize_value

from pipeline_tests.aws_case import SETTINGS
from pipeline_tests.ecs_case import DEPLOY, FAMILY, Cluster, ecs, filled_in
from pipeline_tests.launched_runs import SECRETS, again, begin, launch
from pipeline_tests.world import World, sample_bodies

__all__ = ["ecs"]

ROOT: Final = DEPLOY.parent
MOST_OVERRIDES: Final = 8192
"""Characters that RunTask takes as overrides, as the API reference of ECS says."""


def test_a_run_is_a_task_of_the_definition_in_the_network_of_the_daemon(ecs: Cluster) -> None:
    run = launch(ecs.instance)
    task = ecs.task(run)
    assert run.status is dg.DagsterRunStatus.STARTING
    assert task["taskDefinitionArn"].split("/")[-1] == f"{FAMILY}:1"
    assert task["launchType"] == "FARGATE"
    assert {"key": "dagster/run_id", "value": run.run_id} in task["tags"]
    details = {each["name"]: each["value"] for each in task["attachments"][0]["details"]}
    assert details["subnetId"] in ecs.network["subnets"]


def test_the_task_executes_that_run_with_room_for_a_batch(ecs: Cluster) -> None:
    run = launch(ecs.instance)
    overrides = ecs.task(run)["overrides"]
    [container] = overrides["containerOverrides"]
    assert container["name"] == "run"
    assert (container["cpu"], container["memory"]) == (1024, 2048)
    assert (overrides["cpu"], overrides["memory"]) == ("1024", "2048")
    assert container["command"][:3] == ["dagster", "api", "execute_run"]
    asked = deserialize_value(container["command"][-1], ExecuteRunArgs)
    assert (asked.run_id, asked.job_origin.job_name) == (run.run_id, run.job_name)


def test_nothing_secret_stands_in_what_the_task_is_told_and_it_fits(ecs: Cluster) -> None:
    told = json.dumps(ecs.task(launch(ecs.instance))["overrides"])
    assert not [
        url for url in (os.environ["DAGSTER_POSTGRES_URL"], *SECRETS.values()) if url in told
    ]
    assert "password" not in told
    assert "DAGSTER_POSTGRES_URL" in told  # where it is to be found
    assert len(told) < MOST_OVERRIDES


def test_the_command_of_the_task_drains_a_queue_and_writes_no_file(
    ecs: Cluster, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # the daemon's, not of the world
    assert world.run().success  # makes the keyring, which is a file here
    world.send(sample_bodies())
    run = launch(ecs.instance)
    [container] = ecs.task(run)["overrides"]["containerOverrides"]
    room = tmp_path / "room"
    room.mkdir()
    task = {
        **world.environment,
        "DAGSTER_POSTGRES_URL": os.environ["DAGSTER_POSTGRES_URL"],
        "PATH": f"{Path(sys.executable).parent}:{world.environment['PATH']}",
        **dict.fromkeys(("DAGSTER_HOME", "HOME", "TMPDIR"), str(room)),
    }
    subprocess.run(container["command"], env=task, cwd=ROOT, check=True, timeout=120)
    assert again(ecs.instance, run).status is dg.DagsterRunStatus.SUCCESS
    assert world.depth() == (0, 0)
    assert not list(room.iterdir())


def test_a_task_that_was_killed_fails_its_run(ecs: Cluster) -> None:
    run = begin(ecs.instance, launch(ecs.instance))
    assert ecs.launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    ecs.kill(run, exit_code=137)
    assert ecs.launcher.check_run_worker_health(run).status is WorkerStatus.FAILED
    [record] = ecs.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
    with WorkspaceProcessContext(ecs.instance, EmptyWorkspaceTarget()) as workspace:
        look = workspace.create_request_context()
        monitor_started_run(ecs.instance, look, record, logging.getLogger())
    assert again(ecs.instance, run).status is dg.DagsterRunStatus.FAILURE


def test_to_terminate_a_run_stops_its_task(ecs: Cluster) -> None:
    run = launch(ecs.instance)
    assert ecs.launcher.terminate(run.run_id)
    assert ecs.task(run)["lastStatus"] == "STOPPED"
    assert again(ecs.instance, run).status is dg.DagsterRunStatus.CANCELING


def test_the_container_can_write_to_nothing_and_is_nobody() -> None:
    definition = filled_in("run")
    [container] = definition["containerDefinitions"]
    assert container["user"] == "10001:10001"
    assert container["readonlyRootFilesystem"] is True
    assert container["privileged"] is False
    assert container["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
    mounts = [(each["sourceVolume"], each["containerPath"]) for each in container["mountPoints"]]
    assert mounts == [("tmp", "/tmp")]  # noqa: S108 - within the container
    assert definition["volumes"] == [{"name": "tmp"}]  # of the task, gone with it
    assert container["image"] == SETTINGS.image


def test_secrets_reach_the_container_by_reference() -> None:
    [container] = filled_in("run")["containerDefinitions"]
    secrets = {each["name"]: each["valueFrom"] for each in container["secrets"]}
    assert set(secrets) == {"DAGSTER_POSTGRES_URL", "PIPELINE_POSTGRES_URL"}
    assert all(arn.startswith("arn:aws:secretsmanager:") for arn in secrets.values())
    settings = {each["name"]: each["value"] for each in container["environment"]}
    assert not [name for name in settings if name.endswith("_URL") or "SECRET" in name]
