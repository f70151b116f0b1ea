"""The templates of `deploy/aws` beside the code: what contracts, checks and containers want."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.aws.stacks import FOLDER, main
from pipeline.contract import MOST_HELD, Feed
from pipeline.feeds import discover
from pipeline.operate.retention.settings import read_retention
from pipeline.operate.start_up import queues as rules
from pipeline.resources.queue_facts import TAG, QueueFacts
from pipeline.warehouse.log_settings import _RISKS as RISKS
from pipeline_tests.aws_case import (
    ENVIRONMENT,
    REGION,
    SETTINGS,
    TOPIC,
    deployed,
    queue_arn,
    queue_stack,
    tasks,
)
from pipeline_tests.stack_template import read

FEEDS: Final = discover()
FULL: Final = 120_000
"""Messages in flight, from which on SQS delivers no more of a queue."""
OURS: Final = {"code", "daemon", "exporter", "migrate", "rest", "run", "viewer", "web"}
"""Tasks of the project's own image; the gateways are nginx."""


def queue(name: str) -> dict[str, Any]:
    """The properties of a queue."""
    (found,) = (each for each in deployed().of_type("AWS::SQS::Queue") if each["QueueName"] == name)
    return found


def facts(name: str) -> QueueFacts:
    """What SQS will tell of a queue."""
    told = queue(name)
    policy = told.get("RedrivePolicy", {})
    return QueueFacts(
        name=name,
        url=f"https://sqs.test/{name}",
        retention=int(told["MessageRetentionPeriod"]),
        dead_letters=policy["deadLetterTargetArn"].rpartition(":")[2] if policy else None,
        deliveries=int(policy.get("maxReceiveCount", 0)),
        encrypted=bool(told["KmsMasterKeyId"]),
        skew=None,
    )


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_the_start_up_checks_find_nothing_wrong_with_the_queues(feed: Feed) -> None:
    source, letters = facts(feed.queue), facts(f"{feed.queue}-dead-letter")
    (tagged,) = (each["Value"] for each in queue(feed.queue)["Tags"] if each["Key"] == TAG)
    found = [
        *rules.check_queue(feed, source),
        *rules.check_dead_letters(feed, source, letters),
        *rules.check_ledger(source, letters, read_retention({}).ledger_days),
        *rules.check_environment_tag(source, tagged, ENVIRONMENT),
    ]
    assert found == []
    assert source.dead_letters == letters.name


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_a_queue_hides_messages_for_as_long_as_the_contract_says(feed: Feed) -> None:
    assert int(queue(feed.queue)["VisibilityTimeout"]) == feed.limits.visibility_seconds
    default = read(FOLDER / "queue.yaml")["Parameters"]["VisibilityTimeout"]["Default"]
    assert default == type(feed.limits)().visibility_seconds


def test_a_queue_is_given_up_by_no_fewer_deliveries_than_the_checks_want() -> None:
    limit = read(FOLDER / "queue.yaml")["Parameters"]["MaxReceiveCount"]
    assert limit["MinValue"] == limit["Default"] == rules.DELIVERIES


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_a_dead_letter_queue_takes_those_of_its_own_queue_alone(feed: Feed) -> None:
    letters = queue(f"{feed.queue}-dead-letter")
    assert letters["RedriveAllowPolicy"] == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [queue_arn(feed.queue)],
    }
    assert queue(feed.queue)["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}


def alarms(feed: Feed) -> Iterator[dict[str, Any]]:
    stack = queue_stack(feed.queue).name
    for (of, _), each in deployed().resources.items():
        if of == stack and each["Type"] == "AWS::CloudWatch::Alarm":
            yield each["Properties"]


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_three_alarms_watch_each_feed(feed: Feed) -> None:
    watched = {(each["MetricName"], each["Dimensions"][0]["Value"]): each for each in alarms(feed)}
    assert set(watched) == {
        ("ApproximateAgeOfOldestMessage", feed.queue),
        ("ApproximateNumberOfMessagesVisible", f"{feed.queue}-dead-letter"),
        ("ApproximateNumberOfMessagesNotVisible", feed.queue),
    }
    assert all(each["AlarmActions"] == [TOPIC] for each in watched.values())
    in_flight = watched["ApproximateNumberOfMessagesNotVisible", feed.queue]["Threshold"]
    assert MOST_HELD < in_flight < FULL


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_container_is_nobody_and_writes_to_nothing_but_tmp(name: str) -> None:
    task = tasks()[name]
    [container] = task["ContainerDefinitions"]
    assert container["User"] == "10001:10001"
    assert container["ReadonlyRootFilesystem"] is True
    assert container["Privileged"] is False
    assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    assert {each["ContainerPath"] for each in container["MountPoints"]} == {"/tmp"}  # noqa: S108 - within
    assert task["Volumes"] == [{"Name": "tmp"}]  # of the task, gone with it


SECRETS: Final = {
    "code": {"DAGSTER_POSTGRES_URL", "PIPELINE_POSTGRES_URL"},
    "daemon": {"DAGSTER_POSTGRES_URL"},
    "exporter": {"PIPELINE_MONITOR_URL"},
    "gateway": {"CERTIFICATE", "CERTIFICATE_KEY"},
    "migrate": {"DAGSTER_POSTGRES_URL", "PIPELINE_POSTGRES_URL"},
    "rest": {"PIPELINE_POSTGRES_URL"},
    "run": {"DAGSTER_POSTGRES_URL", "PIPELINE_POSTGRES_URL"},
    "viewer": {"DAGSTER_POSTGRES_URL"},
    "web": {"DAGSTER_POSTGRES_URL"},
    "web-gateway": {"CERTIFICATE", "CERTIFICATE_KEY", "PASSWORDS", "ROLES"},
}


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_container_gets_its_own_secrets_and_in_no_clear_setting(name: str) -> None:
    [container] = tasks()[name]["ContainerDefinitions"]
    assert {each["Name"] for each in container["Secrets"]} == SECRETS[name]
    settings = {each["Name"]: str(each["Value"]) for each in container["Environment"]}
    assert not [each for each in settings if each in SECRETS[name] or "PASSWORD" in each.split("_")]
    assert not [each for each in settings.values() if "postgresql://" in each]


def test_every_log_in_is_another_and_of_another_secret() -> None:
    urls = [
        each["SecretString"]
        for each in deployed().of_type("AWS::SecretsManager::Secret")
        if "SecretString" in each
    ]
    found = [
        re.fullmatch(
            r"postgresql://([a-z_]+):\{\{resolve:secretsmanager:(arn:[^}]+):SecretString:password\}\}"
            r"@[a-z0-9.-]+:5432/(\w+)\?sslmode=verify-full&.*",
            url,
        )
        for url in urls
    ]
    assert len(found) == 5
    assert all(found)
    assert len({each[1] for each in found if each}) == len({each[2] for each in found if each}) == 5
    [history] = {each[3] for each in found if each and each[1] == "dagster"}
    assert history not in {each[3] for each in found if each and each[1] != "dagster"}


def test_no_template_holds_a_secret() -> None:
    for each in deployed().of_type("AWS::SecretsManager::Secret"):
        known = {"Name", "Description", "Tags", "GenerateSecretString", "SecretString"}
        assert set(each) <= known
        assert each.get("SecretString", "{{resolve:").count("{{resolve:") == 1


def ingress() -> set[tuple[str, str, int]]:
    """Who reaches whom at which port: of groups their last names, of networks the setting's."""
    names = {
        "10.0.0.0/8": "clients",
        "10.0.0.0/16": "network",
        "10.0.8.0/24": "monitoring",
    }
    found = set()
    for each in deployed().of_type("AWS::EC2::SecurityGroupIngress"):
        assert each["FromPort"] == each["ToPort"]
        source = (
            names.get(each.get("CidrIp", "")) or each["SourceSecurityGroupId"].split("Group")[0]
        )
        found.add((source, each["GroupId"].split("Group")[0], each["FromPort"]))
    return found


def test_only_gateways_are_reached_and_the_code_server_by_web_and_daemon_alone() -> None:
    assert ingress() == {
        ("clients", "Gateway", 8443),
        ("clients", "WebGateway", 8444),
        ("clients", "WebGateway", 8445),
        ("network", "Gateway", 8443),  # the balancer asks whether they live
        ("network", "WebGateway", 8444),
        ("network", "WebGateway", 8445),
        ("monitoring", "Exporter", 9400),
        ("Gateway", "Rest", 8080),
        ("WebGateway", "Web", 3000),
        ("WebGateway", "Web", 3001),
        ("Web", "Code", 4000),
        ("Daemon", "Code", 4000),
        *((each, "Database", 5432) for each in ("Code", "Daemon", "Web", "Rest", "Exporter")),
    }
    assert not [
        each
        for each in deployed().of_type("AWS::EC2::SecurityGroup")
        if "SecurityGroupIngress" in each
    ]


def test_services_are_in_their_own_groups_without_public_addresses() -> None:
    groups = {}
    for each in deployed().of_type("AWS::ECS::Service"):
        network = each["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"
        assert each["EnableExecuteCommand"] is False
        [groups[each["ServiceName"]]] = network["SecurityGroups"]
    assert groups == {
        "code": "CodeGroup.GroupId",
        "daemon": "DaemonGroup.GroupId",
        "exporter": "ExporterGroup.GroupId",
        "gateway": "GatewayGroup.GroupId",
        "rest": "RestGroup.GroupId",
        "viewer": "WebGroup.GroupId",
        "web": "WebGroup.GroupId",
        "web-gateway": "WebGatewayGroup.GroupId",
    }


def test_there_is_never_a_second_daemon() -> None:
    (daemon,) = (
        each for each in deployed().of_type("AWS::ECS::Service") if each["ServiceName"] == "daemon"
    )
    assert daemon["DesiredCount"] == 1
    assert daemon["DeploymentConfiguration"]["MaximumPercent"] == 100


def test_the_parameters_of_postgres_keep_rows_out_of_its_log_and_others_out() -> None:
    (group,) = deployed().of_type("AWS::RDS::DBParameterGroup")
    given = group["Parameters"]
    words = {"0": "off", "1": "on"}
    extensions = {name for name in RISKS if "." in name}
    for name in set(RISKS) - extensions:
        value = words.get(given[name], "") if name.startswith("debug_") else given[name]
        assert not RISKS[name][0](value), name
    assert given["rds.force_ssl"] == "1"
    assert given.items() >= {
        ("password_encryption", "scram-sha-256"),
        ("rds.accepted_password_auth_method", "scram"),
    }


def test_the_bucket_of_logs_is_closed_encrypted_and_forgets() -> None:
    (bucket,) = deployed().of_type("AWS::S3::Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    [forgets] = bucket["LifecycleConfiguration"]["Rules"]
    assert forgets["Status"] == "Enabled"
    assert 7 <= int(forgets["ExpirationInDays"]) <= 90


def test_every_container_logs_to_a_group_of_its_own_that_forgets() -> None:
    groups = {each["LogGroupName"]: each for each in deployed().of_type("AWS::Logs::LogGroup")}
    for name, task in tasks().items():
        [container] = task["ContainerDefinitions"]
        options = container["LogConfiguration"]["Options"]
        assert options["awslogs-group"] == f"/pipeline/{ENVIRONMENT}/{name}"
        assert options["awslogs-region"] == REGION
        group = groups.pop(options["awslogs-group"])
        assert group["KmsKeyId"]
        assert int(group["RetentionInDays"]) == 30
    assert not groups


def test_the_example_names_a_network_for_each_who_reaches_in() -> None:
    assert len({SETTINGS.clients, SETTINGS.network, SETTINGS.monitoring}) == 3


def test_the_command_deploys_every_stack_with_what_it_has_to_be_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["stacks", str(FOLDER / "settings.toml")])
    main()
    settings, *commands = (shlex.split(line) for line in capsys.readouterr().out.splitlines())
    assert "AWS_REGION=eu-central-1" in settings
    assert len(commands) == len(list(FOLDER.glob("*.yaml"))) - 1 + len(FEEDS)
    names = [command[command.index("--stack-name") + 1] for command in commands]
    assert len(set(names)) == len(names)
    for command in commands:
        assert command[:3] == ["aws", "cloudformation", "deploy"]
        template = read(FOLDER.parents[1] / command[command.index("--template-file") + 1])
        told = dict(
            each.split("=", 1) for each in command[command.index("--parameter-overrides") + 1 :]
        )
        assert set(told) <= set(template["Parameters"])
        wanted = {name for name, each in template["Parameters"].items() if "Default" not in each}
        assert wanted <= set(told)


STAND_INS: Final = {
    "envsubst": "cat",
    "nginx": 'env > "$0.env"; cat "$2" > "$0.configuration"',
}


@pytest.mark.parametrize("name", ["gateway", "web-gateway"])
def test_a_gateway_starts_with_its_secrets_in_files_of_its_own_alone(
    name: str, tmp_path: Path
) -> None:
    [container] = tasks()[name]["ContainerDefinitions"]
    for command, does in STAND_INS.items():
        path = tmp_path / command
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(0o700)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "nginx.conf.template").write_text("the template")
    secrets = {each["Name"]: f"secret of {each['Name']}" for each in container["Secrets"]}
    settings = {each["Name"]: each["Value"] for each in container["Environment"]}
    [script] = container["Command"]
    moved = script.replace("/tmp/", f"{tmp_path}/").replace("/etc/nginx", str(tmp_path))  # noqa: S108 - within the container
    subprocess.run(
        [*container["EntryPoint"], moved],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **secrets, **settings},
        check=True,
        timeout=20,
    )
    assert (tmp_path / "nginx.configuration").read_text() == "the template"
    given = (tmp_path / "nginx.env").read_text()
    for secret, value in secrets.items():
        [held] = [
            path
            for path in tmp_path.iterdir()
            if path.is_file() and path.read_text() == f"{value}\n"
        ]
        assert held.stat().st_mode & 0o077 == 0
        assert value not in given
        assert str(held).replace(str(tmp_path), "/tmp") in settings.values(), secret  # noqa: S108 - within the container
