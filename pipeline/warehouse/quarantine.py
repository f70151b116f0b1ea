"""The quarantine in Postgres, typed: what lies there, and the functions of those who handle it.

What they refuse, they refuse in the database: docs/decisions/0008-the-audit-record-comes-first.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import psycopg
from psycopg import sql

from pipeline.reasons import Reason
from pipeline.warehouse import audit

Action = Literal["look", "look asked", "redrive", "purge"]

_PURGED_AT_ONCE: Final = 1_000
_CHOSEN: Final = sql.SQL(
    """feed = %s
    AND (%s::bytea[] IS NULL OR key = ANY (%s))
    AND (%s::text[] IS NULL OR reason = ANY (%s))
    AND quarantined_at < clock_timestamp() - coalesce(%s, make_interval())"""
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages of the quarantine are meant: those that all of it fits.

    Attributes:
        feed: The feed's name.
        keys: Single ones, 32 bytes each; None for all.
        reasons: Those with one of these reason codes; None for every reason.
        age: Those that have lain there for so long.
    """

    feed: str
    keys: tuple[bytes, ...] | None = None
    reasons: tuple[Reason, ...] | None = None
    age: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Group:
    """Messages of one reason, and of one field where one is at fault.

    Attributes:
        reason: The reason code.
        field: The column at fault; None where none is.
        messages: How many.
        oldest: When the first of them came, UTC.
        newest: When the last one did.
        receive_count: How often one of them was delivered, at most.
    """

    reason: str
    field: str | None
    messages: int
    oldest: datetime
    newest: datetime
    receive_count: int


@dataclass(frozen=True, slots=True)
class Lying:
    """One message of the quarantine, without its content.

    Attributes:
        key: Its key there, 32 bytes.
        message_id: SQS's id of it when it was first sent.
        reason: The reason code.
        field: The column at fault; None where none is.
        receive_count: How often it had been delivered.
        sent_at: When SQS took it first, UTC.
        quarantined_at: When it came into the quarantine, UTC.
    """

    key: bytes
    message_id: str
    reason: str
    field: str | None
    receive_count: int
    sent_at: datetime
    quarantined_at: datetime


@dataclass(frozen=True, slots=True)
class Sealed:
    """One message of the quarantine with what is sealed of it.

    Attributes:
        key: Its key there, 32 bytes.
        message_id: SQS's id of it when it was first sent.
        sent_at: When SQS took it first, UTC.
        event_id: The producer's event id; None where there was none, or none was kept.
        body: The body.
    """

    key: bytes
    message_id: str
    sent_at: datetime
    event_id: bytes | None = field(repr=False)
    body: bytes = field(repr=False)


def groups(connection: psycopg.Connection, selection: Selection) -> list[Group]:
    """What lies there by reason and field, the largest group first."""
    rows = connection.execute(
        sql.SQL(
            "SELECT reason, field, count(*), min(quarantined_at), max(quarantined_at),"
            " max(receive_count) FROM pipeline.quarantine WHERE {}"
            " GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
        ).format(_CHOSEN),
        _parameters(selection),
    )
    return [Group(*row) for row in rows]


def messages(connection: psycopg.Connection, selection: Selection, most: int) -> list[Lying]:
    """The messages that lie there, the latest first, so many at most."""
    rows = connection.execute(
        sql.SQL(
            "SELECT key, message_id, reason, field, receive_count, sent_at, quarantined_at"
            " FROM pipeline.quarantine WHERE {} ORDER BY quarantined_at DESC, key LIMIT %s"
        ).format(_CHOSEN),
        (*_parameters(selection), most),
    )
    return [Lying(bytes(key), *others) for key, *others in rows]


def find(connection: psycopg.Connection, feed: str, beginning: str, most: int) -> list[bytes]:
    """The keys, in hexadecimal digits, that begin so; so many at most."""
    rows = connection.execute(
        "SELECT key FROM pipeline.quarantine WHERE feed = %s AND encode(key, 'hex') ^@ %s LIMIT %s",
        (feed, beginning, most),
    )
    return [bytes(key) for (key,) in rows]


def request(
    connection: psycopg.Connection,
    action: Action,
    selection: Selection,
    *,
    reason: str,
    stated_by: str,
) -> UUID:
    """Records what is about to be done; commits, unless a caller has begun.

    Raises:
        AuditRefused: A reason or a name is missing, too many messages are named, what is to be
            purged is too young, or the log-in is no custodian.
        WarehouseError: Postgres is down.
    """
    keys, reasons = _lists(selection)
    return audit.number(
        connection,
        "SELECT pipeline.request_quarantined(%s, %s, %s::bytea[], %s::text[], %s, %s, %s)",
        (action, selection.feed, keys, reasons, selection.age, reason, stated_by),
    )


def read_look(connection: psycopg.Connection, asked: UUID) -> tuple[str, bytes, str, str]:
    """What was asked by a request of the action 'look asked': feed, key, reason, who.

    Raises:
        AuditRefused: There is no such request, or the log-in is no custodian.
        WarehouseError: Postgres is down.
    """
    ((feed, key, reason, stated_by),) = audit.call(
        connection, "SELECT feed, key, reason, stated_by FROM pipeline.read_look(%s)", (asked,)
    )
    return feed, bytes(key), reason, stated_by


def open_one(connection: psycopg.Connection, asked: UUID, key: bytes) -> Sealed | None:
    """The message that a request of the action 'look' is for; None where it is there no more.

    Raises:
        AuditRefused: The request is not this log-in's, not committed, or older than 15 minutes.
        WarehouseError: Postgres is down.
    """
    rows = audit.call(
        connection,
        "SELECT message_id, sent_at, event_id_sealed, body_sealed"
        " FROM pipeline.open_quarantined(%s)",
        (asked,),
    )
    return Sealed(key, *rows[0]) if rows else None


def take(connection: psycopg.Connection, asked: UUID, beyond: bytes) -> list[Sealed]:
    """Takes up to ten messages out of the quarantine, within the caller's transaction.

    It ends with `settle`, or the commit is refused.

    Args:
        connection: A custodian's, in a transaction.
        asked: A request of the action 'redrive'.
        beyond: Only those with a greater key; the last one that was taken before.

    Raises:
        AuditRefused: The request is not this log-in's, not committed, or older than a day.
        WarehouseError: Postgres is down.
    """
    rows = audit.call(
        connection,
        "SELECT key, message_id, sent_at, event_id_sealed, body_sealed"
        " FROM pipeline.take_quarantined(%s, %s) ORDER BY key",
        (asked, beyond),
    )
    return [Sealed(*row) for row in rows]


def settle(connection: psycopg.Connection, asked: UUID, sent: Sequence[bytes]) -> None:
    """Notes what was sent of that which was taken, and puts the others back, as they were.

    Raises:
        AuditRefused: As `take`.
        WarehouseError: Postgres is down.
    """
    audit.call(connection, "SELECT pipeline.settle_taken(%s, %s)", (asked, list(sent)))


def purge(connection: psycopg.Connection, asked: UUID, beyond: bytes) -> list[bytes]:
    """Destroys some of those that a request of the action 'purge' is for, beyond a key; their keys.

    Raises:
        AuditRefused: As `take`.
        WarehouseError: Postgres is down.
    """
    rows = audit.call(
        connection,
        "SELECT key FROM pipeline.purge_quarantined(%s, %s, %s) ORDER BY key",
        (asked, beyond, _PURGED_AT_ONCE),
    )
    return [bytes(key) for (key,) in rows]


def close(connection: psycopg.Connection, asked: UUID, action: Literal["redrive", "purge"]) -> None:
    """Records that a request has come to its end, and how many messages have left by it.

    Raises:
        AuditRefused: As `take`.
        WarehouseError: Postgres is down.
    """
    audit.call(connection, "SELECT pipeline.close_request(%s, %s)", (asked, action))


def _parameters(selection: Selection) -> tuple[object, ...]:
    keys, reasons = _lists(selection)
    return (selection.feed, keys, keys, reasons, reasons, selection.age)


def _lists(selection: Selection) -> list[object]:
    """Keys and reasons as the driver takes them."""
    return [None if e is None else list(e) for e in (selection.keys, selection.reasons)]
