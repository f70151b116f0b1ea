"""The queues of a chaos run: made as deploy would make them, and counted."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from chaos.feed import DEAD_LETTERS

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

IN_FLIGHT: Final = "ApproximateNumberOfMessagesNotVisible"
"""What SQS calls the messages that somebody holds."""

DEPTHS: Final[tuple["QueueAttributeNameType", ...]] = (
    "ApproximateNumberOfMessages",
    IN_FLIGHT,
    "ApproximateNumberOfMessagesDelayed",
)
"""What it calls all messages, in parts."""

_RETENTION: Final = str(14 * 86_400)
_MAX_RECEIVES: Final = "20"


def make_queues(client: "SQSClient", name: str) -> None:
    """Makes a queue and its dead-letter queue, as deploy would on AWS."""
    retention: dict[QueueAttributeNameType, str] = {"MessageRetentionPeriod": _RETENTION}
    dead = client.create_queue(QueueName=f"{name}{DEAD_LETTERS}", Attributes=retention)
    arn = client.get_queue_attributes(QueueUrl=dead["QueueUrl"], AttributeNames=["QueueArn"])
    policy = {
        "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
        "maxReceiveCount": _MAX_RECEIVES,
    }
    redrive: dict[QueueAttributeNameType, str] = {"RedrivePolicy": json.dumps(policy)}
    client.create_queue(QueueName=name, Attributes=retention | redrive)


def count(client: "SQSClient", url: str, names: Sequence["QueueAttributeNameType"]) -> int:
    """The sum of some attributes of a queue.

    Raises:
        ClientError: The queue refuses, or botocore's other errors: it does not answer.
    """
    told = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return sum(int(told["Attributes"][name]) for name in names)
