"""What several test files need: records, messages, small feeds, keys, and an outside world."""

import itertools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hypothesis import settings

from pipeline.contract import SENT_AT, Feed, Field, Limits
from pipeline.decode import Decoder, Row
from pipeline.feeds import user_logins
from pipeline.masking.key_file import KeyFile
from pipeline.masking.keyring import Keyring
from pipeline.masking.policies import Keep, Pseudonymize
from pipeline.messages import Message
from pipeline.resources.outside import Outside
from pipeline.resources.sqs_client import Endpoint
from pipeline.types import (
    Boolean,
    Date,
    Integer,
    IpAddress,
    Number,
    Text,
    Timestamp,
    Version,
)

USER_LOGINS: Final = user_logins.FEED
"""The feed of the logins, as it is deployed."""

SENT: Final = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)
"""When SQS took each message of these builders."""

KEYRING: Final = Keyring({1: bytes(range(64))}, current=1)
"""A keyring that is the same in every run."""

CANARY: Final = "canary-7f3a91"
"""A value that must not be found where no value may be."""

EVERY_TYPE: Final = Feed(
    name="readings",
    description="A field of every type, at the top and nested.",
    queue="readings-queue",
    table="lab.readings",
    fields=(
        Field("id", Integer(), Keep()),
        Field("email", Text(40), Pseudonymize(), personal=True),
        Field("level", Text(8, allowed=("low", "high")), Keep()),
        Field("device.ip", IpAddress(), Pseudonymize(), personal=True),
        Field("device.place.room", Integer(1, 99), Keep()),
        Field("device.firmware", Version(), Keep(), nullable=True),
        Field("celsius", Number(-90, 60), Keep(), nullable=True),
        Field("sound", Boolean(), Keep()),
        Field("measured_at", Timestamp(), Keep()),
        Field("installed_on", Date(), Keep(), nullable=True),
        Field("note", Text(20), Keep(), nullable=True),
        Field(SENT_AT, Timestamp(), Keep(), column="sent_at"),
    ),
    key=("id",),
)
"""A feed with every type, nested fields, a range, allowed values and a key."""

PATIENCE: Final = 60.0  # seconds; only what fails takes so long, and a busy machine half of it

_serial = itertools.count(1)


def login(**changes: object) -> dict[str, object]:
    """A sound record of the feed `user_logins`; a change to `...` takes the field away."""
    record: dict[str, object] = {
        "user_id": "424cdd21-063a-43a7-b91b-7ca1a833afae",
        "app_version": "2.3.0",
        "device_type": "android",
        "ip": "199.172.111.135",
        "locale": "RU",
        "device_id": "593-47-5928",
    }
    record |= changes
    return {name: value for name, value in record.items() if value is not ...}


def reading(**changes: object) -> dict[str, object]:
    """A sound record of the feed `EVERY_TYPE`; a change to `...` takes the field away."""
    record: dict[str, object] = {
        "id": 7,
        "email": "ann@example.org",
        "level": "low",
        "device": {"ip": "10.0.0.1", "place": {"room": 12}, "firmware": "1.2.3"},
        "celsius": 21.5,
        "sound": True,
        "measured_at": "2024-02-29T12:00:00+02:00",
        "installed_on": "2023-12-31",
        "note": "by the window",
    }
    record |= changes
    return {name: value for name, value in record.items() if value is not ...}


def message(body: object, *, event_id: str | None = None, **changes: object) -> Message:
    """A message as SQS delivers it; a body that is no string becomes JSON.

    Args:
        body: The body.
        event_id: The producer's attribute.
        **changes: Other attributes of `Message`.
    """
    place = next(_serial)
    made = Message(
        message_id=f"message-{place}",
        receipt=f"receipt-{place}",
        body=body if isinstance(body, str) else json.dumps(body),
        sent_at=SENT,
        received_at=SENT,
        receive_count=1,
        event_id=event_id,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def decode(decoder: Decoder, body: object) -> Row:
    """What a decoder reads from a body, as `message` takes it."""
    made = message(body)
    return decoder.decode(made.body, made.sent_at)


def small(feed: Feed = USER_LOGINS, **limits: object) -> Feed:
    """A feed with limits that suit a test: it takes little and ends soon."""
    quick: dict[str, object] = {"batch_messages": 200, "receivers": 2, "receive_seconds": 20.0}
    return replace(feed, limits=Limits(**quick | limits))  # type: ignore[arg-type]


def outside(queue_endpoint: str, warehouse_url: str, folder: Path) -> Outside:
    """An outside world of the two embedded services, with a key file in a folder of the test."""
    return Outside(
        Endpoint(queue_endpoint, embedded=True),
        warehouse_url,
        KeyFile(folder / "keys" / "keyring.json"),
    )


def eventually(condition: Callable[[], bool], *, patience: float = PATIENCE) -> None:
    """Waits for a condition that other threads or processes bring about, at most so many seconds.

    Raises:
        AssertionError: It did not come about in time.
    """
    end, never = time.monotonic() + patience, threading.Event()
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come about"
        never.wait(0.01)


quickly: Final = settings(deadline=None, derandomize=True, max_examples=60)
"""For a property: the same examples in every run, and no clock that a slow machine could fail."""
