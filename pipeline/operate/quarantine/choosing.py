"""Which messages of the quarantine somebody means: by handle, by reason code, by age."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg

from pipeline.contract import Feed
from pipeline.errors import QuarantineError
from pipeline.reasons import Reason
from pipeline.resources import postgres
from pipeline.resources.outside import Outside
from pipeline.warehouse import quarantine
from pipeline.warehouse.quarantine import Group, Lying, Selection
from pipeline.warehouse.tables import are_made

_DIGITS: Final = 12  # of a key: two of ten million messages share them once in a lifetime
_HANDLE: Final = re.compile(r"[0-9a-f]{8,64}", re.ASCII)
_AGE: Final = re.compile(r"(?P<number>[0-9]{1,5})(?P<unit>[dh])", re.ASCII)
_LONGEST: Final = 36_500  # days
_CONFLICTS: Final = (
    "of them {} are conflicts: each is one again for as long as the ledger knows the first message"
    " of its event, and afterwards a second row for it"
)
_REMEMBERED: Final = timedelta(days=28)  # the least that the ledger keeps: docs/retention.md
_OLD: Final = (
    f"some lie there for longer than {_REMEMBERED.days} days: one whose event was sent anew and"
    " loaded before that may become a second row for it"
)


def handle_of(key: bytes) -> str:
    """How people name a message of the quarantine: the first digits of its key."""
    return key.hex()[:_DIGITS]


def read_age(text: str) -> timedelta:
    """An age such as `7d` or `12h`.

    Raises:
        QuarantineError: It is none.
    """
    found = _AGE.fullmatch(text)
    if found is None:
        raise QuarantineError("that is not an age", remedy="Write it as 7d or 12h")
    number = int(found["number"])
    return timedelta(days=number) if found["unit"] == "d" else timedelta(hours=number)


def read_days(days: float) -> timedelta:
    """An age in days.

    Raises:
        QuarantineError: It is none.
    """
    if not 0 <= days <= _LONGEST:
        raise QuarantineError(
            "that is not a number of days", remedy=f"Give one from 0 to {_LONGEST}"
        )
    return timedelta(days=days)


def read_codes(texts: Iterable[str]) -> tuple[Reason, ...]:
    """The reason codes of those names.

    Raises:
        QuarantineError: There is no such code.
    """
    try:
        return tuple(Reason(text) for text in texts)
    except ValueError:
        raise QuarantineError(
            "there is no such reason code", remedy=f"Choose of: {', '.join(Reason)}"
        ) from None


def choose(
    outside: Outside,
    feed: Feed,
    *,
    handles: Sequence[str] = (),
    codes: tuple[Reason, ...] = (),
    age: timedelta = timedelta(),
) -> Selection:
    """The selection that fits all that is given; of what is not given, everything does.

    Args:
        outside: Where the warehouse is.
        feed: Whose messages.
        handles: Single ones, by their handles or more digits of their keys.
        codes: Those with one of these reason codes.
        age: Those that have lain there for so long.

    Raises:
        QuarantineError: A handle fits none, or several.
        WarehouseError: Postgres is down, or refuses.
    """
    keys = None
    if handles:
        with _reading(outside, feed) as connection:
            keys = tuple(dict.fromkeys(_find(connection, feed, each) for each in handles))
    return Selection(feed.name, keys, codes or None, age)


def count(outside: Outside, feed: Feed, selection: Selection) -> list[Group]:
    """What a selection comes to, by reason and field, the largest group first.

    Raises:
        WarehouseError: Postgres is down, or refuses.
    """
    with _reading(outside, feed) as connection:
        return quarantine.groups(connection, selection) if are_made(connection, feed) else []


def list_messages(outside: Outside, feed: Feed, selection: Selection, most: int) -> list[Lying]:
    """The messages of a selection, the latest first, so many at most; never their content.

    Raises:
        WarehouseError: Postgres is down, or refuses.
    """
    with _reading(outside, feed) as connection:
        made = are_made(connection, feed)
        return quarantine.messages(connection, selection, most) if made else []


def warnings(groups: Sequence[Group]) -> list[str]:
    """What somebody is to know before these messages are redriven."""
    conflicts = sum(each.messages for each in groups if each.reason == Reason.CONFLICT)
    told = [_CONFLICTS.format(conflicts)] if conflicts else []
    horizon = datetime.now(UTC) - _REMEMBERED
    return told + ([_OLD] if any(each.oldest < horizon for each in groups) else [])


def _find(connection: psycopg.Connection, feed: Feed, handle: str) -> bytes:
    if not _HANDLE.fullmatch(handle):  # not repeated: it may be a value in the wrong place
        raise QuarantineError(
            "that is no handle of a message in the quarantine",
            remedy="Copy one from `pipeline quarantine list`: 8 to 64 hexadecimal digits",
            feed=feed.name,
        )
    found = quarantine.find(connection, feed.name, handle, most=2)
    if len(found) == 1:
        return found[0]
    raise QuarantineError(
        f"{'several messages' if found else 'no message'} of the quarantine begin with {handle}",
        remedy="Give more digits of the key"
        if found
        else "It may have been redriven or purged: see `pipeline quarantine list`",
        feed=feed.name,
    )


@contextmanager
def _reading(outside: Outside, feed: Feed) -> Iterator[psycopg.Connection]:
    with (
        postgres.translated(feed=feed.name),
        closing(postgres.connect(outside.postgres_url)) as connection,
    ):
        yield connection
