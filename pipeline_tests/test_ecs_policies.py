"""The policies of `deploy/aws` in use: enough for what their bearers call, and for little more.

`test_aws_permissions.py` has the table of who may what.
"""

import contextlib
import json
import uuid
from collections.abc import Iterator
from typing import Any, Final

import boto3
import pytest
from botocore.exceptions import ClientError
from dagster._core.launcher import WorkerStatus
from moto.core.authorization import enable_iam_authentication

from pipeline.feeds import find
from pipeline.resources.outside import Outside
from pipeline_tests.aws_case import SETTINGS, access, role
from pipeline_tests.dead_letter_case import with_dead_letters
from pipeline_tests.ecs_case import Cluster, ecs, filled_in
from pipeline_tests.launched_runs import begin, launch
from pipeline_tests.permissions import listed
from pipeline_tests.test_aws_permissions import ROLES
from pipeline_tests.world import World, sample_bodies

__all__ = ["ecs"]

BATCHED: Final = {
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "DeleteMessageBatch": "DeleteMessage",
    "SendMessageBatch": "SendMessage",
}
"""Calls that SQS permits by the name of the single one."""


def statements(name: str) -> list[dict[str, Any]]:
    """Of a role, with lists where JSON allows a string."""
    return [
        {**each, "Action": listed(each["Action"]), "Resource": listed(each["Resource"])}
        for each in access().of_role(role(name))
    ]


def actions(name: str) -> set[str]:
    """All that a role is allowed."""
    return {action for each in statements(name) for action in each["Action"]}


@contextlib.contextmanager
def daemon_with(ecs: Cluster, allowed: set[str]) -> Iterator[Cluster]:
    """A daemon that has these rights and no others, on anything: moto looks at no resource."""
    iam, name = boto3.client("iam"), f"daemon-{uuid.uuid4()}"
    iam.create_user(UserName=name)
    policy = {"Statement": [{"Effect": "Allow", "Action": sorted(allowed), "Resource": "*"}]}
    document = json.dumps({"Version": "2012-10-17", **policy})
    iam.put_user_policy(UserName=name, PolicyName="daemon", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    with pytest.MonkeyPatch.context() as patch, ecs.started_again() as again:
        patch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        boto3.setup_default_session()
        with enable_iam_authentication():
            yield again
    boto3.setup_default_session()


def test_the_daemon_may_start_watch_and_stop_runs(ecs: Cluster) -> None:
    with daemon_with(ecs, actions("daemon")) as daemon:
        run = begin(daemon.instance, launch(daemon.instance))
        assert daemon.launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
        assert daemon.launcher.terminate(run.run_id)


@pytest.mark.parametrize(
    "needed",
    [
        "ec2:DescribeNetworkInterfaces",
        "ecs:DescribeTaskDefinition",
        "ecs:DescribeTasks",
        "ecs:RunTask",
    ],
)
def test_without_any_of_its_rights_the_daemon_starts_none(ecs: Cluster, needed: str) -> None:
    refused = pytest.raises(ClientError, match=needed)
    with daemon_with(ecs, actions("daemon") - {needed}) as daemon, refused:
        launch(daemon.instance)


def test_the_daemon_passes_the_two_roles_of_a_run_to_ecs_and_no_other() -> None:
    definition = filled_in("run")
    [passing] = [each for each in statements("daemon") if "iam:PassRole" in each["Action"]]
    assert passing["Action"] == ["iam:PassRole"]
    roles = {definition["executionRoleArn"], definition["taskRoleArn"]}
    assert set(passing["Resource"]) == roles
    [service] = passing["Condition"]["StringEquals"].items()
    assert service == ("iam:PassedToService", "ecs-tasks.amazonaws.com")


def test_the_daemon_starts_that_family_in_that_cluster_alone() -> None:
    [starting] = [each for each in statements("daemon") if "ecs:RunTask" in each["Action"]]
    family = filled_in("run")["family"]
    [resource] = starting["Resource"]
    assert resource.endswith(f":task-definition/{family}:*")
    assert starting["Condition"]["ArnEquals"]["ecs:cluster"].endswith(
        f":cluster/pipeline-{SETTINGS.environment}"
    )


@pytest.mark.parametrize("name", ROLES)
def test_stars_stand_only_where_aws_knows_no_resource(name: str) -> None:
    known = {
        "ec2:DescribeNetworkInterfaces",
        "ecs:DescribeTaskDefinition",
        "ecr:GetAuthorizationToken",
    }
    open_to_all = {
        action for each in statements(name) if "*" in each["Resource"] for action in each["Action"]
    }
    assert open_to_all <= known
    assert not [action for action in actions(name) if "*" in action]
    assert all(each["Effect"] == "Allow" for each in statements(name))


def test_a_run_calls_what_its_policy_allows_of_sqs_and_all_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_ENVIRONMENT", "production")
    world.sqs.tag_queue(QueueUrl=world.queue_url, Tags={"environment": "production"})
    world.send(sample_bodies())
    world.app.calls.clear()
    assert world.run().success
    called = {f"sqs:{BATCHED.get(call, call)}" for call in world.app.calls}
    allowed = {action for action in actions("run") if action.startswith("sqs:")}
    assert called <= allowed
    # Nothing was to be released, and this batch was too short for a heartbeat.
    assert allowed - called <= {"sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"}


def test_a_sensor_calls_what_the_code_servers_policy_allows_and_all_of_it(world: World) -> None:
    with_dead_letters(world)
    feed = find("user_logins")
    world.app.calls.clear()
    outside = Outside.of(world.environment)
    outside.depth(feed)
    assert outside.dead_letter_depth(feed) is not None
    assert {f"sqs:{call}" for call in world.app.calls} == {
        each for each in actions("code") if each.startswith("sqs:")
    }
