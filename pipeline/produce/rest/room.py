"""How much may be in the service at once: what exceeds it is refused, not kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.produce.rest.limits import Limits
from pipeline.produce.rest.problems import OVERLOADED, Problem

_RETRY_AFTER = 1  # seconds: by then thousands of messages have left


class Room:
    """What all requests together may hold; used by one event loop.

    Attributes:
        messages: How many are held now.
        bytes: How many are held now.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.messages = 0
        self.bytes = 0

    @contextmanager
    def share(self) -> "Iterator[Share]":
        """One request's part, given back when the request is over."""
        share = Share(self)
        try:
            yield share
        finally:
            self.messages -= share.messages
            self.bytes -= share.bytes

    def fits(self, *, messages: int, size: int) -> bool:
        """Whether there is room for so much more."""
        return (
            self.messages + messages <= self._limits.pending_messages
            and self.bytes + size <= self._limits.pending_bytes
        )


@dataclass(slots=True)
class Share:
    """What one request holds."""

    room: Room
    messages: int = 0
    bytes: int = 0

    def take(self, *, messages: int = 0, size: int = 0) -> None:
        """Takes room for messages, and for bytes of a body.

        Raises:
            Problem: There is no room.
        """
        if not self.room.fits(messages=messages, size=size):
            raise Problem(
                OVERLOADED,
                "As many messages wait for the queue as may wait; nothing of this request was sent",
                retry_after=_RETRY_AFTER,
            )
        self.messages += messages
        self.bytes += size
        self.room.messages += messages
        self.room.bytes += size
