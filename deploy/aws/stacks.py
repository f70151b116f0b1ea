"""The stacks of a deployment, in their order, each with what it has to be told.

Queues, their names and their timeouts are those of the contracts. The command
`python -m deploy.aws.stacks FILE` prints what deploys them.
"""

import shlex
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from pipeline.contract import Feed
from pipeline.feeds import discover

FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What differs from one deployment to the next; `settings.toml` says what each is."""

    account: str
    region: str
    environment: str
    vpc: str
    network: str
    subnets: Sequence[str]
    balancer_subnets: Sequence[str]
    clients: str
    monitoring: str
    image: str
    rest_image: str
    gateway_image: str
    web_gateway_image: str
    postgres_host: str
    rest_name: str
    web_name: str
    redrivers: Sequence[str]
    custodians: Sequence[str]
    keepers: Sequence[str]
    alarm_topic: str = ""
    vpc_endpoint: str = ""
    partition: str = "aws"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Those of a file.

        Raises:
            TypeError: One is missing, or there is one that nobody knows.
        """
        return cls(**tomllib.loads(path.read_text()))

    def arn(self, queue: str) -> str:
        """The ARN of a queue."""
        return f"arn:{self.partition}:sqs:{self.region}:{self.account}:{queue}"


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack.

    Attributes:
        name: Its name.
        template: The file, in this folder.
        parameters: What it is told; lists as CloudFormation takes them, with commas.
    """

    name: str
    template: str
    parameters: dict[str, str] = field(default_factory=dict)

    def command(self) -> str:
        """The command that makes it, or changes it to what it is to be."""
        overrides = (f"{name}={value}" for name, value in self.parameters.items())
        words = ["aws", "cloudformation", "deploy", "--stack-name", self.name]
        words += ["--template-file", f"deploy/aws/{self.template}", "--no-fail-on-empty-changeset"]
        words += ["--capabilities", "CAPABILITY_NAMED_IAM"]
        words += ["--tags", f"environment={self.parameters['Environment']}"]
        words += ["--parameter-overrides", *overrides]
        return shlex.join(words)


def stacks(given: Settings, feeds: Sequence[Feed]) -> tuple[Stack, ...]:
    """All of them, each after those that it needs."""
    queues = {
        "Queues": ",".join(given.arn(feed.queue) for feed in feeds),
        "DeadLetters": ",".join(given.arn(f"{feed.queue}-dead-letter") for feed in feeds),
    }
    tasks = {"Subnets": ",".join(given.subnets)}
    balancers = {"Vpc": given.vpc, "Subnets": ",".join(given.balancer_subnets)}
    people = {
        "Redrivers": ",".join(given.redrivers),
        "Custodians": ",".join(given.custodians),
        "Keepers": ",".join(given.keepers),
    }
    reach = {
        "Vpc": given.vpc,
        "Network": given.network,
        "Clients": given.clients,
        "Monitoring": given.monitoring,
    }
    rest = {"Image": given.rest_image, "GatewayImage": given.gateway_image, "Name": given.rest_name}
    web = {"Image": given.image, "GatewayImage": given.web_gateway_image, "Name": given.web_name}
    asked: list[tuple[str, dict[str, str]]] = [
        ("keys", {}),
        *(("queue", _of_queue(given, feed)) for feed in feeds),
        ("storage", {}),
        ("network", reach),
        ("secrets", {"PostgresHost": given.postgres_host}),
        ("roles", queues),
        ("people", queues | people),
        ("runs", {"Image": given.image}),
        ("services", {"Image": given.image, "WebUrl": f"https://{given.web_name}", **tasks}),
        ("balancers", balancers),
        ("rest", rest | tasks),
        ("web", web | tasks),
    ]
    return tuple(_stack(given, name, parameters) for name, parameters in asked)


def _of_queue(given: Settings, feed: Feed) -> dict[str, str]:
    return {
        "Queue": feed.queue,
        "VisibilityTimeout": str(feed.limits.visibility_seconds),
        "AlarmTopic": given.alarm_topic,
        "VpcEndpoint": given.vpc_endpoint,
    }


def _stack(given: Settings, template: str, parameters: dict[str, str]) -> Stack:
    # Stacks are named with letters, digits and hyphens; queues may have an underscore.
    which = [template, *parameters.get("Queue", "").replace("_", "-").split()]
    name = "-".join(["pipeline", given.environment, *which])
    return Stack(name, f"{template}.yaml", {"Environment": given.environment, **parameters})


def main() -> None:
    """Prints the commands, one a line, for the settings of a file."""
    given = Settings.read(Path(sys.argv[1]))
    print(f"export AWS_REGION={given.region} AWS_DEFAULT_REGION={given.region}")  # noqa: T201 - what it is for
    for stack in stacks(given, discover()):
        print(stack.command())  # noqa: T201 - as above


if __name__ == "__main__":
    main()
