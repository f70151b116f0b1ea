"""Runs as pods: the values for Dagster's chart, and the job that its launcher makes of them."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict
from dagster_shared.yaml_utils import load_yaml_from_path
from kubernetes import client as k8s  # type: ignore[import-untyped] # it has no stubs

from pipeline.local.postgres import EmbeddedPostgres
from pipeline_tests.helm_chart import DEPLOYMENT, KNOWN, NAMESPACE, at, instance_of
from pipeline_tests.kubernetes_case import FOLDER, Api, deployed, serving, values
from pipeline_tests.launched_runs import IMAGE, SECRETS, again, begin, launch
from pipeline_tests.postgres_fixtures import database

ROOT: Final = FOLDER.parents[1]
NOBODY: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
}
CONTAINERS: Final = {
    "web server": lambda ours: ours["dagsterWebserver"],
    "daemon": lambda ours: ours["dagsterDaemon"],
    "code server": lambda ours: ours["dagster-user-deployments"]["deployments"][0],
}


@pytest.fixture(scope="module")
def api() -> Api:
    """The cluster's API, for all tests: each asks for the job of its own run."""
    return Api()


@pytest.fixture(scope="module")
def instance(
    api: Api, postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dg.DagsterInstance]:
    """The instance of the values, with that API and a database of its own."""
    home = tmp_path_factory.mktemp("home")
    with (
        serving(api) as api_url,
        database(postgres_server) as url,
        pytest.MonkeyPatch.context() as patch,
        deployed(home, url, api_url, patch) as made,
    ):
        yield made


def job_of(run: dg.DagsterRun, api: Api) -> dict[str, Any]:
    """The manifest that the API was given for a run."""
    return api.jobs[f"dagster-run-{run.run_id}"]


def pod_of(run: dg.DagsterRun, api: Api) -> dict[str, Any]:
    """The pod of that manifest."""
    spec: dict[str, Any] = job_of(run, api)["spec"]["template"]["spec"]
    return spec


def test_a_run_is_a_job_that_executes_it_once(instance: dg.DagsterInstance, api: Api) -> None:
    run = launch(instance)
    job, pod = job_of(run, api), pod_of(run, api)
    assert job["metadata"]["labels"]["dagster/run-id"] == run.run_id
    assert (job["spec"]["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
    assert job["spec"]["ttlSecondsAfterFinished"] == 3600
    [container] = pod["containers"]
    assert container["image"] == IMAGE
    assert container["args"][:3] == ["dagster", "api", "execute_run"]
    assert run.run_id in container["args"][-1]
    assert run.status is dg.DagsterRunStatus.STARTING


def test_its_pod_is_nobody_and_can_write_to_nothing(instance: dg.DagsterInstance, api: Api) -> None:
    pod = pod_of(launch(instance), api)
    [container] = pod["containers"]
    assert container["securityContext"] == NOBODY
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert [each["mountPath"] for each in container["volumeMounts"]] == ["/tmp"]  # noqa: S108 - there
    assert [each["name"] for each in pod["volumes"] if "emptyDir" in each] == ["tmp"]


def test_its_pod_has_the_rights_of_a_run_alone(instance: dg.DagsterInstance, api: Api) -> None:
    pod = pod_of(launch(instance), api)
    account = load_yaml_from_path(str(FOLDER / "service-account.yaml"))
    assert isinstance(account, dict)
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert pod["serviceAccountName"] != values()["serviceAccount"]["name"]
    assert pod["automountServiceAccountToken"] is False


def test_its_pod_has_room_for_a_batch_and_time_to_release(
    instance: dg.DagsterInstance, api: Api
) -> None:
    pod = pod_of(launch(instance), api)
    [container] = pod["containers"]
    resources = container["resources"]
    assert resources["requests"] == {"cpu": "1", "memory": "1536Mi"}
    assert resources["limits"] == {"memory": "1536Mi"}
    monitoring = values()["dagsterDaemon"]["runMonitoring"]
    assert pod["terminationGracePeriodSeconds"] <= monitoring["cancelTimeoutSeconds"]


def test_secrets_reach_it_from_secret_objects_and_stand_nowhere(
    instance: dg.DagsterInstance, api: Api
) -> None:
    run = launch(instance)
    [container] = pod_of(run, api)["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "pipeline-warehouse"}}]
    environment = {each["name"]: each for each in container["env"]}
    password = environment["DAGSTER_PG_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert password == {"name": "pipeline-dagster-postgres", "key": "postgresql-password"}
    told = json.dumps(job_of(run, api))
    assert not [secret for secret in SECRETS.values() if secret in told]
    assert os.environ["DAGSTER_PG_PASSWORD"] not in told


def test_a_job_that_failed_is_a_worker_that_failed(instance: dg.DagsterInstance, api: Api) -> None:
    run = begin(instance, launch(instance))
    health = instance.run_launcher.check_run_worker_health
    assert health(run).status is WorkerStatus.RUNNING
    api.statuses[f"dagster-run-{run.run_id}"] = {"failed": 1}
    assert health(run).status is WorkerStatus.FAILED


def test_to_terminate_a_run_deletes_its_job(instance: dg.DagsterInstance, api: Api) -> None:
    run = launch(instance)
    assert instance.run_launcher.terminate(run.run_id)
    assert f"dagster-run-{run.run_id}" not in api.jobs
    assert job_namespace(instance) == NAMESPACE
    assert again(instance, run).status is dg.DagsterRunStatus.CANCELING


def job_namespace(instance: dg.DagsterInstance) -> str:
    """Where the launcher makes its jobs."""
    return str(instance.run_launcher.job_namespace)  # type: ignore[attr-defined] # of this class


def test_the_instance_is_that_of_the_root_folder_but_for_where_runs_run() -> None:
    made = instance_of(values())
    root = load_yaml_from_path(str(ROOT / "dagster.yaml"))
    assert isinstance(root, dict)
    made["run_queue"] = made.pop("run_coordinator")["config"]
    freed = made["run_monitoring"].pop("free_slots_after_run_end_seconds")
    assert freed == 0  # Dagster's own default; the chart wants a number
    started = made["run_monitoring"].pop("start_timeout_seconds")
    assert started > root["run_monitoring"].pop("start_timeout_seconds")
    assert {key: made[key] for key in root} == root


def test_that_instance_holds_runs_back_as_the_root_folders_does(
    instance: dg.DagsterInstance,
) -> None:
    limits = instance.get_concurrency_config().run_queue_config
    assert limits is not None
    assert limits.max_concurrent_runs == 3
    assert list(limits.tag_concurrency_limits) == [{"key": "pipeline/holds", "limit": 2}]
    assert limits.max_user_code_failure_retries == 5
    assert instance.telemetry_enabled is False


@pytest.mark.parametrize("place", KNOWN)
def test_the_chart_knows_every_key(place: str) -> None:
    assert set(at(values(), place)) <= KNOWN[place]


def test_the_chart_knows_every_key_of_the_code_server() -> None:
    [server] = values()["dagster-user-deployments"]["deployments"]
    assert set(server) <= DEPLOYMENT


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_serves_is_nobody_and_kubernetes_knows_what_is_said_of_it(name: str) -> None:
    ours = CONTAINERS[name](values())
    assert ours["securityContext"] == NOBODY
    assert ours["podSecurityContext"]["runAsNonRoot"] is True
    assert "limits" in ours["resources"]
    for kind, parts in {
        k8s.V1PodSecurityContext: [ours["podSecurityContext"]],
        k8s.V1SecurityContext: [ours["securityContext"]],
        k8s.V1ResourceRequirements: [ours["resources"]],
        k8s.V1Volume: ours["volumes"],
        k8s.V1VolumeMount: ours["volumeMounts"],
        k8s.V1EnvVar: ours["env"],
        k8s.V1Probe: [ours[key] for key in ("readinessProbe",) if key in ours],
        k8s.V1SecretEnvSource: ours.get("envSecrets", []),
    }.items():
        for part in parts:
            k8s_model_from_dict(kind, k8s_snake_case_dict(kind, part))


def test_runs_take_nothing_over_from_the_code_server() -> None:
    [server] = values()["dagster-user-deployments"]["deployments"]
    assert server["includeConfigInLaunchedRuns"] == {"enabled": False}
    assert values()["dagster-user-deployments"]["rbacEnabled"] is False


def test_no_value_is_a_secret() -> None:
    def strings(value: Any) -> Iterator[str]:  # noqa: ANN401 - of YAML
        if isinstance(value, Mapping):
            for each in value.values():
                yield from strings(each)
        elif isinstance(value, list):
            for each in value:
                yield from strings(each)
        else:
            yield str(value)

    ours = values()
    assert not ours["postgresql"]["postgresqlPassword"]
    assert ours["generatePostgresqlPasswordSecret"] is False
    assert not [each for each in strings(ours) if "://" in each]
