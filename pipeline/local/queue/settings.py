"""The attributes that a queue can be given: their names, limits and defaults."""

from collections.abc import Mapping
from typing import Final, Self

import msgspec

from pipeline.local.queue.errors import SqsError, refused_value
from pipeline.local.queue.messages import MAX_BYTES

MAX_VISIBILITY: Final = 43_200
"""Seconds, both of one timeout and of all that a receipt can be extended to."""

MAX_DELAY: Final = 900
MAX_WAIT: Final = 20

# Attribute: seconds or bytes, least and most (SQS API reference, SetQueueAttributes).
_BOUNDS: Final = {
    "DelaySeconds": (0, MAX_DELAY),
    "MaximumMessageSize": (1_024, MAX_BYTES),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, MAX_WAIT),
    "VisibilityTimeout": (0, MAX_VISIBILITY),
}
_TEXTS: Final = ("Policy", "RedriveAllowPolicy", "SqsManagedSseEnabled")
_MAX_RECEIVES: Final = 1_000
_FIFO: Final = ("FifoQueue", "ContentBasedDeduplication", "DeduplicationScope")


class RedrivePolicy(msgspec.Struct, frozen=True, rename="camel"):
    """After how many receives a message goes to which dead-letter queue."""

    dead_letter_target_arn: str
    max_receive_count: int


class QueueSettings(msgspec.Struct, frozen=True, rename="pascal"):
    """A queue's settable attributes; a field's name on the wire is SQS's name for it."""

    delay_seconds: int = 0
    maximum_message_size: int = MAX_BYTES
    message_retention_period: int = 345_600
    receive_message_wait_time_seconds: int = 0
    visibility_timeout: int = 30
    redrive_policy: RedrivePolicy | None = None
    policy: str = ""
    redrive_allow_policy: str = ""
    sqs_managed_sse_enabled: str = "true"

    def changed(self, attributes: Mapping[str, str]) -> Self:
        """These settings with some attributes replaced.

        Raises:
            SqsError: An attribute is unknown or outside its limits.
        """
        values = {name: _parse(name, text) for name, text in attributes.items()}
        return msgspec.convert(msgspec.to_builtins(self) | values, type(self))

    def to_attributes(self) -> dict[str, str]:
        """Every attribute that is set, as SQS reports it: numbers and policies as text."""
        shown = dict.fromkeys(_BOUNDS, "")
        for name, value in msgspec.to_builtins(self).items():
            if isinstance(value, dict):
                shown[name] = msgspec.json.encode(value).decode()
            elif value not in {None, ""}:
                shown[name] = str(value)
        return shown


def _parse(name: str, text: str) -> object:
    if name in _BOUNDS:
        return _parse_number(name, text)
    if name == "RedrivePolicy":
        return msgspec.to_builtins(_parse_redrive_policy(text))
    if name in _TEXTS:
        return text
    if name in _FIFO:
        raise SqsError(
            "InvalidAttributeName",
            f"Unknown Attribute {name}. The embedded queue has standard queues only, no FIFO.",
        )
    raise SqsError("InvalidAttributeName", f"Unknown Attribute {name}.")


def _parse_number(name: str, text: str) -> int:
    least, most = _BOUNDS[name]
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)):
        number = int(text)
        if least <= number <= most:
            return number
    raise SqsError("InvalidAttributeValue", f"Invalid value for the parameter {name}.")


def _parse_redrive_policy(text: str) -> RedrivePolicy | None:
    if not text:
        return None
    try:
        policy = msgspec.json.decode(text, type=RedrivePolicy, strict=False)
    except msgspec.DecodeError:
        raise refused_value(
            "RedrivePolicy", "It needs deadLetterTargetArn and maxReceiveCount, in JSON."
        ) from None
    if not 1 <= policy.max_receive_count <= _MAX_RECEIVES:
        raise refused_value("RedrivePolicy", f"maxReceiveCount must be 1 to {_MAX_RECEIVES}.")
    return policy
