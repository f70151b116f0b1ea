"""AWS as moto plays it, over HTTP, with all stacks made there by its CloudFormation."""

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from moto.server import ThreadedMotoServer

from deploy.aws.stacks import FOLDER, Stack, stacks
from pipeline.feeds import discover
from pipeline_tests.aws_case import ACCOUNT, REGION, SETTINGS
from pipeline_tests.postgres_fixtures import postgres_server, warehouse_url
from pipeline_tests.stack_template import Deployed
from pipeline_tests.world import lead_to, settings

__all__ = ["postgres_server", "warehouse_url"]

NO_STACKS: Final = {"balancers.yaml", "secrets.yaml"}
"""What moto's CloudFormation cannot make: what they hold is made here, by calls."""
_RESOLVE: Final = re.compile(r"\{\{resolve:secretsmanager:(.+):SecretString:password\}\}")


@dataclass
class Aws:
    """The account.

    Attributes:
        url: Where all services answer.
        status: What became of each stack.
        left_out: The types of resources that moto makes nothing of.
    """

    url: str
    status: dict[str, str] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)

    def client(self, service: str) -> Any:  # noqa: ANN401 - of any service
        """A client for it."""
        return boto3.client(
            service,  # type: ignore[call-overload] # any
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="test",  # noqa: S106 - moto checks none
        )

    def deploy(self) -> None:
        """Makes all stacks."""
        ec2 = self.client("ec2")
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]][:2]
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        given = replace(SETTINGS, vpc=vpc, subnets=subnets, balancer_subnets=subnets)
        for each in stacks(given, discover()):
            if each.template in NO_STACKS:
                self._make_by_calls(each)
            else:
                body = (FOLDER / each.template).read_text()
                self._make(each.name, body, each.parameters)

    def _make(self, name: str, body: str, parameters: Mapping[str, str]) -> None:
        client = self.client("cloudformation")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            client.create_stack(
                StackName=name,
                TemplateBody=body,
                Parameters=[
                    {"ParameterKey": key, "ParameterValue": value}
                    for key, value in parameters.items()
                ],
                Capabilities=["CAPABILITY_NAMED_IAM"],
            )
        [found] = client.describe_stacks(StackName=name)["Stacks"]
        self.status[name] = found["StackStatus"]
        for each in told:
            self.left_out |= set(re.findall(r"AWS::\w+::\w+", str(each.message)))

    def _make_by_calls(self, stack: Stack) -> None:
        """Makes what a template holds, and a stack that tells the others where it is."""
        on_paper = Deployed(ACCOUNT, REGION)
        on_paper.deploy(stack.name, FOLDER / stack.template, stack.parameters)
        made = self._secrets(on_paper) | self._targets(on_paper)
        outputs = {
            f"Output{place}": {"Value": made[value], "Export": {"Name": name}}
            for place, (name, value) in enumerate(on_paper.exports.items())
        }
        group = {
            "Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": stack.name}}
        }
        self._make(stack.name, json.dumps({"Resources": group, "Outputs": outputs}), {})

    def _secrets(self, on_paper: Deployed) -> dict[str, str]:
        """The ARNs of the entries, by those that they have on paper."""
        client = self.client("secretsmanager")
        arns: dict[str, str] = {}
        passwords: dict[str, str] = {}
        for each in on_paper.of_type("AWS::SecretsManager::Secret"):
            value, written = each.get("SecretString", ""), _written(each["Name"])
            if found := _RESOLVE.search(value):
                value = value.replace(found[0], passwords[found[1]])
            if wanted := each.get("GenerateSecretString"):
                passwords[written] = client.get_random_password(
                    PasswordLength=wanted["PasswordLength"],
                    ExcludePunctuation=wanted["ExcludePunctuation"],
                )["RandomPassword"]
                value = json.dumps({"password": passwords[written]})
            given = {"SecretString": value} if value else {}
            arns[written] = client.create_secret(Name=each["Name"], **given)["ARN"]
        return arns

    def _targets(self, on_paper: Deployed) -> dict[str, str]:
        """The ARNs of the target groups, by their names on paper."""
        client = self.client("elbv2")
        return {
            name: client.create_target_group(
                Name=name,
                Protocol=each["Properties"]["Protocol"],
                Port=each["Properties"]["Port"],
                VpcId=each["Properties"]["VpcId"],
                TargetType=each["Properties"]["TargetType"],
            )["TargetGroups"][0]["TargetGroupArn"]
            for (_, name), each in on_paper.resources.items()
            if each["Type"] == "AWS::ElasticLoadBalancingV2::TargetGroup"
        }


def _written(name: str) -> str:
    """The ARN of an entry as it is on paper."""
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf"


@pytest.fixture(scope="session")
def aws() -> Iterator[Aws]:
    """The account, with everything in it."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        made = Aws(f"http://{host}:{port}")
        made.deploy()
        yield made
    finally:
        server.stop()


@pytest.fixture
def environment(
    aws: Aws, warehouse_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The settings of a process of the deployment, which are those of this process as well."""
    found = {
        **settings(aws.url, warehouse_url, tmp_path),
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "PIPELINE_ENVIRONMENT": SETTINGS.environment,
        "PIPELINE_KEYRING": f"secretsmanager:pipeline/{SETTINGS.environment}/keyring",
        "PIPELINE_KEYRING_KMS_KEY": f"alias/pipeline-{SETTINGS.environment}-keyring",
    }
    lead_to(found, monkeypatch)
    return found
