"""One transaction in which a batch is settled: the statements behind `pipeline.consume.ports`."""

from collections import Counter
from collections.abc import Iterable, Sequence

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from pipeline.consume import vault
from pipeline.consume.batch import Account, Reject
from pipeline.consume.ports import RowRefused
from pipeline.consume.quarantine import quarantine
from pipeline.contract import Feed
from pipeline.masking.keyring import Keyring
from pipeline.masking.vault import VaultRow
from pipeline.resources import postgres
from pipeline.resources.postgres import Refusal, classify, describe
from pipeline.warehouse.tables import column_types, table_name


class PostgresTransaction:
    """One transaction; the connection's context commits it, or undoes it on an error."""

    def __init__(self, feed: Feed, connection: psycopg.Connection) -> None:
        self._feed = feed
        self._connection = connection

    def stage(self, rows: Iterable[tuple[object, ...]], vault_rows: Sequence[VaultRow]) -> None:
        """Copies the batch into temporary tables of the contract's own types."""
        # What a deferred constraint refuses is to be refused by the row's own statement.
        self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in column_types(self._feed).items()
        )
        self._connection.execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE incoming (__position integer PRIMARY KEY, __key bytea,"
                " __content bytea, {}) ON COMMIT DROP"
            ).format(columns)
        )
        postgres.copy(self._connection, "incoming", rows)
        vault.stage(self._connection, self._feed, vault_rows)

    def insert(self, first: int, end: int) -> tuple[int, int]:
        """As the port says; within a savepoint."""
        try:
            with self._connection.transaction():
                return self._insert(first, end)
        except psycopg.Error as error:
            if classify(error) is Refusal.ROW:
                raise RowRefused(describe(error)) from None
            raise

    def _insert(self, first: int, end: int) -> tuple[int, int]:
        """One statement: only what the ledger did not know reaches the table."""
        names = [sql.Identifier(name) for name in column_types(self._feed)]
        row = self._connection.execute(
            sql.SQL(
                """
                WITH settled AS (
                    INSERT INTO pipeline.ledger (feed, key, content)
                    SELECT %(feed)s, __key, __content FROM pg_temp.incoming
                    WHERE __position >= %(first)s AND __position < %(end)s
                    ORDER BY __position
                    ON CONFLICT DO NOTHING RETURNING key
                ), inserted AS (
                    INSERT INTO {table} ({names})
                    SELECT {values} FROM pg_temp.incoming JOIN settled ON settled.key = __key
                    ORDER BY __position
                    RETURNING 1
                ){vaulted}
                SELECT (SELECT count(*) FROM settled), (SELECT count(*) FROM inserted)
                """
            ).format(
                table=table_name(self._feed),
                vaulted=vault.additions(self._feed),
                names=sql.SQL(", ").join(names),
                # A feed may have a column of the name `key` too.
                values=sql.SQL(", ").join(sql.SQL("incoming.{}").format(name) for name in names),
            ),
            {"feed": self._feed.name, "first": first, "end": end},
        ).fetchone()
        assert row is not None  # noqa: S101 - two aggregates are always one row
        return row[0], row[1]

    def compare(self) -> list[tuple[int, bool]]:
        """As the port says."""
        rows = self._connection.execute(
            """
            SELECT __position, known.content = __content
            FROM pg_temp.incoming
            JOIN pipeline.ledger AS known ON known.feed = %s AND known.key = __key
            """,
            (self._feed.name,),
        )
        return rows.fetchall()

    def count_quarantined(self, keys: Sequence[bytes]) -> int:
        """As the port says."""
        row = self._connection.execute(
            "SELECT count(*) FROM pipeline.quarantine WHERE feed = %s AND key = ANY(%s)",
            (self._feed.name, list(keys)),
        ).fetchone()
        return 0 if row is None else int(row[0])

    def quarantine(self, rejects: Sequence[Reject], keyring: Keyring) -> Counter[str]:
        """As `pipeline.consume.quarantine.quarantine`."""
        return quarantine(self._connection, self._feed, keyring, rejects)

    def record(self, account: Account, run_id: str, batch_id: str) -> None:
        """As the port says."""
        numbers = (account.received, account.loaded, account.duplicate)
        others = (account.quarantined.total(), account.released)
        reasons = Jsonb({str(reason): count for reason, count in account.quarantined.items()})
        self._connection.execute(
            """
            INSERT INTO pipeline.account
                (batch_id, feed, run_id, received, loaded, duplicate, quarantined, released,
                 reasons)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            (batch_id, self._feed.name, run_id, *numbers, *others, reasons),
        )
