"""What passes from op to op within a run, in memory only."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pipeline.masking.vault import VaultRow
from pipeline.messages import Message
from pipeline.reasons import Reason

if TYPE_CHECKING:
    import pandas as pd

EVIDENCE: Final = 10
"""So many records of a batch, and no others, that fail alike: then it is not the records."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message and the identity under which it is settled.

    Attributes:
        key: Which event it is: 32 bytes, keyed, so that the ledger reveals nothing.
        content: What it says: 16 bytes, keyed. Two messages of one key and one content are the
            same event twice; of one key and two contents, a conflict.
        message: The message itself.
    """

    key: bytes
    content: bytes
    message: Message


@dataclass(frozen=True, slots=True)
class Reject:
    """A message that goes to the quarantine.

    Attributes:
        entry: The message and its identity.
        reason: Which rule it breaks.
        field: The column at fault, where one is.
    """

    entry: Entry
    reason: Reason
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch, decoded and freed of what it holds twice.

    Attributes:
        frame: One row per record, one object column per field in the contract's order, nulls as
            None: raw values until `pipeline.masking.mask` has replaced it.
        entries: The message behind each row of the frame, in its order, each key once.
        rejects: What goes to the quarantine.
        received: How many messages the batch holds.
        duplicates: How many of them repeat another one of the batch.
        repeats: Those that repeat an entry, by its key. One may be the same message under a newer
            receipt, the only one that still deletes it: what becomes of the entry becomes of them.
        unknown: How many values were dropped because the contract does not name them.
        released: How many it no longer holds because they could not be enriched.
        vault: What the vault is to keep of it, sealed, once it is masked.
    """

    frame: "pd.DataFrame" = field(repr=False)
    entries: tuple[Entry, ...]
    rejects: tuple[Reject, ...]
    received: int
    duplicates: int
    unknown: int
    released: int = 0
    vault: tuple[VaultRow, ...] = ()
    repeats: Mapping[bytes, tuple[Message, ...]] = field(default_factory=dict)

    def deliveries(self, entry: Entry) -> tuple[Message, ...]:
        """All messages of the batch that are this entry: its own, and those that repeat it."""
        return (entry.message, *self.repeats.get(entry.key, ()))


@dataclass(frozen=True, slots=True)
class Account:
    """What became of every message of a batch."""

    received: int
    loaded: int = 0
    duplicate: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    released: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether every message is accounted for."""
        return self.received == (
            self.loaded + self.duplicate + self.quarantined.total() + self.released
        )

    @property
    def numbers(self) -> dict[str, int]:
        """The counts by name, without the reasons."""
        return {
            "received": self.received,
            "loaded": self.loaded,
            "duplicate": self.duplicate,
            "quarantined": self.quarantined.total(),
            "released": self.released,
        }

    def __add__(self, other: "Account") -> "Account":
        return Account(
            received=self.received + other.received,
            loaded=self.loaded + other.loaded,
            duplicate=self.duplicate + other.duplicate,
            quarantined=self.quarantined + other.quarantined,
            released=self.released + other.released,
        )

    def __str__(self) -> str:
        return (
            f"received {self.received} = loaded {self.loaded} + duplicate {self.duplicate}"
            f" + quarantined {self.quarantined.total()} + released {self.released}"
        )


NOTHING: Final = Account(received=0)
"""The account of no message."""
