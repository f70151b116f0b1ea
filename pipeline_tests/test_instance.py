"""`deploy/dagster.yaml`: what the environment chooses, against a real Postgres and moto's S3."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import boto3
import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.workspace.load import location_origins_from_yaml_paths
from dagster._serdes import ConfigurableClassData
from dagster_k8s import K8sRunLauncher
from dagster_postgres import DagsterPostgresStorage
from dagster_shared.yaml_utils import load_yaml_from_path
from moto import mock_aws

import pipeline
from pipeline.errors import SettingsError
from pipeline.instance.code_server import GRACE_SECONDS, CodeServerRunLauncher
from pipeline.instance.launcher import ChosenRunLauncher
from pipeline.instance.storage import Psycopg2Storage
from pipeline.local.postgres import EmbeddedPostgres
from pipeline.warm.launcher import WarmRunLauncher
from pipeline_tests.helm_chart import instance_of
from pipeline_tests.kubernetes_case import Api, serving, values, write_kubeconfig
from pipeline_tests.outside_world import unused_port
from pipeline_tests.postgres_fixtures import database

CHECKOUT: Final = Path(pipeline.__file__).parents[1]
SHIPPED: Final = CHECKOUT / "deploy" / "dagster.yaml"
BUCKET: Final = "logs-of-runs"
KEY: Final = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"


def yaml_of(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", load_yaml_from_path(str(path)))


@dg.job
def telling() -> None:
    """Prints a line."""

    @dg.op
    def tell() -> None:
        print("a line of the run")  # noqa: T201 - what is kept is what is printed

    tell()


@pytest.fixture(scope="module")
def history(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """Dagster's database, for all tests: its tables take seconds to make."""
    with database(postgres_server) as url:
        yield url


@contextlib.contextmanager
def deployed(home: Path, history: str, **environment: str) -> Iterator[dg.DagsterInstance]:
    """The instance as it is shipped, in an environment that says this and nothing else of it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith(("PIPELINE_", "AWS_"))]:
            patch.delenv(name)
        patch.setenv("TMPDIR", str(home))
        patch.setattr("tempfile.tempdir", None)  # what it keeps of TMPDIR
        for name, value in {"DAGSTER_POSTGRES_URL": history, **environment}.items():
            patch.setenv(name, value)
        shutil.copy(SHIPPED, home / "dagster.yaml")
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield instance


@contextlib.contextmanager
def bucket() -> Iterator[Any]:
    """S3 with an empty bucket."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client


def launched_by(**environment: str) -> object:
    """The launcher that an environment chooses of those that are shipped."""
    data = yaml_of(SHIPPED)["run_launcher"]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return ChosenRunLauncher.from_config_value(
            ConfigurableClassData(data["module"], data["class"], ""), data["config"]
        )


def test_it_says_what_the_root_folders_says_but_for_what_is_deployed() -> None:
    shipped, root = yaml_of(SHIPPED), yaml_of(CHECKOUT / "dagster.yaml")
    assert set(shipped) - set(root) == {"storage", "run_launcher", "compute_logs"}
    started = shipped["run_monitoring"].pop("start_timeout_seconds")
    assert started > root["run_monitoring"].pop("start_timeout_seconds")
    assert {key: shipped[key] for key in root} == root


def test_a_pod_is_what_the_charts_values_make_of_it() -> None:
    ours = yaml_of(SHIPPED)["run_launcher"]["config"]["k8s"]
    chart = instance_of(values())["run_launcher"]["config"]
    # The chart's own way to the database is a password; here it is a URL, in a Secret of its own.
    its_own = {"job_namespace", "dagster_home", "service_account_name", "env_secrets"}
    same = set(ours) - its_own
    assert {key: ours[key] for key in same} == {key: chart[key] for key in same}
    assert set(chart) - set(ours) == {"postgres_password_secret", "env_config_maps"}
    assert set(chart["env_secrets"]) < set(ours["env_secrets"])


def test_daemon_and_web_server_look_for_the_code_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIPELINE_CODE_HOST", "code.internal")
    monkeypatch.setenv("PIPELINE_CODE_PORT", "4001")
    [origin] = location_origins_from_yaml_paths([str(CHECKOUT / "deploy" / "workspace.yaml")])
    told = cast("Any", origin)
    assert (told.host, told.port, told.location_name) == ("code.internal", 4001, "pipeline")


def test_output_is_encrypted_in_the_bucket_and_only_its_url_is_told(
    tmp_path: Path, history: str
) -> None:
    with bucket() as s3:
        region = {"AWS_DEFAULT_REGION": "us-east-1"}
        with deployed(tmp_path, history, PIPELINE_LOG_BUCKET=BUCKET, **region) as instance:
            run = telling.execute_in_process(instance=instance)
            told = [str(each) for each in instance.all_logs(run.run_id)]
        kept = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
        [out] = [each for each in kept if each.endswith(".out")]
        found = s3.get_object(Bucket=BUCKET, Key=out)
        assert b"a line of the run" in found["Body"].read()
        assert found["ServerSideEncryption"] == "AES256"
    assert run.run_id in out
    assert any(f"s3/object/{BUCKET}" in each for each in told)
    assert [each.name for each in tmp_path.rglob("*") if each.suffix in {".out", ".err"}] == []


def test_a_key_of_ones_own_encrypts_it(tmp_path: Path, history: str) -> None:
    with bucket() as s3:
        chosen = {"PIPELINE_LOG_BUCKET": BUCKET, "PIPELINE_LOG_KMS_KEY": KEY}
        with deployed(tmp_path, history, AWS_DEFAULT_REGION="us-east-1", **chosen) as instance:
            telling.execute_in_process(instance=instance)
        kept = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
        heads = [s3.head_object(Bucket=BUCKET, Key=each["Key"]) for each in kept]
    assert {(each["ServerSideEncryption"], each["SSEKMSKeyId"]) for each in heads} == {
        ("aws:kms", KEY)
    }


def test_a_bucket_that_is_gone_fails_no_run(tmp_path: Path, history: str) -> None:
    with bucket():
        gone = {"PIPELINE_LOG_BUCKET": "gone", "AWS_DEFAULT_REGION": "us-east-1"}
        with deployed(tmp_path, history, **gone) as instance:
            assert telling.execute_in_process(instance=instance).success


def test_without_a_bucket_output_is_that_of_the_process(
    tmp_path: Path, history: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with deployed(tmp_path, history) as instance:
        assert isinstance(instance.compute_log_manager, NoOpComputeLogManager)
        assert isinstance(instance.run_launcher, CodeServerRunLauncher)
        assert instance.telemetry_enabled is False
        assert telling.execute_in_process(instance=instance).success
    assert "a line of the run" in capfd.readouterr().out
    assert [each.name for each in tmp_path.iterdir()] == ["dagster.yaml"]


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_dagsters_tables_are_reached_by_psycopg2_however_the_url_begins(
    scheme: str, history: str
) -> None:
    url = history.replace("postgresql", scheme, 1)
    storage = Psycopg2Storage.from_config_value(None, {"postgres_url": url})
    assert isinstance(storage, DagsterPostgresStorage)
    assert storage.postgres_url == history.replace("postgresql", "postgresql+psycopg2", 1)


def test_a_run_whose_code_server_is_gone_has_failed_once_the_time_of_grace_is_over() -> None:
    now = 0.0
    launcher = CodeServerRunLauncher(clock=lambda: now)
    with unused_port() as port, dg.DagsterInstance.ephemeral() as instance:
        launcher.register_instance(instance)
        there = json.dumps({"host": "127.0.0.1", "port": port})
        run = instance.create_run_for_job(
            telling, tags={GRPC_INFO_TAG: there}, status=dg.DagsterRunStatus.STARTED
        )
        assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
        now += GRACE_SECONDS - 1
        assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
        now += 1
        assert launcher.check_run_worker_health(run).status is WorkerStatus.FAILED


def test_warm_workers_are_chosen_by_the_environment() -> None:
    broker = {"PIPELINE_CELERY_BROKER": "redis://nowhere"}
    assert isinstance(launched_by(PIPELINE_LAUNCHER="celery", **broker), WarmRunLauncher)


def test_pods_are_chosen_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_LAUNCHER", "k8s")
    monkeypatch.setenv("PIPELINE_K8S_NAMESPACE", "here")
    data = yaml_of(SHIPPED)["run_launcher"]
    with serving(Api()) as url:
        elsewhere = {
            "load_incluster_config": False,
            "kubeconfig_file": str(write_kubeconfig(tmp_path, url)),
        }
        made = ChosenRunLauncher.from_config_value(
            ConfigurableClassData(data["module"], data["class"], ""),
            {"k8s": data["config"]["k8s"] | elsewhere},
        )
    assert isinstance(made, K8sRunLauncher)
    assert made.job_namespace == "here"


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"PIPELINE_LAUNCHER": "cellery"}, "names no launcher. Set it to one of default, celery"),
        ({"PIPELINE_LAUNCHER": "k8s"}, r"dagster_k8s is not installed.*'\.\[k8s\]'"),
    ],
)
def test_a_launcher_that_cannot_be_had_is_told(
    environment: Mapping[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dagster_k8s", None)  # as where it is not installed
    with pytest.raises(SettingsError, match=told):
        launched_by(**environment)
