"""What ledger and quarantine will know a message by: computed before it is sent, by the sender."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from pipeline.consume.settlement import Identity, quarantine_key
from pipeline.contract import Feed
from pipeline.messages import Message

_ANY_TIME: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Mark:
    """A message as it will be found again.

    Attributes:
        key: Its event, as in the ledger: 32 bytes.
        content: Its body, as in the ledger: 16 bytes.
        quarantine: Both, as the key of the quarantine: 32 bytes.
    """

    key: bytes
    content: bytes
    quarantine: bytes

    @classmethod
    def of(cls, identity: Identity, event_id: str, body: str) -> Self:
        """The mark of a message, whether or not its body is sound."""
        message = Message("", "", body, _ANY_TIME, _ANY_TIME, 1, event_id)
        entry = identity.entry(message, None)
        return cls(entry.key, entry.content, quarantine_key(entry))


def identity_of(feed: Feed, secret: bytes) -> Identity:
    """What computes the marks of a feed whose events are known by their `event_id`.

    Args:
        feed: The contract.
        secret: The feed's settlement key.
    """
    if feed.key:
        raise ValueError("chaos drives a feed without key fields")
    return Identity(feed, secret)
