"""Seals the messages that break their contract, and keeps them for a person to look at."""

from collections import Counter
from collections.abc import Sequence

import psycopg

from pipeline.consume.batch import Reject
from pipeline.consume.settlement import quarantine_key
from pipeline.contract import Feed
from pipeline.errors import AccountError
from pipeline.masking.keyring import Keyring
from pipeline.resources import postgres


def quarantine(
    connection: psycopg.Connection, feed: Feed, keyring: Keyring, rejects: Sequence[Reject]
) -> Counter[str]:
    """Puts the rejects into the quarantine, within the transaction of their batch.

    Returns:
        How many were new, by reason code. The others lie there already: they are duplicates.

    Raises:
        AccountError: The table dropped one without an error.
    """
    connection.execute(
        # Not LIKE pipeline.quarantine, which asks for the right to read all of it.
        """
        CREATE TEMPORARY TABLE refused (
            feed text, key bytea, message_id text, reason text, field text,
            receive_count integer, sent_at timestamptz, event_id_sealed bytea, body_sealed bytea
        ) ON COMMIT DROP
        """
    )
    sealed = {quarantine_key(reject.entry): _sealed(feed, keyring, reject) for reject in rejects}
    postgres.copy(connection, "refused", [sealed[key] for key in sorted(sealed)])
    rows = connection.execute(
        """
        INSERT INTO pipeline.quarantine
            (feed, key, message_id, reason, field, receive_count, sent_at, event_id_sealed,
             body_sealed)
        SELECT feed, key, message_id, reason, field, receive_count, sent_at, event_id_sealed,
               body_sealed
        FROM pg_temp.refused ORDER BY key
        ON CONFLICT DO NOTHING RETURNING reason
        """
    )
    new = Counter(reason for (reason,) in rows)
    # What lay there when it was inserted, and was redriven since, counts as well.
    lying = connection.execute(
        """
        SELECT count(*) FROM (
            SELECT feed, key FROM pg_temp.refused JOIN pipeline.quarantine USING (feed, key)
            UNION
            SELECT feed, key FROM pg_temp.refused JOIN pipeline.quarantine_left USING (feed, key)
            WHERE left_at >= now()
        ) AS found
        """
    ).fetchone()
    if lying != (len(sealed),):
        raise AccountError(
            "the quarantine did not take every message that was refused",
            remedy="Look for a trigger or a rule that drops entries; nothing was committed",
            feed=feed.name,
        )
    return new


def _sealed(feed: Feed, keyring: Keyring, reject: Reject) -> tuple[object, ...]:
    message = reject.entry.message
    return (
        feed.name,
        quarantine_key(reject.entry),
        message.message_id,
        reject.reason.value,
        reject.field,
        message.receive_count,
        message.sent_at,
        None if message.event_id is None else _seal(feed, keyring, message.event_id),
        _seal(feed, keyring, message.body),
    )


def _seal(feed: Feed, keyring: Keyring, text: str) -> bytes:
    return keyring.seal(feed.name, text.encode(errors="surrogatepass"))
