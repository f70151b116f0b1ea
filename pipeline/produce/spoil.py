"""Breaks a sound record on purpose, so that it ends in the quarantine for a chosen reason."""

import json
from collections.abc import Callable

from pipeline.contract import Feed, Field
from pipeline.reasons import Reason
from pipeline.types import Date, FieldType, Integer, IpAddress, Text, Timestamp, Version

_DEEP = 5_000  # levels: beyond every decoder's limit
_DIGITS = 5_000

_Record = dict[str, object]
_WHOLE: dict[Reason, Callable[[str], str]] = {
    # SQS refuses a body of no characters at all.
    Reason.EMPTY_BODY: lambda _sound: " ",
    Reason.NOT_JSON: lambda sound: sound[:-1],
    Reason.NOT_AN_OBJECT: lambda sound: f"[{sound}]",
    Reason.NOT_A_NUMBER: lambda sound: _with_extra(sound, "NaN"),
    Reason.LONE_SURROGATE: lambda sound: _with_extra(sound, r'"\ud800"'),
    Reason.TOO_DEEP: lambda sound: _with_extra(sound, "[" * _DEEP + "]" * _DEEP),
    Reason.NUMBER_TOO_LARGE: lambda sound: _with_extra(sound, "9" * _DIGITS),
    Reason.DUPLICATE_KEY: lambda sound: f"{sound[:-1]}, {sound[1:]}",
}


def spoilable(feed: Feed) -> tuple[Reason, ...]:
    """The reasons for which a record of the feed can be broken."""
    return (*_WHOLE, *(reason for reason in _VALUES if _target(feed, reason) is not None))


def spoil(feed: Feed, record: _Record, reason: Reason) -> str:
    """The body of a message that breaks the contract for one reason.

    Args:
        feed: The contract.
        record: A sound record of the feed; it is changed.
        reason: One of `spoilable(feed)`.
    """
    if reason in _WHOLE:
        return _WHOLE[reason](json.dumps(record))
    target = _target(feed, reason)
    assert target is not None  # noqa: S101 - the caller asks for what is spoilable
    *parents, leaf = target.path.split(".")
    branch = record
    for parent in parents:
        child = branch[parent]
        assert isinstance(child, dict)  # noqa: S101 - a sound record has it
        branch = child
    if reason is Reason.MISSING:
        del branch[leaf]
    else:
        branch[leaf] = _VALUES[reason](target.type)
    return json.dumps(record)


def _with_extra(sound: str, value: str) -> str:
    return f'{sound[:-1]}, "extra": {value}}}'


_VALUES: dict[Reason, Callable[[FieldType], object]] = {
    Reason.MISSING: lambda _kind: None,
    Reason.NULL: lambda _kind: None,
    Reason.WRONG_TYPE: lambda _kind: ["a list"],
    Reason.TOO_LONG: lambda kind: "x" * (kind.max_length + 1) if isinstance(kind, Text) else None,
    Reason.NUL_CHARACTER: lambda _kind: "\0",
    Reason.NOT_ALLOWED: lambda _kind: "",
    Reason.OUT_OF_RANGE: lambda kind: kind.maximum + 1 if isinstance(kind, Integer) else None,
    Reason.BAD_ADDRESS: lambda _kind: "1.2.3",
    Reason.BAD_DATE: lambda _kind: "2023-02-29",
    Reason.BAD_TIMESTAMP: lambda _kind: "2023-02-28T12:00:00",
    Reason.BAD_VERSION: lambda _kind: "one",
    Reason.VERSION_PART_TOO_LARGE: lambda kind: (
        f"1.{10**kind.digits}.0" if isinstance(kind, Version) else None
    ),
}
_NEEDS: dict[Reason, type[FieldType]] = {
    Reason.TOO_LONG: Text,
    Reason.NUL_CHARACTER: Text,
    Reason.NOT_ALLOWED: Text,
    Reason.OUT_OF_RANGE: Integer,
    Reason.BAD_ADDRESS: IpAddress,
    Reason.BAD_DATE: Date,
    Reason.BAD_TIMESTAMP: Timestamp,
    Reason.BAD_VERSION: Version,
    Reason.VERSION_PART_TOO_LARGE: Version,
}


def _target(feed: Feed, reason: Reason) -> Field | None:
    """The first field that can be broken in this way, if the feed has one."""
    for each in feed.fields:
        if not each.sent or not isinstance(each.type, _NEEDS.get(reason, object)):
            continue
        if reason in {Reason.MISSING, Reason.NULL} and each.nullable:
            continue
        if reason is Reason.NOT_ALLOWED and not (isinstance(each.type, Text) and each.type.allowed):
            continue
        return each
    return None
