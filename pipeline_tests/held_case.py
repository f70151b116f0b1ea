"""What the tests of held messages share: messages, limits, and the heartbeats that live."""

import threading
from typing import Final

from pipeline.contract import Limits
from pipeline.messages import Message
from pipeline_tests.samples import message

QUICK: Final = Limits(visibility_seconds=1, hold_seconds=60, receivers=2)
"""Limits with which a heart beats several times a second."""

SLOW: Final = Limits(receivers=2)
"""Limits with which no heart beats within a test."""


def blank(count: int, *, receive_count: int = 1) -> list[Message]:
    """So many messages, delivered so often."""
    return [message("{}", receive_count=receive_count) for _ in range(count)]


def hearts() -> list[threading.Thread]:
    """The heartbeats that go on."""
    return [thread for thread in threading.enumerate() if thread.name == "heartbeat"]
