"""The deployment of `deploy/aws` on paper: its stacks, with the settings that it shows."""

import functools
from dataclasses import replace
from typing import Any, Final

from deploy.aws.stacks import FOLDER, Settings, Stack, stacks
from pipeline.feeds import discover
from pipeline_tests.permissions import Access
from pipeline_tests.stack_template import Deployed

ACCOUNT: Final = "123456789012"
REGION: Final = "us-east-1"
ENVIRONMENT: Final = "production"
ENDPOINT: Final = "vpce-0a1b2c3d4e5f60718"
TOPIC: Final = f"arn:aws:sns:{REGION}:{ACCOUNT}:on-call"

SETTINGS: Final = replace(
    Settings.read(FOLDER / "settings.toml"),
    account=ACCOUNT,
    region=REGION,
    environment=ENVIRONMENT,
    alarm_topic=TOPIC,
    vpc_endpoint=ENDPOINT,
)
"""Those that the example shows, with everything in use."""


def deployment(**changes: dict[str, str]) -> Deployed:
    """All stacks.

    Args:
        changes: Parameters to be told besides, by template.
    """
    made = Deployed(ACCOUNT, REGION)
    for each in stacks(SETTINGS, discover()):
        more = changes.get(each.template.removesuffix(".yaml"), {})
        made.deploy(each.name, FOLDER / each.template, {**each.parameters, **more})
    return made


@functools.cache
def deployed() -> Deployed:
    """All stacks, as the settings have them; not to be changed."""
    return deployment()


@functools.cache
def access() -> Access:
    """Who may what there."""
    return Access(deployed())


def role(name: str) -> str:
    """The name of a role of this environment."""
    return f"pipeline-{ENVIRONMENT}-{name}"


def queue_arn(name: str) -> str:
    """The ARN of a queue."""
    return SETTINGS.arn(name)


def tasks() -> dict[str, dict[str, Any]]:
    """The task definitions, by the last part of their family."""
    prefix = f"pipeline-{ENVIRONMENT}-"
    return {
        each["Family"].removeprefix(prefix): each
        for each in deployed().of_type("AWS::ECS::TaskDefinition")
    }


def queue_stack(queue: str) -> Stack:
    """The stack of one feed's queue."""
    (found,) = (
        each for each in stacks(SETTINGS, discover()) if each.parameters.get("Queue") == queue
    )
    return found
