"""What is told where warm workers are set up wrongly, or their broker is away."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Final, cast

import dagster as dg
import pytest
from mypy_boto3_sqs import SQSClient

from pipeline.errors import BrokerError, SettingsError
from pipeline.warm.app import check_broker, check_results, make_worker_app
from pipeline.warm.broker import QUEUE, read_broker
from pipeline_tests.cli_case import ERROR, alone, pipeline
from pipeline_tests.outside_world import unused_port
from pipeline_tests.world import lead_to
from pipeline_tests.world import settings as environment_of

SECRET: Final = "hunter2"  # noqa: S105 - to be found where it must not be
DATABASE: Final = f"postgresql://dagster:{SECRET}@db.internal/dagster"
AMQP: Final = f"amqp://runs:{SECRET}@mq.internal//"
RUNS: Final = "https://sqs.eu-central-1.amazonaws.com/123456789012/runs"


@dg.op
def nothing() -> None:
    """Does so."""


@dg.job
def idle() -> None:
    """A job for a launcher."""
    nothing()


def settings(broker: str, results: str = "", queue_url: str = "") -> dict[str, str]:
    return {
        "PIPELINE_CELERY_BROKER": broker,
        "PIPELINE_CELERY_RESULTS": results,
        "PIPELINE_CELERY_QUEUE_URL": queue_url,
    }


def test_redis_keeps_the_results_as_well() -> None:
    assert read_broker(settings("redis://cache/0")).results == "redis://cache/0"


def test_a_database_is_spoken_to_by_the_driver_that_dagster_uses() -> None:
    broker = read_broker(settings(AMQP, DATABASE))
    assert broker.results == DATABASE.replace("postgresql", "db+postgresql+psycopg2")


def test_sqs_is_one_queue_in_its_region() -> None:
    broker = read_broker({**settings("sqs://", DATABASE, RUNS), "AWS_REGION": "eu-central-1"})
    options = cast("dict[str, Any]", broker.config["broker_transport_options"])
    assert options["predefined_queues"] == {QUEUE: {"url": RUNS}}
    assert options["region"] == "eu-central-1"


def test_nothing_of_a_password_is_shown() -> None:
    assert SECRET not in repr(read_broker(settings(AMQP, DATABASE)))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (settings(""), "PIPELINE_CELERY_BROKER is not given"),
        (settings(f"kafka://a:{SECRET}@b"), "PIPELINE_CELERY_BROKER names no broker"),
        (settings(f"redis://[{SECRET}"), "PIPELINE_CELERY_BROKER names no broker"),
        (settings(AMQP), "PIPELINE_CELERY_RESULTS is not given"),
        (settings(AMQP, f"mysql://a:{SECRET}@b"), "PIPELINE_CELERY_RESULTS names no database"),
        (settings("sqs://", DATABASE), "PIPELINE_CELERY_QUEUE_URL does not go with"),
        (settings(AMQP, DATABASE, RUNS), "PIPELINE_CELERY_QUEUE_URL does not go with"),
    ],
)
def test_half_a_configuration_is_refused(given: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_broker(given)
    assert named in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_worker_without_its_broker_says_so_in_one_line(tmp_path: Path) -> None:
    with unused_port() as port:
        broker = settings(f"redis://:{SECRET}@127.0.0.1:{port}/0")
        ended = pipeline({**alone(tmp_path / "local"), **broker}, "worker")
    assert ended.returncode == 1
    assert ERROR.fullmatch(ended.stderr), ended.stderr
    assert "E_BROKER" in ended.stderr
    assert SECRET not in ended.stderr


def test_a_queue_that_would_deliver_a_run_again_while_it_goes_on_is_refused(
    sqs: SQSClient, queue_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead_to(environment_of(queue_endpoint, DATABASE, tmp_path), monkeypatch)
    runs = sqs.create_queue(QueueName="runs")["QueueUrl"]  # SQS's default: 30 s
    broker = read_broker(settings("sqs://", DATABASE, runs))
    app = make_worker_app(broker)
    with pytest.raises(SettingsError, match="delivers again after 30 s"):
        check_broker(app, broker)
    sqs.set_queue_attributes(QueueUrl=runs, Attributes={"VisibilityTimeout": "43200"})
    check_broker(app, broker)


def test_results_that_cannot_be_kept_are_told_of_before_any_run() -> None:
    with unused_port() as port:
        database = f"postgresql://dagster:{SECRET}@127.0.0.1:{port}/dagster"
        app = make_worker_app(read_broker(settings(AMQP, database)))
        with pytest.raises(BrokerError, match="PIPELINE_CELERY_RESULTS") as caught:
            check_results(app)
    assert SECRET not in str(caught.value)


def test_a_worker_without_celery_says_what_to_install(tmp_path: Path) -> None:
    without = "import sys; sys.modules['celery'] = None; from pipeline.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", without, "worker"],
        env=alone(tmp_path / "local"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "E_SETTINGS: celery is not installed. Install the extra" in ended.stderr


def instance_with(folder: Path, launcher: str) -> dg.DagsterInstance:
    (folder / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{launcher}")
    return dg.DagsterInstance.get()


WARM: Final = "run_launcher: {module: pipeline.warm.launcher, class: WarmRunLauncher}\n"


def test_a_run_that_cannot_be_handed_over_fails_with_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with unused_port() as port, instance_with(tmp_path, WARM) as instance:
        for name, value in settings(f"redis://:{SECRET}@127.0.0.1:{port}/0").items():
            monkeypatch.setenv(name, value)
        run = instance.create_run_for_job(
            idle, job_code_origin=dg.reconstructable(idle).get_python_origin()
        )
        with pytest.raises(BrokerError):
            instance.launch_run(run.run_id, cast("Any", None))
        told = [str(entry) for entry in instance.all_logs(run.run_id)]
        stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    assert stored.status is dg.DagsterRunStatus.FAILURE
    assert any("E_BROKER" in each for each in told)
    assert not any(SECRET in each for each in told)


def test_a_result_that_is_gone_fails_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    for name, value in settings("amqp://nowhere//", "redis://nowhere").items():
        monkeypatch.setenv(name, value)
    with instance_with(tmp_path, WARM) as instance:
        run = instance.create_run_for_job(idle)
        health = instance.run_launcher.check_run_worker_health(run)
    assert health.status.name == "RUNNING"
