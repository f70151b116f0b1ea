"""What SQS tells of a queue's settings, and whether the queue belongs to this environment."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from pipeline.contract import Feed
from pipeline.errors import WrongEnvironment
from pipeline.resources.sqs_client import translated

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

TAG: Final = "environment"
"""The tag of a queue that names the environment it belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """The settings of a queue.

    Attributes:
        name: Its name.
        url: Where it is.
        retention: Seconds after which it drops a message.
        dead_letters: The name of its dead-letter queue; None where it has none.
        deliveries: How often a message is received before it goes there.
        encrypted: Whether messages are encrypted at rest.
        skew: Seconds by which SQS's clock is ahead of this machine's, to about a second; None
            where SQS did not tell the time.
    """

    name: str
    url: str
    retention: int
    dead_letters: str | None
    deliveries: int
    encrypted: bool
    skew: float | None


def read_facts(client: "SQSClient", feed: Feed, name: str) -> QueueFacts:
    """The facts of a queue.

    Args:
        client: SQS.
        feed: For whom; it need not be its own queue.
        name: The name of the queue.

    Raises:
        QueueError: There is no such queue, SQS refused or did not answer.
    """
    with translated(feed=feed, queue=name):
        url = client.get_queue_url(QueueName=name)["QueueUrl"]
        asked = time.time()
        answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    said: Mapping[str, str] = answer["Attributes"]  # type: ignore[assignment] # names are strings
    policy: Mapping[str, Any] = json.loads(said.get("RedrivePolicy") or "{}")
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return QueueFacts(
        name=name,
        url=url,
        retention=int(said["MessageRetentionPeriod"]),
        dead_letters=str(policy["deadLetterTargetArn"]).rpartition(":")[2] if policy else None,
        deliveries=int(policy.get("maxReceiveCount", 0)),
        encrypted=bool(said.get("KmsMasterKeyId")) or said.get("SqsManagedSseEnabled") == "true",
        skew=clock_ahead(headers.get("date"), (asked + time.time()) / 2),
    )


def read_environment(client: "SQSClient", feed: Feed, url: str) -> str | None:
    """The environment that a queue is tagged with; None where it carries no such tag.

    Raises:
        QueueError: SQS refused, which may be the right to list tags, or did not answer.
    """
    with translated(feed=feed):
        return client.list_queue_tags(QueueUrl=url).get("Tags", {}).get(TAG)


def check_environment(client: "SQSClient", feed: Feed, url: str, environment: str) -> None:
    """Makes sure that a queue is not another environment's: two must never share one.

    Raises:
        WrongEnvironment: It is tagged as another's.
        QueueError: SQS refused, which may be the right to list tags, or did not answer.
    """
    tagged = read_environment(client, feed, url)
    if tagged is not None and tagged != environment:
        raise wrong_environment(feed, tagged, environment)


def wrong_environment(feed: Feed, tagged: str, environment: str) -> WrongEnvironment:
    """The error for a queue of another environment."""
    return WrongEnvironment(
        f"queue {feed.queue!r} is tagged {TAG}={tagged!r}, this is {environment!r}",
        remedy="Correct PIPELINE_ENVIRONMENT, the AWS settings or the tag; nothing was received",
        feed=feed.name,
    )


def clock_ahead(date: str | None, now: float) -> float | None:
    """By how many seconds a clock is ahead of ours, by the `Date` of an answer.

    Args:
        date: The header: whole seconds (RFC 9110), cut off. Anything else tells nothing.
        now: Our own time at that moment, in seconds since 1970.
    """
    if not date:
        return None
    try:
        return parsedate_to_datetime(date).timestamp() + 0.5 - now
    except (ValueError, TypeError):
        return None
