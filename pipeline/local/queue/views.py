"""What a client is shown of a message and of a queue, as far as it asks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.messages import Attribute, Message, Place, md5_of_attributes
from pipeline.local.queue.names import ACCOUNT
from pipeline.local.queue.requests import ReceiveMessage
from pipeline.local.queue.state import Queue

_MESSAGE_FACTS: Final[Mapping[str, Callable[[Message], str]]] = {
    "SenderId": lambda _: ACCOUNT,
    "SentTimestamp": lambda message: _milliseconds(message.sent_at),
    "ApproximateReceiveCount": lambda message: str(message.receives),
    "ApproximateFirstReceiveTimestamp": lambda message: _milliseconds(message.first_received_at),
    "AWSTraceHeader": lambda message: message.trace_header,
    "DeadLetterQueueSourceArn": lambda message: message.source_arn,
    # Of FIFO queues: may be asked for, never there.
    "SequenceNumber": lambda _: "",
    "MessageDeduplicationId": lambda _: "",
    "MessageGroupId": lambda _: "",
}

_QUEUE_FACTS: Final[Mapping[str, Callable[[Queue], str]]] = {
    "ApproximateNumberOfMessages": lambda queue: str(queue.count(Place.READY)),
    "ApproximateNumberOfMessagesNotVisible": lambda queue: str(queue.count(Place.IN_FLIGHT)),
    "ApproximateNumberOfMessagesDelayed": lambda queue: str(queue.count(Place.DELAYED)),
    "CreatedTimestamp": lambda queue: str(int(queue.state.created_at)),
    "LastModifiedTimestamp": lambda queue: str(int(queue.state.modified_at)),
    "QueueArn": lambda queue: queue.state.arn,
}

# Known, and without a value until somebody sets one.
_MAY_BE_UNSET: Final = {"Policy", "RedrivePolicy", "RedriveAllowPolicy"}


def queue_attributes(queue: Queue, names: Sequence[str]) -> dict[str, str]:
    """The attributes of a queue that are asked for by name, or by `All`.

    Raises:
        SqsError: InvalidAttributeName.
    """
    settings = queue.state.settings.to_attributes()
    if "All" in names:
        names = [*_QUEUE_FACTS, *settings]
    shown = {}
    for name in names:
        if name in _QUEUE_FACTS:
            shown[name] = _QUEUE_FACTS[name](queue)
        elif name in settings:
            shown[name] = settings[name]
        elif name not in _MAY_BE_UNSET:
            raise _unknown_attribute(name)
    return shown


def received_message(message: Message, request: ReceiveMessage) -> dict[str, object]:
    """A message as its receiver sees it, with the attributes that the request names.

    Raises:
        SqsError: InvalidAttributeName.
    """
    shown: dict[str, object] = {
        "MessageId": message.id,
        "ReceiptHandle": message.receipt,
        "MD5OfBody": message.body_md5,
        "Body": message.body,
    }
    if facts := _facts(message, request.attribute_names, request.message_system_attribute_names):
        shown["Attributes"] = facts
    if request.message_attribute_names and message.attributes:
        attributes = _selected(message.attributes, request.message_attribute_names)
        if attributes:
            shown["MessageAttributes"] = attributes
            shown["MD5OfMessageAttributes"] = md5_of_attributes(attributes)
    return shown


def check_facts(names: Iterable[str]) -> None:
    """Refuse a receive that asks for a system attribute that does not exist.

    Raises:
        SqsError: InvalidAttributeName.
    """
    for name in names:
        if name != "All" and name not in _MESSAGE_FACTS:
            raise _unknown_attribute(name)


def _facts(message: Message, *asked: Sequence[str]) -> dict[str, str]:
    names: Iterable[str] = [name for names in asked for name in names]
    if "All" in names:
        names = _MESSAGE_FACTS
    facts = {name: _MESSAGE_FACTS[name](message) for name in names}
    return {name: text for name, text in facts.items() if text}


def _selected(attributes: Mapping[str, Attribute], names: Sequence[str]) -> dict[str, Attribute]:
    if "All" in names or ".*" in names:
        return dict(attributes)
    prefixes = tuple(name.removesuffix("*") for name in names if name.endswith(".*"))
    return {
        name: attribute
        for name, attribute in attributes.items()
        if name in names or name.startswith(prefixes)
    }


def _unknown_attribute(name: str) -> SqsError:
    return SqsError("InvalidAttributeName", f"Unknown Attribute {name}.")


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1_000))
