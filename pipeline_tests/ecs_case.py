"""An ECS cluster in which this process is the daemon's task: moto, and `deploy/aws` as it is."""

import contextlib
import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, cast

import boto3
import dagster as dg
import pytest
from dagster_aws.ecs import EcsRunLauncher
from moto import mock_aws
from moto.ecs.models import ecs_backends

import pipeline
from pipeline.local.postgres import EmbeddedPostgres
from pipeline_tests.aws_case import SETTINGS, role, tasks
from pipeline_tests.launched_runs import SECRETS
from pipeline_tests.postgres_fixtures import database

DEPLOY: Final = Path(pipeline.__file__).parents[1] / "deploy"
FAMILY: Final = role("run")

_ACCOUNT: Final = SETTINGS.account
_REGION: Final = SETTINGS.region
_CLUSTER: Final = f"pipeline-{SETTINGS.environment}"


def filled_in(name: str) -> dict[str, Any]:
    """A task definition of `deploy/aws`, as it is registered with ECS."""
    return cast("dict[str, Any]", _as_of_the_api(tasks()[name]))


def _as_of_the_api(value: Any) -> Any:  # noqa: ANN401 - whatever stands in a template
    """The same with names as the API writes them, where CloudFormation has a capital letter."""
    if isinstance(value, list):
        return [_as_of_the_api(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key[0].lower() + key[1:]: _as_of_the_api(each) for key, each in value.items()}


@dataclass(frozen=True)
class Cluster:
    """A cluster with the task definition, and an instance of `deploy/dagster.yaml` in it.

    Attributes:
        client: ECS, as moto plays it.
        instance: Its storage is a Postgres, its launcher the one that is deployed.
        network: Subnets and security groups of the daemon's task.
    """

    client: Any
    instance: dg.DagsterInstance
    network: Mapping[str, Any]

    @property
    def launcher(self) -> EcsRunLauncher[Any]:
        """The launcher of the instance."""
        launcher = self.instance.run_launcher
        assert isinstance(launcher, EcsRunLauncher)
        return launcher

    @contextlib.contextmanager
    def started_again(self) -> Iterator["Cluster"]:
        """The same instance in another daemon, which has called nobody yet."""
        with dg.DagsterInstance.from_config(self.instance.root_directory) as instance:
            yield replace(self, instance=instance)

    def task(self, run: dg.DagsterRun) -> dict[str, Any]:
        """The run's task, as ECS describes it."""
        answer = self.client.describe_tasks(
            cluster=run.tags["ecs/cluster"], tasks=[run.tags["ecs/task_arn"]], include=["TAGS"]
        )
        return cast("dict[str, Any]", answer["tasks"][0])

    def kill(self, run: dg.DagsterRun, *, exit_code: int) -> None:
        """The task of a run stops, as where memory has run out or capacity is taken back."""
        arn = run.tags["ecs/task_arn"]
        task = ecs_backends[_ACCOUNT][_REGION].tasks[_CLUSTER][arn]
        task.containers[0].exitCode = exit_code
        self.client.stop_task(cluster=_CLUSTER, task=arn, reason="by the test")


@contextlib.contextmanager
def _cluster(home: Path, postgres_url: str, patch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster, within moto.

    Args:
        home: An empty folder for the instance.
        postgres_url: An empty database, for its storage.
        patch: Whose environment becomes that of the daemon.
    """
    daemons = {"AWS_DEFAULT_REGION": _REGION, "DAGSTER_POSTGRES_URL": postgres_url, **SECRETS}
    for name, value in daemons.items():
        patch.setenv(name, value)
    patch.setenv("PIPELINE_LAUNCHER", "ecs")
    patch.setenv("PIPELINE_ECS_TASK_DEFINITION", FAMILY)
    client = boto3.client("ecs")
    client.create_cluster(clusterName=_CLUSTER)
    client.register_task_definition(**filled_in("run"))
    network = _network()
    daemon = client.run_task(
        cluster=_CLUSTER,
        taskDefinition=FAMILY,  # any will do: only its network is asked for
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": network},
    )["tasks"][0]
    shutil.copy(DEPLOY / "dagster.yaml", home)
    with (
        _metadata_endpoint(daemon, patch),
        dg.DagsterInstance.from_config(str(home)) as instance,
    ):
        yield Cluster(client, instance, network)


def _network() -> dict[str, Any]:
    ec2 = boto3.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    return {"subnets": [subnet], "securityGroups": [group], "assignPublicIp": "DISABLED"}


@contextlib.contextmanager
def _metadata_endpoint(task: Mapping[str, Any], patch: pytest.MonkeyPatch) -> Iterator[None]:
    """What ECS tells a container of its own task, at the URL that its environment names."""
    body = json.dumps({"Cluster": task["clusterArn"], "TaskARN": task["taskArn"]}).encode()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            patch.setenv("ECS_CONTAINER_METADATA_URI_V4", f"http://127.0.0.1:{server.server_port}")
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def ecs(
    postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """One cluster for all tests, each of which looks at a run, or a caller, of its own."""
    home = tmp_path_factory.mktemp("home")
    with (
        mock_aws(),
        database(postgres_server) as url,
        pytest.MonkeyPatch.context() as patch,
        _cluster(home, url, patch) as made,
    ):
        yield made
