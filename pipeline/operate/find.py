"""Finds what became of one event: its entry in the ledger or the quarantine, its batch, its run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import psycopg

from pipeline.consume.settlement import Identity
from pipeline.contract import Feed
from pipeline.errors import SettingsError
from pipeline.masking.keyring import Keyring
from pipeline.messages import Message
from pipeline.operate.custody import check_keyring
from pipeline.resources import postgres
from pipeline.resources.outside import Outside

# An entry and the account of its batch are written in one transaction, and `now()` is the moment of
# its start: within a feed, equal moments are equal batches.
_LEDGER: Final = """
SELECT 'settled', settled_at, run_id, batch_id::text, NULL, NULL
FROM pipeline.ledger AS entry
LEFT JOIN pipeline.account ON account.feed = entry.feed AND committed_at = settled_at
WHERE entry.feed = %s AND key = %s
"""
_QUARANTINE: Final = """
SELECT 'quarantined', quarantined_at, run_id, batch_id::text, reason, field
FROM pipeline.quarantine AS entry
LEFT JOIN pipeline.account ON account.feed = entry.feed AND committed_at = quarantined_at
WHERE entry.feed = %s AND message_id = %s
"""
_ANY_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Found:
    """What became of an event.

    Attributes:
        state: `settled`, so that it is a row or was one, or `quarantined`.
        at: When its transaction began.
        run_id: The run; None once its account is older than what is kept.
        batch: The batch's id, likewise.
        reason: Why it is in the quarantine.
        field: The column at fault, where one is.
    """

    state: str
    at: datetime
    run_id: str | None
    batch: str | None
    reason: str | None
    field: str | None


def find(
    outside: Outside, feed: Feed, *, event_id: str | None = None, message_id: str | None = None
) -> Sequence[Found]:
    """Looks for an event by its id, and for a message by SQS's.

    Args:
        outside: Where the warehouse and the keys are.
        feed: Whose event.
        event_id: As the producer's answer named it, or the attribute of its message.
        message_id: SQS's. In the ledger it stands only for what came without an event id.

    Raises:
        SettingsError: Neither is given, or the feed's events are named by their fields.
        KeyringError: The keyring cannot be had, or is not the warehouse's.
        TableMismatch: Nothing was ever loaded.
        WarehouseError: Postgres is down, or refuses.
    """
    _check(feed, event_id, message_id)
    keyring = outside.keyring.load()
    with (
        postgres.translated(feed=feed.name),
        postgres.connect(outside.postgres_url) as connection,
    ):
        check_keyring(connection, keyring, feed)
        return [
            *(_settled(connection, feed, keyring, event_id, message_id) if not feed.key else ()),
            *_quarantined(connection, feed, message_id),
        ]


def _check(feed: Feed, event_id: str | None, message_id: str | None) -> None:
    if event_id is None and message_id is None:
        raise SettingsError(
            "neither event nor message is named", remedy="Give --event or --message"
        )
    if feed.key and message_id is None:
        raise SettingsError(
            "the feed knows its events by their key fields, not by their ids",
            remedy="Look the row up by its fields, or what was quarantined by --message",
            feed=feed.name,
        )


def _settled(
    connection: psycopg.Connection,
    feed: Feed,
    keyring: Keyring,
    event_id: str | None,
    message_id: str | None,
) -> list[Found]:
    identity = Identity(feed, keyring.settlement_key(feed.name))
    named = Message(message_id or "", "", "", _ANY_TIME, _ANY_TIME, 1, event_id)
    rows = connection.execute(_LEDGER, (feed.name, identity.entry(named, None).key))
    return [Found(*row) for row in rows]


def _quarantined(connection: psycopg.Connection, feed: Feed, message_id: str | None) -> list[Found]:
    if message_id is None:
        return []
    return [Found(*row) for row in connection.execute(_QUARANTINE, (feed.name, message_id))]
