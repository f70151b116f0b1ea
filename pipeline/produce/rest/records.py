"""Takes a body apart into records, and holds each against its feed's contract."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from pipeline.contract import Feed
from pipeline.decode import Decoder
from pipeline.produce.rest.limits import MOST_RECORDS
from pipeline.produce.rest.problems import BATCH_SIZE, CONTRACT, NOT_JSON, Kind, Problem
from pipeline.reasons import Reason, Refused

UNKNOWN_FIELD: Final = "unknown_field"
"""The rule that is broken by a field that the contract does not name."""

# Not JSON at all, or none that is taken. All other reasons concern the record's contract.
_NOT_JSON: Final = frozenset(
    {
        Reason.EMPTY_BODY,
        Reason.NOT_JSON,
        Reason.NOT_A_NUMBER,
        Reason.LONE_SURROGATE,
        Reason.TOO_DEEP,
    }
)
_DETAILS: Final = {
    Reason.TOO_DEEP: "The body is nested too deeply",
    Reason.EMPTY_BODY: "The body is empty",
}
# The two characters that JSON may hold and a message of SQS may not. In JSON that was decoded
# they can only stand in strings, where their escapes say the same.
_ESCAPED: Final = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}

# An array of records, each left as it is. Beyond its last member the decoder stops, where a
# list would first become an object for each of millions of elements.
_Batch = msgspec.defstruct(
    "_Batch",
    [(f"record_{place}", msgspec.Raw, msgspec.UNSET) for place in range(MOST_RECORDS)],
    array_like=True,
    forbid_unknown_fields=True,
)
_batches: Final = msgspec.json.Decoder(_Batch)


def is_batch(body: bytes) -> bool:
    """Whether a body is an array, or would be if it were sound."""
    return body.lstrip(b" \t\r\n").startswith(b"[")


def split(body: bytes) -> list[msgspec.Raw]:
    """The records of a batch, unread.

    Raises:
        Problem: The body is no JSON, or has no records or too many.
    """
    try:
        batch = _batches.decode(body)
    except msgspec.ValidationError:
        raise Problem(BATCH_SIZE, f"The batch has more than {MOST_RECORDS:,} records") from None
    except RecursionError:
        raise _refused(NOT_JSON, Reason.TOO_DEEP) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _refused(NOT_JSON, Reason.NOT_JSON) from None
    records = [each for each in msgspec.structs.astuple(batch) if each is not msgspec.UNSET]
    if not records:
        raise Problem(BATCH_SIZE, "The batch has no records")
    return records


class Reader:
    """Reads the records of one feed, with the code that its consumer reads them with."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._decoder = Decoder(feed)
        self._paths = {each.name: each.path for each in feed.fields}

    def read(self, raw: bytes | msgspec.Raw) -> str:
        """The body of a message, for a record that keeps its contract.

        Raises:
            Problem: It does not.
        """
        try:
            text = str(raw, "utf-8")
        except UnicodeDecodeError:
            raise _refused(NOT_JSON, Reason.NOT_JSON, feed=self._feed.name) from None
        try:
            row = self._decoder.decode(text, datetime.now(UTC))
        except Refused as refused:
            kind = NOT_JSON if refused.reason in _NOT_JSON else CONTRACT
            path = self._paths[refused.field] if refused.field else None
            raise _refused(kind, refused.reason, feed=self._feed.name, field=path) from None
        if row.unknown:
            raise Problem(
                CONTRACT,
                f"The contract does not name {row.unknown} of the record's fields",
                feed=self._feed.name,
                rule=UNKNOWN_FIELD,
            )
        return text.translate(_ESCAPED)


def _refused(
    kind: Kind, reason: Reason, *, feed: str | None = None, field: str | None = None
) -> Problem:
    if field is not None:
        detail = f"The field {field} breaks the rule {reason}"
    else:
        detail = _DETAILS.get(reason, f"The record breaks the rule {reason}")
    return Problem(kind, detail, feed=feed, field=field, rule=reason)
