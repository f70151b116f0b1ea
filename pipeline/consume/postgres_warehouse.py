"""The warehouse of a feed in Postgres: the connections behind `pipeline.consume.ports`."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import psycopg

from pipeline.consume.ports import Contended
from pipeline.consume.postgres_transaction import PostgresTransaction
from pipeline.consume.readiness import check_sink
from pipeline.contract import Feed
from pipeline.masking.keyring import Keyring, KeyStore
from pipeline.resources import postgres
from pipeline.resources.postgres import Refusal, classify


class PostgresWarehouse:
    """The warehouse of one feed; it holds no connection between two calls.

    Args:
        feed: The contract.
        url: Where it is.
        keyring: Where the keys are kept.
    """

    def __init__(self, feed: Feed, url: str, keyring: KeyStore) -> None:
        self._feed = feed
        self._url = url
        self._keyring = keyring

    def check(self) -> Keyring:
        """As `pipeline.consume.readiness.check_sink`."""
        return check_sink(self._feed, url=self._url, keyring=self._keyring)

    def find_settled(self, keys: Sequence[bytes]) -> frozenset[bytes]:
        """As the port says."""
        with postgres.translated(feed=self._feed.name), postgres.connect(self._url) as connection:
            rows = connection.execute(
                "SELECT key FROM pipeline.ledger WHERE feed = %s AND key = ANY(%s)",
                (self._feed.name, list(keys)),
            )
            return frozenset(bytes(key) for (key,) in rows)

    @contextmanager
    def begin(self) -> Iterator[PostgresTransaction]:
        """As the port says."""
        try:
            # A connection's own context does not close it where the commit fails.
            with closing(postgres.connect(self._url)) as connection, connection:
                yield PostgresTransaction(self._feed, connection)
        except psycopg.Error as error:
            translated = postgres.translate(error, feed=self._feed.name)
            if classify(error) is Refusal.CONTENDED:
                raise Contended(translated) from None
            raise translated from None
