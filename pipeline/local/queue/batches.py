"""Batches of the SQS protocol: what refuses one as a whole, and what fails only a part."""

import re
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.messages import MAX_BYTES, size_of
from pipeline.local.queue.requests import SendEntry

MAX_ENTRIES: Final = 10
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")


class BatchEntry(Protocol):
    """One part of a batch, with an id that its answer repeats."""

    @property
    def id(self) -> str:
        """Distinct within the batch."""


Entry = TypeVar("Entry", bound=BatchEntry)


def each(entries: Sequence[Entry], act: Callable[[Entry], dict[str, object]]) -> dict[str, object]:
    """Act on every entry and sort the outcomes into `Successful` and `Failed`.

    Raises:
        SqsError: The batch is empty, has more than ten entries, or ids that are malformed or
            repeated.
    """
    check(entries)
    successful: list[dict[str, object]] = []
    failed: list[dict[str, object]] = []
    for entry in entries:
        try:
            successful.append({"Id": entry.id, **act(entry)})
        except SqsError as error:
            failed.append(
                {
                    "Id": entry.id,
                    "SenderFault": True,
                    "Code": error.query_code,
                    "Message": error.message,
                }
            )
    return {"Successful": successful, "Failed": failed} if failed else {"Successful": successful}


def check_size(entries: Sequence[SendEntry]) -> None:
    """Refuse a batch whose messages together are too long.

    Raises:
        SqsError: BatchRequestTooLong.
    """
    total = sum(size_of(entry.message_body, entry.message_attributes) for entry in entries)
    if total > MAX_BYTES:
        raise SqsError(
            "BatchRequestTooLong",
            f"Batch requests cannot be longer than {MAX_BYTES} bytes. You have sent {total} bytes.",
        )


def check(entries: Sequence[BatchEntry]) -> None:
    """Refuse a batch as a whole.

    Raises:
        SqsError: As `each`.
    """
    if not entries:
        raise SqsError("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > MAX_ENTRIES:
        raise SqsError(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {MAX_ENTRIES}. "
            f"You have sent {len(entries)}.",
        )
    ids = [entry.id for entry in entries]
    if not all(_ENTRY_ID.fullmatch(entry_id) for entry_id in ids):
        raise SqsError(
            "InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
            "It can be at most 80 letters long.",
        )
    if len(set(ids)) != len(ids):
        raise SqsError("BatchEntryIdsNotDistinct", "Two or more batch entries have the same id.")
