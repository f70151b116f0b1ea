"""A message of the embedded queue: its limits, its digests, and where it stands."""

import enum
import hashlib
import random
import re
import uuid
from collections.abc import Mapping
from typing import Final

import msgspec

from pipeline.local.queue.errors import SqsError, invalid_parameter, missing_parameter

MAX_BYTES: Final = 1_048_576
"""Of one message, and of one batch, attributes included (SQS quotas, since August 2025)."""

MAX_ATTRIBUTES: Final = 10

# What XML 1.0 allows, which is what SQS allows.
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTE_NAME = re.compile(r"(?!(?i:aws|amazon)\.)(?!\.)(?!.*\.\.)[\w.-]{1,256}(?<!\.)", re.ASCII)
_DATA_TYPE = re.compile(r"(String|Number|Binary)(\..+)?")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


class Attribute(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """A message attribute as it travels: text (also of numbers) or bytes, and its type."""

    data_type: str
    string_value: str | None = None
    binary_value: bytes | None = None

    @property
    def value(self) -> bytes:
        """The bytes that count towards size and digest."""
        return self.binary_value or (self.string_value or "").encode()


class Place(enum.IntEnum):
    """Where a message of a queue stands."""

    READY = 0
    DELAYED = 1
    IN_FLIGHT = 2
    GONE = 3


class Message(msgspec.Struct):
    """A message and all that its queue knows of it; times are seconds since the epoch.

    Attributes:
        receives: How often it was received, over all queues: what SQS reports.
        receives_here: How often from this queue: what a redrive policy counts.
        receipt: The latest receipt, the only one that deletes.
        source_arn: The queue that gave it up, if this one is its dead-letter queue.
    """

    id: str
    body: str
    body_md5: str
    attributes: dict[str, Attribute]
    sent_at: float
    place: Place = Place.READY
    visible_at: float = 0.0
    receives: int = 0
    receives_here: int = 0
    first_received_at: float = 0.0
    last_received_at: float = 0.0
    receipt: str = ""
    trace_header: str = ""
    source_arn: str = ""


def new_id(rng: random.Random) -> str:
    """An id for a message, or for what else needs one."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def md5_of_body(body: str) -> str:
    """The hex digest that SQS returns and boto3 verifies."""
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Mapping[str, Attribute]) -> str:
    """The hex digest over message attributes, in order of name.

    Source: Amazon SQS developer guide, "Calculating the MD5 message digest for message
    attributes".
    """
    digest = hashlib.md5(usedforsecurity=False)
    for name, attribute in sorted(attributes.items()):
        transport = b"\x01" if attribute.binary_value is None else b"\x02"
        digest.update(_with_length(name.encode()) + _with_length(attribute.data_type.encode()))
        digest.update(transport + _with_length(attribute.value))
    return digest.hexdigest()


def _with_length(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def size_of(body: str, attributes: Mapping[str, Attribute]) -> int:
    """Bytes that count towards `MAX_BYTES`: body, and the attributes' names, types and values."""
    size = len(body) if body.isascii() else len(body.encode())
    for name, attribute in attributes.items():
        size += len(name.encode()) + len(attribute.data_type.encode()) + len(attribute.value)
    return size


def check_message(body: str, attributes: Mapping[str, Attribute], *, max_bytes: int) -> None:
    """Refuse what SQS refuses in a message.

    Raises:
        SqsError: The body is empty, too long or holds a forbidden character, or an attribute is
            malformed.
    """
    if not body:
        raise missing_parameter("MessageBody")
    _check_text(body)
    if len(attributes) > MAX_ATTRIBUTES:
        raise invalid_parameter(
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum "
            f"[{MAX_ATTRIBUTES}]."
        )
    for name, attribute in attributes.items():
        _check_attribute(name, attribute)
    if size_of(body, attributes) > max_bytes:
        raise invalid_parameter(
            "One or more parameters are invalid. "
            f"Reason: Message must be shorter than {max_bytes} bytes."
        )


def _check_text(text: str) -> None:
    if found := _FORBIDDEN.search(text):
        raise SqsError(
            "InvalidMessageContents",
            f"Invalid binary character '#x{ord(found[0]):X}' was found in the message body, the "
            "set of allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | "
            "#x10000 to #x10FFFF",
        )


def _check_attribute(name: str, attribute: Attribute) -> None:
    if not _ATTRIBUTE_NAME.fullmatch(name):
        raise invalid_parameter("A message attribute's name is invalid.")
    kind = _DATA_TYPE.fullmatch(attribute.data_type)
    if kind is None:
        raise invalid_parameter(f"The type of message (user) attribute '{name}' is invalid.")
    other = attribute.string_value if kind[1] == "Binary" else attribute.binary_value
    if not attribute.value or other is not None:
        raise invalid_parameter(
            f"The message (user) attribute '{name}' must contain a non-empty value of the "
            f"type that it declares."
        )
    _check_text(attribute.string_value or "")
    if kind[1] == "Number" and not _NUMBER.fullmatch(attribute.string_value or ""):
        raise invalid_parameter(
            f"Can't cast the value of message (user) attribute '{name}' to a number."
        )
