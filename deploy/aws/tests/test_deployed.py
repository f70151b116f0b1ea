"""The stacks made by moto, and the project's own commands on what they made."""

from typing import Any

import psycopg
import pytest

from deploy.aws.tests.conftest import Aws
from pipeline.feeds import discover
from pipeline_tests.aws_case import ENVIRONMENT, SETTINGS, tasks
from pipeline_tests.cli_case import pipeline

FEEDS = sorted(feed.queue for feed in discover())


def test_all_stacks_are_made_but_for_what_moto_does_not_know(aws: Aws) -> None:
    assert set(aws.status.values()) == {"CREATE_COMPLETE"}
    assert len(aws.status) == 11 + len(FEEDS)
    assert aws.left_out == {
        "AWS::CloudWatch::Alarm",
        "AWS::S3::BucketPolicy",
        "AWS::SQS::QueuePolicy",
    }


@pytest.mark.parametrize("queue", FEEDS)
def test_a_queue_has_its_dead_letter_queue_its_key_and_its_tag(aws: Aws, queue: str) -> None:
    sqs = aws.client("sqs")
    for name in (queue, f"{queue}-dead-letter"):
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert told["MessageRetentionPeriod"] == "1209600"
        assert told["KmsMasterKeyId"].startswith("arn:aws:kms:")
        assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"environment": ENVIRONMENT}


def test_the_two_keys_are_two(aws: Aws) -> None:
    told = aws.client("kms").list_aliases(Limit=1000)["Aliases"]
    targets = {each["AliasName"]: each.get("TargetKeyId") for each in told}
    ours = {targets[f"alias/pipeline-{ENVIRONMENT}-{name}"] for name in ("queue", "keyring")}
    assert len(ours - {None}) == 2


def test_services_run_their_tasks_in_the_cluster(aws: Aws) -> None:
    ecs = aws.client("ecs")
    cluster = f"pipeline-{ENVIRONMENT}"
    arns = ecs.list_services(cluster=cluster)["serviceArns"]
    services = ecs.describe_services(cluster=cluster, services=arns)["services"]
    made = {each["serviceName"]: each["taskDefinition"].rpartition("/")[2] for each in services}
    running = set(tasks()) - {"migrate", "run"}
    assert made == {name: f"pipeline-{ENVIRONMENT}-{name}:1" for name in running}
    for name in ("migrate", "run"):
        ecs.describe_task_definition(taskDefinition=f"pipeline-{ENVIRONMENT}-{name}")


def test_a_container_is_handed_urls_that_lead_to_postgres(aws: Aws) -> None:
    [container] = aws.client("ecs").describe_task_definition(
        taskDefinition=f"pipeline-{ENVIRONMENT}-run"
    )["taskDefinition"]["containerDefinitions"]
    secrets = aws.client("secretsmanager")
    for each in container["secrets"]:
        url = secrets.get_secret_value(SecretId=each["valueFrom"])["SecretString"]
        parts = psycopg.conninfo.conninfo_to_dict(url)
        assert parts["host"] == SETTINGS.postgres_host
        assert parts["sslmode"] == "verify-full"
        assert len(str(parts["password"])) == 40


def settled(environment: dict[str, str]) -> tuple[Any, ...]:
    with psycopg.connect(environment["PIPELINE_POSTGRES_URL"]) as connection:
        row = connection.execute("SELECT count(*) FROM public.user_logins").fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize("transport", ["lean", "boto3"])
def test_what_was_made_is_checked_seeded_and_drained(
    aws: Aws, environment: dict[str, str], transport: str
) -> None:
    environment["PIPELINE_SQS_TRANSPORT"] = transport
    kept = aws.client("secretsmanager")
    for command in (["keys", "make"], ["migrate"]):
        done = pipeline(environment, *command)
        assert (done.returncode, done.stderr) == (0, "")
    assert (
        "wrapped"
        in kept.get_secret_value(SecretId=f"pipeline/{ENVIRONMENT}/keyring")["SecretString"]
    )
    checked = pipeline(environment, "check")
    assert not [line for line in checked.stdout.splitlines() if "-queue" in line]
    done = pipeline(environment, "produce", "user_logins", "--count", "40")
    assert (done.returncode, done.stderr) == (0, "")
    done = pipeline(environment, "ingest", "user_logins")
    assert done.returncode == 0, done.stderr
    assert settled(environment) == (40,)
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName="login-queue")["QueueUrl"]
    left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert left["ApproximateNumberOfMessages"] == "0"
    assert left["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_a_queue_of_another_environment_is_refused(environment: dict[str, str]) -> None:
    environment["PIPELINE_ENVIRONMENT"] = "staging"
    done = pipeline(environment, "seed", "user_logins", "--count", "1")
    assert done.returncode != 0
    assert "E_WRONG_ENVIRONMENT" in done.stderr + done.stdout
