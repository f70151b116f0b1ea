"""What became of some messages of a batch, one by one: the account has their numbers only."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

from pipeline.consume.batch import Decoded, Entry, Reject


class Outcome(StrEnum):
    """What became of a message."""

    LOADED = "loaded"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    RELEASED = "released"


def entries_of(batch: Decoded, receipts: Collection[str]) -> list[Entry]:
    """The entries of these messages."""
    return [entry for entry in batch.entries if entry.message.receipt in receipts]


def outcomes(
    batch: Decoded,
    receipts: Collection[str],
    *,
    rejects: Sequence[Reject],
    settled: Collection[bytes],
) -> Mapping[str, Outcome]:
    """What became of these messages, by receipt, now that their batch has committed.

    Args:
        batch: The batch.
        receipts: Whose outcome is asked for; those of other batches are left out.
        rejects: What went to the quarantine.
        settled: The keys that the ledger knew before. What another run has settled since counts
            as loaded here, and as a duplicate in the account.
    """
    found = dict.fromkeys(_repeated(batch) & set(receipts), Outcome.DUPLICATE)
    for entry in entries_of(batch, receipts):
        is_known = entry.key in settled
        found[entry.message.receipt] = Outcome.DUPLICATE if is_known else Outcome.LOADED
    for reject in rejects:
        if reject.entry.message.receipt in receipts:
            found[reject.entry.message.receipt] = Outcome.QUARANTINED
    return found


def _repeated(batch: Decoded) -> set[str]:
    return {message.receipt for repeats in batch.repeats.values() for message in repeats}
