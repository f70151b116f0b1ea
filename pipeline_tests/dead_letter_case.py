"""What the tests of dead letters share: a feed's queue with letters, and a custodian's order."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pipeline.consume.readiness import check_sink
from pipeline.feeds import find
from pipeline.masking.key_file import KeyFile
from pipeline.operate.dead_letters.order import Order
from pipeline.resources.outside import Outside
from pipeline.resources.settings import CUSTODIAN_URL
from pipeline.resources.sqs_client import Endpoint
from pipeline_tests.samples import USER_LOGINS, login
from pipeline_tests.world import World

LETTERS: Final = "login-queue-letters"
DAYS: Final = 86_400
RETENTION: Final = 14 * DAYS
DELIVERIES: Final = 1  # of a message, before it is a dead letter
AS_CUSTODIAN: Final = "options=-c%20role%3Dcustodian"
KEYED: Final = replace(
    USER_LOGINS,
    fields=tuple(each for each in USER_LOGINS.fields if each.path != "@sent_at"),
    key=("user_id",),
)
"""A feed of which nothing depends on the envelope."""


def with_dead_letters(world: World, **policy: object) -> str:
    """Gives the world's queue a dead-letter queue; its URL."""
    url = world.sqs.create_queue(
        QueueName=LETTERS, Attributes={"MessageRetentionPeriod": str(RETENTION)}
    )["QueueUrl"]
    given = {"deadLetterTargetArn": arn_of(world, url), "maxReceiveCount": DELIVERIES, **policy}
    world.sqs.set_queue_attributes(
        QueueUrl=world.queue_url, Attributes={"RedrivePolicy": json.dumps(given)}
    )
    return url


def arn_of(world: World, url: str) -> str:
    answer = world.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return answer["Attributes"]["QueueArn"]


def bury(world: World, bodies: Sequence[str], *, named: bool = True) -> str:
    """Sends messages and receives them until SQS gives up on them; the dead-letter queue's URL.

    Args:
        world: Where.
        bodies: Of the messages.
        named: Whether they carry an event id.
    """
    letters = with_dead_letters(world)
    if named:
        world.send(bodies)
    else:
        for body in bodies:
            world.sqs.send_message(QueueUrl=world.queue_url, MessageBody=body)
    give_up(world, letters, len(bodies))
    return letters


def give_up(world: World, letters: str, count: int) -> None:
    """Receives so many messages until SQS gives up on them all."""
    for _ in range(DELIVERIES + 1):
        for _ in range(0, count, 10):
            world.sqs.receive_message(
                QueueUrl=world.queue_url, MaxNumberOfMessages=10, VisibilityTimeout=1
            )
        world.clock.now += 2
    assert (world.depth(), depth(world, letters)) == ((0, 0), (count, 0))


def bury_another_queues(world: World, letters: str, bodies: Sequence[str]) -> str:
    """Has another queue give messages up to the same place, then lead elsewhere; its URL."""
    own = world.sqs.create_queue(QueueName="another-queues-own")["QueueUrl"]
    another = world.sqs.create_queue(QueueName="another-queue")["QueueUrl"]
    for body in bodies:
        world.sqs.send_message(QueueUrl=another, MessageBody=body)
    lead_to_letters(world, another, letters)
    for _ in range(DELIVERIES + 1):
        for _ in range(0, len(bodies), 10):
            world.sqs.receive_message(QueueUrl=another, MaxNumberOfMessages=10, VisibilityTimeout=1)
        world.clock.now += 2
    lead_to_letters(world, another, own)
    assert depth(world, another) == (0, 0)
    return another


def lead_to_letters(world: World, url: str, letters: str) -> None:
    """Gives a queue another dead-letter queue."""
    policy = {"deadLetterTargetArn": arn_of(world, letters), "maxReceiveCount": DELIVERIES}
    world.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(policy)})


def logins(count: int) -> list[str]:
    """Bodies of logins, each of another user."""
    return [json.dumps(login(user_id=str(uuid.UUID(int=place)))) for place in range(count)]


def depth(world: World, url: str) -> tuple[int, int]:
    """How many messages of a queue wait, and how many are in flight."""
    answer = world.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return (
        int(answer["ApproximateNumberOfMessages"]),
        int(answer["ApproximateNumberOfMessagesNotVisible"]),
    )


def environment(world: World) -> Mapping[str, str]:
    """The world's settings, with a custodian's log-in."""
    return {**world.environment, CUSTODIAN_URL: f"{world.postgres_url}?{AS_CUSTODIAN}"}


def outside(world: World) -> Outside:
    """What those settings lead to, with tables and a keyring."""
    check_sink(find("user_logins"), url=world.postgres_url, keyring=KeyFile(world.keyring))
    return Outside.of(environment(world))


def on_aws(world: World) -> Outside:
    """The same, as an endpoint that boto3 finds by itself: here by the environment."""
    return replace(outside(world), endpoint=Endpoint(region="us-east-1"))


def order(**changes: Any) -> Order:  # noqa: ANN401 - whatever an order may have
    """An order for the logins, as fast as may be."""
    given: dict[str, Any] = {
        "feed": USER_LOGINS,
        "reason": "ticket 12",
        "stated_by": "Eve",
        "per_second": 500,
    }
    return Order(**given | changes)


def recorded(world: World) -> list[tuple[Any, ...]]:
    """Action and detail of each record of the audit, in their order."""
    return world.query("SELECT action, detail FROM pipeline.audit ORDER BY id")
