"""Whether a batch could be masked and loaded now: asked before anything is received."""

from contextlib import closing

import psycopg

from pipeline.consume.ports import RowRefused
from pipeline.consume.postgres_transaction import PostgresTransaction
from pipeline.contract import Feed
from pipeline.errors import TableMismatch
from pipeline.masking.keyring import Keyring, KeyStore
from pipeline.masking.mask import mask
from pipeline.masking.policies import Vault
from pipeline.resources import postgres
from pipeline.warehouse.fitness import check_fitness
from pipeline.warehouse.tables import obtain_keyring, prepare

_REHEARSAL = """
WITH ledger AS (
    INSERT INTO pipeline.ledger (feed, key, content)
    VALUES ('', uuid_send(gen_random_uuid()), '')
), quarantine AS (
    INSERT INTO pipeline.quarantine
        (feed, key, message_id, reason, receive_count, sent_at, event_id_sealed, body_sealed)
    VALUES ('', uuid_send(gen_random_uuid()), '', '', 0, now(), '', '')
)
INSERT INTO pipeline.account
    (batch_id, feed, run_id, received, loaded, duplicate, quarantined, released)
VALUES (gen_random_uuid(), '', '', 0, 0, 0, 0, 0)
"""

_VAULT_REHEARSAL = """
INSERT INTO pipeline.vault (feed, field, token, subject, sealed)
SELECT '', '', gen_random_uuid()::text, '', ''
WHERE NOT EXISTS (SELECT FROM pipeline.forgotten WHERE feed = '' AND field = '' AND subject = '')
ON CONFLICT DO NOTHING
"""


# A commit in earnest, which leaves nothing behind: the server writes its log, waits for the disk
# and for its standby if it has a synchronous one. Where that fails, each batch would fail last.
_COMMIT_REHEARSAL = "SELECT pg_logical_emit_message(true, 'pipeline', '')"


def check_sink(feed: Feed, *, url: str, keyring: KeyStore) -> Keyring:
    """Makes sure of the warehouse, the feed's table and the keyring; returns the keyring.

    Raises:
        WarehouseUnavailable: Postgres is down or takes no writes.
        TableMismatch: The feed's table differs from its contract, a right is missing, or what is
            committed would not be kept as it was sent.
        KeyringError: The keyring is missing, readable by others, or not the warehouse's; or it
            lacks a version that the contract names.
    """
    with closing(postgres.connect(url)) as connection, postgres.translated(feed=feed.name):
        prepare(connection, feed)
        check_fitness(connection, feed)
        keys = obtain_keyring(connection, keyring)
        _rehearse(connection, feed, keys)
    _rehearse_masking(feed, keys)
    return keys


def _rehearse_masking(feed: Feed, keys: Keyring) -> None:
    """Masks a batch of nothing: every key that a policy asks for is derived."""
    # Late, as in `mask`. It takes its time here, before anything is received.
    import pandas as pd  # noqa: PLC0415

    mask(feed, pd.DataFrame(columns=[each.name for each in feed.fields], dtype=object), keys)


def _rehearse(connection: psycopg.Connection, feed: Feed, keys: Keyring) -> None:
    """Does what a load does, on no row of the feed: a commit, and writes that are undone.

    A server may answer and yet take no writes: read-only after a failover, full, its table
    locked by a migration, a right revoked. Each batch received then would cost its messages one
    of their deliveries.
    """
    connection.execute(_COMMIT_REHEARSAL)
    connection.commit()  # not of a savepoint, whatever was read before
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL lock_timeout = '2s'")
        _load_nothing(feed, connection, keys)
        connection.execute(_REHEARSAL)
        if any(isinstance(each.policy, Vault) for each in feed.columns):
            connection.execute(_VAULT_REHEARSAL)


def _load_nothing(feed: Feed, connection: psycopg.Connection, keys: Keyring) -> None:
    """The statements of a load themselves: each right that one of them needs is asked for."""
    transaction = PostgresTransaction(feed, connection)
    transaction.stage((), ())
    try:
        transaction.insert(0, 0)
    except RowRefused as refused:
        raise TableMismatch(
            f"table {feed.table} refuses an insert of no row ({refused.cause})",
            remedy="Look for a trigger that fails for each statement; nothing was received",
            feed=feed.name,
        ) from None
    transaction.compare()
    transaction.count_quarantined(())
    transaction.quarantine((), keys)
