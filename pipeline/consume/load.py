"""Settles a masked batch in one transaction: rows, ledger, quarantine and account together.

How one row comes of many deliveries: docs/decisions/0003-exactly-once-from-at-least-once.md.
"""

import random
import time
import uuid
from contextlib import closing
from dataclasses import dataclass

import psycopg
from psycopg import sql

from pipeline.consume import vault
from pipeline.consume.batch import Account, Decoded, Entry, Reject
from pipeline.consume.quarantine import quarantine
from pipeline.consume.settlement import quarantine_key
from pipeline.contract import Feed
from pipeline.errors import AccountError, TableMismatch
from pipeline.masking.keyring import Keyring
from pipeline.reasons import Reason
from pipeline.resources import postgres
from pipeline.resources.postgres import Refusal, classify, describe
from pipeline.warehouse.tables import column_types, table_name

_ATTEMPTS = 5
_FIRST_PAUSE = 0.05  # seconds; doubles, with jitter
# So many rows and no others, all refused alike: then it is the table, not the rows. Looking at
# all rows of a batch ten are enough; on the way through it, the good ones may be yet to come.
_ALL_ALIKE = 10
_MANY_ALIKE = 100


@dataclass(frozen=True, slots=True)
class Load:
    """A masked batch, and what is needed to settle it.

    Attributes:
        feed: The contract.
        batch: The batch; its frame holds masked values only.
        keyring: Seals the bodies of what goes to the quarantine.
        run_id: The run that settles it, for the account.
    """

    feed: Feed
    batch: Decoded
    keyring: Keyring
    run_id: str


def settle(load: Load, url: str) -> Account:
    """Settles the batch; when this returns, it has committed.

    A transaction that loses against another one is tried again as a whole.

    Raises:
        WarehouseUnavailable: Also where the answer to COMMIT was lost: whether the batch is in
            is then not known, and its redelivery will tell by the ledger.
        TableMismatch: The table refuses the batch, whatever the row.
        AccountError: The counts do not add up; nothing was committed.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            # A connection's own context does not close it where the commit fails.
            with closing(postgres.connect(url)) as connection, connection:
                return _Transaction(load, connection).settle()
        except psycopg.Error as error:
            if classify(error) is not Refusal.CONTENDED or attempt == _ATTEMPTS:
                raise postgres.translate(error, feed=load.feed.name) from None
        time.sleep(_FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - jitter


@dataclass(frozen=True, slots=True)
class _Offender:
    position: int
    cause: str


class _Transaction:
    """One attempt. Leaving the connection's context commits it, or undoes it on an error."""

    def __init__(self, load: Load, connection: psycopg.Connection) -> None:
        self._load = load
        self._feed = load.feed
        self._connection = connection
        # In key order, so that two runs never wait for each other in a circle.
        entries = load.batch.entries
        self._order = sorted(range(len(entries)), key=lambda place: entries[place].key)
        self._offenders: list[_Offender] = []
        self._loaded = 0
        self._passed = 0  # rows that the table took, or the ledger knew

    def settle(self) -> Account:
        # What a deferred constraint refuses is to be refused by the row's own statement.
        self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        self._stage()
        vault.stage(self._connection, self._feed, self._load.batch.vault)
        self._insert(0, len(self._order))
        self._consider_the_table(_ALL_ALIKE)
        settled_before, conflicts = self._compare_with_ledger()
        rejects = [
            *self._load.batch.rejects,
            *(Reject(self._entry(o.position), Reason.REFUSED_BY_DATABASE) for o in self._offenders),
            *(Reject(self._entry(position), Reason.CONFLICT) for position in conflicts),
        ]
        quarantined = quarantine(self._connection, self._feed, self._load.keyring, rejects)
        account = Account(
            received=self._load.batch.received,
            loaded=self._loaded,
            duplicate=self._load.batch.duplicates
            + (settled_before - self._loaded)
            + (len(rejects) - quarantined.total()),
            quarantined=quarantined,
            released=self._load.batch.released,
        )
        self._record(account)
        return account

    def _entry(self, position: int) -> Entry:
        return self._load.batch.entries[self._order[position]]

    def _stage(self) -> None:
        """Copies the batch into a temporary table of the contract's own types."""
        types = column_types(self._feed)
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in types.items()
        )
        self._connection.execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE incoming (__position integer PRIMARY KEY, __key bytea,"
                " __content bytea, {}) ON COMMIT DROP"
            ).format(columns)
        )
        frame = self._load.batch.frame.iloc[self._order]
        entries = [self._entry(position) for position in range(len(self._order))]
        values = [frame[name].tolist() for name in types]
        keys = [entry.key for entry in entries]
        contents = [entry.content for entry in entries]
        rows = zip(range(len(entries)), keys, contents, *values, strict=True)
        postgres.copy(self._connection, "incoming", rows)

    def _insert(self, first: int, end: int) -> None:
        """Moves a range of rows into ledger and table; splits it where one row is refused."""
        if first == end:
            return
        try:
            with self._connection.transaction():
                settled, inserted = self._insert_together(first, end)
        except psycopg.Error as error:
            if classify(error) is not Refusal.ROW:
                raise
            if end - first == 1:
                self._isolate(first, describe(error))
                return
            middle = (first + end) // 2
            self._insert(first, middle)
            self._insert(middle, end)
            return
        if settled != inserted:
            raise AccountError(
                f"table {self._feed.table} took {inserted} of {settled} rows without an error",
                remedy="Look for a trigger or a rule that drops rows; nothing was committed",
                feed=self._feed.name,
            )
        self._loaded += inserted
        self._passed += end - first

    def _insert_together(self, first: int, end: int) -> tuple[int, int]:
        """One statement: only what the ledger did not know reaches the table."""
        names = [sql.Identifier(name) for name in column_types(self._feed)]
        row = self._connection.execute(
            sql.SQL(
                """
                WITH settled AS (
                    INSERT INTO pipeline.ledger (feed, key, content)
                    SELECT %(feed)s, __key, __content FROM incoming
                    WHERE __position >= %(first)s AND __position < %(end)s
                    ORDER BY __position
                    ON CONFLICT DO NOTHING RETURNING key
                ), inserted AS (
                    INSERT INTO {table} ({names})
                    SELECT {values} FROM incoming JOIN settled ON settled.key = __key
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

    def _isolate(self, position: int, cause: str) -> None:
        self._offenders.append(_Offender(position, cause))
        if len(self._offenders) % _MANY_ALIKE == 0:  # to isolate each of thousands takes minutes
            self._consider_the_table(_MANY_ALIKE)

    def _consider_the_table(self, enough: int) -> None:
        """Stops where that many rows, and no others, were refused for one and the same cause.

        What lies in the quarantine already was refused by a batch that did commit, and comes
        again because its acknowledgement was lost: it proves nothing.
        """
        causes = {offender.cause for offender in self._offenders}
        if self._passed or len(self._offenders) < enough or len(causes) > 1:
            return
        keys = [quarantine_key(self._entry(offender.position)) for offender in self._offenders]
        known = self._connection.execute(
            "SELECT count(*) FROM pipeline.quarantine WHERE feed = %s AND key = ANY(%s)",
            (self._feed.name, keys),
        ).fetchone()
        if known and len(self._offenders) - known[0] < enough:
            return
        raise TableMismatch(
            f"table {self._feed.table} refuses one row after the other ({causes.pop()})",
            remedy="Compare the table's constraints with the contract; "
            "the messages stay on the queue",
            feed=self._feed.name,
        )

    def _compare_with_ledger(self) -> tuple[int, list[int]]:
        """How many rows the ledger has with the same content, and which with another."""
        rows = self._connection.execute(
            """
            SELECT __position, known.content = __content
            FROM incoming JOIN pipeline.ledger AS known ON known.feed = %s AND known.key = __key
            """,
            (self._feed.name,),
        ).fetchall()
        return sum(same for _, same in rows), [position for position, same in rows if not same]

    def _record(self, account: Account) -> None:
        if not account.adds_up:
            raise AccountError(
                f"the account of this batch does not add up: {account}",
                remedy="Nothing was committed; look for a trigger or a rule on the tables",
                feed=self._feed.name,
            )
        numbers = (account.received, account.loaded, account.duplicate)
        others = (account.quarantined.total(), account.released)
        self._connection.execute(
            """
            INSERT INTO pipeline.account
                (batch_id, feed, run_id, received, loaded, duplicate, quarantined, released)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
            """,
            (uuid.uuid4(), self._feed.name, self._load.run_id, *numbers, *others),
        )
