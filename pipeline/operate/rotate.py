"""Gives the pseudonyms of a table the current key version, in place, while loads go on.

What is left to do shows in the pseudonyms themselves, so a rotation that was killed goes on where
it was. Earlier pseudonyms, in exports and in people's notes, still open as long as the keyring
keeps their versions.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from pipeline.contract import Feed, Field
from pipeline.errors import TableMismatch, TokenError
from pipeline.masking.keyring import Keyring
from pipeline.masking.policies import IpCrypt
from pipeline.operate.columns import PSEUDONYMS, RENEWABLE, columns_of
from pipeline.operate.custody import connected, load_keyring, not_the_owner
from pipeline.operate.page_range import PageRange, Tally, renew_range
from pipeline.resources.outside import Outside
from pipeline.warehouse import audit
from pipeline.warehouse.audit import Request
from pipeline.warehouse.tables import table_name

PAGES = 1_000
"""Pages of a range: 8 MB of the table, some ten thousand rows."""

# A table has its rows in itself and in what inherits from it: partitions, and theirs.
_LEAVES = """
WITH RECURSIVE part (oid) AS (
    SELECT %s::regclass::oid
    UNION SELECT inhrelid FROM pg_inherits JOIN part ON inhparent = part.oid
)
SELECT nspname, relname, relkind = 'r', has_any_column_privilege(part.oid, 'UPDATE') FROM part
JOIN pg_class ON pg_class.oid = part.oid JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind <> 'p' ORDER BY 1, 2
"""
_MAY_RECORD = """
SELECT has_table_privilege('pipeline.vault', 'UPDATE') AND has_function_privilege(
    'pipeline.record(text, text, text, text[], text, text, text)', 'EXECUTE')
"""
_SIZE = "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::bigint"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be rotated, and why.

    Attributes:
        feed: Whose table.
        reason: Why, in words that an auditor will understand.
        stated_by: Who asks, by their own account.
        pages: Pages of the table in one transaction; they bound the memory too.
    """

    feed: Feed
    reason: str
    stated_by: str
    pages: int = PAGES


@dataclass(frozen=True, slots=True)
class Rotation:
    """What became of a table.

    Attributes:
        feed: Whose table.
        version: The current version.
        tally: What became of its values; what was left is counted once, at the end.
    """

    feed: Feed
    version: int
    tally: Tally = field(default_factory=Tally)

    def lines(self) -> Iterator[str]:
        """The report, for people."""
        yield f"current key version: {self.version}"
        for column in columns_of(self.feed, PSEUDONYMS):
            yield f"{column.name}: {self.account(column)}"

    def account(self, column: Field) -> str:
        """What became of one column."""
        if isinstance(column.policy, IpCrypt):
            return "as it was: the contract says its key version"
        if not isinstance(column.policy, RENEWABLE):
            return "as it was: one-way, so nobody can give it another key"
        name, tally = column.name, self.tally
        return (
            f"{tally.renewed[name]} values renewed,"
            f" {tally.forgotten[name]} left of what is not in the vault,"
            f" {tally.unopened[name]} left that do not open"
        )

    def check(self) -> None:
        """Whether every pseudonym opened.

        Raises:
            TokenError: Some did not; it names a few of them.
        """
        for column, rows in self.tally.unopened.items():
            named = ", ".join(self.tally.samples[column]) or "none has the shape of a pseudonym"
            raise TokenError(
                f"{rows} rows hold what does not open, and were left as they are: {named}",
                remedy="Find out where they come from: another keyring, or not this pipeline",
                feed=self.feed.name,
                field=column,
            )


def rotate(outside: Outside, order: Order, tell: Callable[[str], None]) -> Rotation:
    """Gives all pseudonyms of a feed's table the current version.

    A load that began with the earlier key may still write some after the last look: they open as
    well, and the next rotation finds them.

    Args:
        outside: Where the warehouse and the keys are.
        order: What and why.
        tell: Gets a line of progress after each transaction.

    Raises:
        KeyringError: The keyring cannot be had, or is not the warehouse's.
        TableMismatch: The log-in is not the owner's, or the rows are not in tables of this
            database: nothing was done. A constraint or a trigger stands against it: what was done
            stays done.
        WarehouseError: Postgres is down, or others held on to the rows; as above.
        AuditRefused: The reason is missing.
    """
    feed = order.feed
    keyring = load_keyring(outside, outside.owner_url(), feed, log_in="owner")
    done = Rotation(feed, keyring.current)
    columns = columns_of(feed, RENEWABLE)
    with connected(outside.owner_url(), "owner", feed=feed.name) as connection:
        _leaves(connection, feed)
        if connection.execute(_MAY_RECORD).fetchone() != (True,):
            raise not_the_owner(feed.name)
        for column in columns:
            _record(connection, order, column, f"to version {keyring.current}: begun")
        while columns:
            found = _go_through(connection, order, keyring, tell)
            # The last pass sees all that is left; what was renewed is done once.
            for counter in (done.tally.forgotten, done.tally.unopened):
                counter.clear()
            done.tally.add(found)
            if not found.renewed:
                break
        for column in columns:
            account = f"to version {keyring.current}: {done.account(column)}"
            _record(connection, order, column, account)
    return done


def _go_through(
    connection: psycopg.Connection, order: Order, keyring: Keyring, tell: Callable[[str], None]
) -> Tally:
    """One pass over the table."""
    found = Tally()
    for leaf in _leaves(connection, order.feed):
        first = 0
        # Asked each time: what is renewed moves to the end, and loads add to it.
        while first < (size := _size(connection, leaf)):
            end = first + order.pages
            found.add(renew_range(connection, PageRange(order.feed, leaf, first, end), keyring))
            tell(f"{min(end, size)} of {size} pages, {found.renewed.total()} values renewed")
            first = end
    return found


def _leaves(connection: psycopg.Connection, feed: Feed) -> list[sql.Identifier]:
    """The tables that hold the feed's rows, which are all that there are and can be written."""
    table = table_name(feed).as_string(connection)
    leaves = []
    for schema, name, is_table, may_update in connection.execute(_LEAVES, (table,)).fetchall():
        if not is_table:
            raise TableMismatch(
                f"{schema}.{name} is no table of this database, but a view or a foreign one",
                remedy="Name the table itself in the contract, or detach the partition; what is"
                " there was left as it is",
                feed=feed.name,
            )
        if not may_update:
            raise not_the_owner(feed.name)
        leaves.append(sql.Identifier(schema, name))
    return leaves


def _size(connection: psycopg.Connection, leaf: sql.Identifier) -> int:
    """The pages of a table."""
    row = connection.execute(_SIZE, (leaf.as_string(connection),)).fetchone()
    return 0 if row is None else int(row[0])


def _record(connection: psycopg.Connection, order: Order, column: Field, detail: str) -> None:
    request = Request(order.feed.name, column.path, (), order.reason, order.stated_by)
    audit.record(connection, "rotate", request, detail=detail)
