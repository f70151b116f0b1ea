"""Connections for those who unmask, forget and rotate, and the keyring that they do it with."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg

from pipeline.contract import Feed
from pipeline.errors import TableMismatch
from pipeline.masking.keyring import Keyring
from pipeline.resources import postgres
from pipeline.resources.outside import Outside
from pipeline.warehouse.tables import are_made, compare_keyring


@contextmanager
def connected(url: str, *, feed: str | None = None) -> Iterator[psycopg.Connection]:
    """A connection on which each statement commits, unless a transaction is begun.

    Raises:
        WarehouseError: Postgres is down, or refuses.
    """
    with postgres.translated(feed=feed), closing(postgres.connect(url)) as connection:
        connection.autocommit = True
        # A table without an index on the pseudonyms is read from end to end.
        connection.execute("SET statement_timeout = '1h'")
        yield connection


def load_keyring(outside: Outside, url: str, feed: Feed) -> Keyring:
    """The keyring that the warehouse was filled with.

    With another one every pseudonym would be another: nobody would be found, and nobody forgotten.

    Args:
        outside: Where the keys are.
        url: The warehouse, for a log-in that may see whose keyring it is.
        feed: The contract.

    Raises:
        KeyringError: It cannot be had, or is not the one.
        TableMismatch: Nothing was ever loaded.
        WarehouseError: Postgres is down, or refuses.
    """
    keyring = outside.keyring.load()
    with connected(url, feed=feed.name) as connection:
        if not are_made(connection, feed):
            raise TableMismatch(
                "the table is not there", remedy="Nothing was ever loaded", feed=feed.name
            )
        compare_keyring(connection, keyring)
    return keyring
