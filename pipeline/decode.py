"""Decodes bodies and holds them against the contract: a bad one costs only itself.

Producers and consumers read with the same code: what one takes, the other does not quarantine.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

import msgspec

from pipeline.contract import SENT_AT, Feed, Field
from pipeline.enrichment import ENRICHED
from pipeline.reasons import Reason, Refused
from pipeline.types import Scalar

# Decoders give up at depths that differ between versions of Python; this one is the same on all.
_LEVELS = 100

_decoder = msgspec.json.Decoder()
_Tree = dict[str, "_Tree"]
_Object = dict[str, object]


@dataclass(frozen=True, slots=True)
class Row:
    """What a body says that keeps its contract.

    Attributes:
        values: The values in canonical form, in the order of the feed's fields; null as None, and
            so is what an enrichment is to add.
        unknown: How many values the contract does not name; they were dropped.
    """

    values: tuple[Scalar | None, ...] = field(repr=False)
    unknown: int


class Decoder:
    """Reads the bodies of one feed."""

    def __init__(self, feed: Feed) -> None:
        # No way into the body leads to what is added later.
        self._fields = tuple(
            (() if each.enriched else tuple(each.path.split(".")), each) for each in feed.fields
        )
        self._named = _tree(path for path, each in self._fields if each.sent)

    def decode(self, body: str, sent_at: datetime) -> Row:
        """What a body says.

        Args:
            body: As it is, or is to be, on the queue.
            sent_at: When SQS took it, or is about to, UTC.

        Raises:
            Refused: With the reason code, and the column at fault where one is.
        """
        record = _parse(body)
        values = [self._read(record, path, each, sent_at) for path, each in self._fields]
        return Row(tuple(values), _count_unknown(record, self._named))

    def _read(
        self, record: _Object, path: tuple[str, ...], field: Field, sent_at: datetime
    ) -> Scalar | None:
        if field.path == SENT_AT:
            return field.type.read(sent_at)
        return _read(record, path, field) if path else None


class Enriched:
    """Reads what the enrichment of one feed adds."""

    def __init__(self, feed: Feed) -> None:
        self._fields = tuple(
            (tuple(each.path.removeprefix(ENRICHED).split(".")), each)
            for each in feed.fields
            if each.enriched
        )
        self._named = _tree(path for path, _ in self._fields)

    def read(self, added: object) -> Row:
        """What was added, as if it stood in the body of a message.

        Returns:
            The values of the enriched fields, in their order, and how many others were dropped.

        Raises:
            Refused: It breaks a rule of the contract.
            Exception: It is nothing that JSON could hold.
        """
        # There and back: no type, no reference of the function's own gets any further.
        record = _decoder.decode(msgspec.json.encode(added))
        if not isinstance(record, dict):
            raise Refused(Reason.NOT_AN_OBJECT)
        values = [_read(record, path, each) for path, each in self._fields]
        return Row(tuple(values), _count_unknown(record, self._named))


def _read(record: _Object, path: tuple[str, ...], field: Field) -> Scalar | None:
    try:
        value = record[path[0]] if len(path) == 1 else _at(record, path)
        if value is None:
            if field.nullable:
                return None
            raise Refused(Reason.NULL)
        return field.type.read(value)
    except KeyError:
        if field.nullable:
            return None
        raise Refused(Reason.MISSING, field=field.name) from None
    except Refused as refused:
        raise Refused(refused.reason, field=field.name) from None


def _tree(paths: Iterable[tuple[str, ...]]) -> _Tree:
    """The names of the contract as nested dicts, empty at the leaves."""
    tree: _Tree = {}
    for path in paths:
        branch = tree
        for name in path:
            branch = branch.setdefault(name, {})
    return tree


def _at(record: _Object, path: tuple[str, ...]) -> object:
    value: object = record
    for name in path:
        if not isinstance(value, dict):
            if value is None:  # a null parent holds no child
                raise KeyError(name)
            raise Refused(Reason.WRONG_TYPE)
        value = value[name]
    return value


def _count_unknown(record: _Object, named: _Tree) -> int:
    unknown = 0 if record.keys() <= named.keys() else len(record.keys() - named.keys())
    for name, branch in named.items():
        if branch and isinstance(value := record.get(name), dict):
            unknown += _count_unknown(value, branch)
    return unknown


def _parse(body: str) -> _Object:
    """The body as a JSON object without duplicate keys."""
    try:
        record = _decoder.decode(body)
    except RecursionError:
        raise Refused(Reason.TOO_DEEP) from None
    except msgspec.ValidationError:  # JSON, but with a number that nothing here can hold
        raise Refused(Reason.NUMBER_TOO_LARGE) from None
    except (msgspec.DecodeError, UnicodeEncodeError):
        _explain(body)
    if not isinstance(record, dict):
        raise Refused(Reason.NOT_AN_OBJECT)
    if body.count("{") + body.count("[") > _LEVELS:
        _refuse_depth(record)
    if not _surely_without_duplicates(body, record):
        _refuse_duplicates(body)
    return record


def _refuse_depth(record: _Object) -> None:
    level: list[object] = [record]
    for _ in range(_LEVELS):
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise Refused(Reason.TOO_DEEP)


def _children(value: object) -> Collection[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _surely_without_duplicates(body: str, record: _Object) -> bool:
    """Whether counting alone shows that no key stands twice, as it does for flat objects.

    Each pair of a JSON object has one colon outside strings. Without a backslash, the colons
    inside strings are those of the decoded strings. Without those of its values, an object has
    at least as many as pairs, nested ones and dropped ones included; where it has as many as
    keys that were kept, there are no others.
    """
    colons = body.count(":")
    if colons == len(record):
        return True
    if "\\" in body:
        return False
    inside = sum(value.count(":") for value in record.values() if isinstance(value, str))
    return colons - inside == len(record)


def _refuse_duplicates(body: str) -> None:
    try:
        json.loads(body, object_pairs_hook=_distinct)
    except RecursionError:
        raise Refused(Reason.TOO_DEEP) from None


def _distinct(pairs: list[tuple[str, object]]) -> _Object:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise Refused(Reason.DUPLICATE_KEY)
    return record


def _explain(body: str) -> NoReturn:
    """Finds the reason code for a body that the decoder refused."""
    if not body.strip():
        raise Refused(Reason.EMPTY_BODY)
    try:
        # The standard library's decoder accepts NaN and lone surrogates: it can tell them apart.
        json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise Refused(Reason.TOO_DEEP) from None
    except ValueError:
        raise Refused(Reason.NOT_JSON) from None
    raise Refused(Reason.LONE_SURROGATE)


def _refuse_constant(_name: str) -> NoReturn:
    raise Refused(Reason.NOT_A_NUMBER)
