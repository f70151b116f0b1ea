"""Whether a batch could be masked and loaded now: asked before anything is received."""

from contextlib import closing
from pathlib import Path

from pipeline.consume.tables import check_fingerprint, prepare, recall_fingerprint
from pipeline.contract import Feed
from pipeline.masking.keyring import Keyring
from pipeline.resources import postgres


def check_sink(feed: Feed, *, url: str, keyring: Path) -> Keyring:
    """Makes sure of the warehouse, the feed's table and the keyring; returns the keyring.

    A key is made on first use only for a warehouse that has not been filled with another.

    Raises:
        WarehouseUnavailable: Postgres is down or takes no writes.
        TableMismatch: The feed's table differs from its contract.
        KeyringError: The keyring is missing, readable by others, or not the warehouse's.
    """
    with closing(postgres.connect(url)) as connection, postgres.translated(feed=feed.name):
        prepare(connection, feed)
        new = recall_fingerprint(connection) is None
        keys = Keyring.load_or_make(keyring) if new else Keyring.load(keyring)
        check_fingerprint(connection, keys.fingerprint)
    return keys
