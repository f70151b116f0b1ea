"""What the warehouse knows a message by: its own keyed identity, computed beside it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from pipeline.consume.settlement import Identity, quarantine_key
from pipeline.messages import Message

_ANY_TIME: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Mark:
    """A message as it is found again.

    Attributes:
        key: Its event, as in the ledger.
        content: Its body, as in the ledger.
        quarantine: Both, as the key of the quarantine.
    """

    key: bytes
    content: bytes
    quarantine: bytes

    @classmethod
    def of(cls, identity: Identity, event_id: str, body: str) -> Self:
        """The mark of a message, sound or not, of a feed without key fields."""
        entry = identity.entry(Message("", "", body, _ANY_TIME, _ANY_TIME, 1, event_id), None)
        return cls(entry.key, entry.content, quarantine_key(entry))
