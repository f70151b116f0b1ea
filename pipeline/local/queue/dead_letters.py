"""Dead-letter queues: whose messages go where, when they were received too often."""

from collections.abc import Mapping
from typing import Final

import msgspec

from pipeline.local.queue import names
from pipeline.local.queue.errors import refused_value
from pipeline.local.queue.messages import Message
from pipeline.local.queue.settings import QueueSettings
from pipeline.local.queue.state import Queue

_NOT_ALLOWED: Final = "The dead-letter queue's RedriveAllowPolicy does not allow this source."


class _AllowPolicy(msgspec.Struct, rename="camel"):
    """What a dead-letter queue says of its sources: allowAll, denyAll, or byQueue."""

    redrive_permission: str = "allowAll"
    source_queue_arns: list[str] = []


def check_policy(queues: Mapping[str, Queue], settings: QueueSettings, arn: str) -> None:
    """Refuse a redrive policy whose dead-letter queue is missing, or does not want it.

    Args:
        queues: By name.
        settings: With the policy, if there is one.
        arn: The queue that is to have it.

    Raises:
        SqsError: InvalidParameterValue.
    """
    policy = settings.redrive_policy
    if policy is None:
        return
    target = queues.get(names.name_in(policy.dead_letter_target_arn))
    if target is None:
        raise refused_value("RedrivePolicy", "Dead letter target does not exist.")
    text = target.state.settings.redrive_allow_policy
    try:
        allowed = msgspec.json.decode(text, type=_AllowPolicy) if text else _AllowPolicy()
    except msgspec.DecodeError:
        raise refused_value("RedriveAllowPolicy", "It is not JSON of its form.") from None
    match allowed.redrive_permission:
        case "denyAll":
            raise refused_value("RedrivePolicy", _NOT_ALLOWED)
        case "byQueue" if arn not in allowed.source_queue_arns:
            raise refused_value("RedrivePolicy", _NOT_ALLOWED)


def sources_of(queues: Mapping[str, Queue], arn: str) -> list[str]:
    """The names of the queues whose redrive policy points at this one, sorted."""
    policies = {name: queue.state.settings.redrive_policy for name, queue in queues.items()}
    return sorted(n for n, p in policies.items() if p and p.dead_letter_target_arn == arn)


def target_of(queues: Mapping[str, Queue], queue: Queue) -> tuple[Queue | None, int]:
    """Where a queue's messages go, and after how many receives; None if nowhere."""
    policy = queue.state.settings.redrive_policy
    if policy is None:
        return None, 0
    return queues.get(names.name_in(policy.dead_letter_target_arn)), policy.max_receive_count


def hand_over(message: Message, source: Queue, target: Queue, *, now: float) -> None:
    """Give a message to a dead-letter queue, as it is: with its id and the time it was sent."""
    source.remove(message)
    moved = msgspec.structs.replace(
        message, receives_here=0, receipt="", source_arn=source.state.arn
    )
    target.add(moved, delay_until=0.0, now=now)
