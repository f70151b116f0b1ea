"""The tables: a feed's own, made from its contract or held against it, and those of ours."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from pipeline.contract import Feed
from pipeline.errors import KeyringError, TableMismatch

# One lock for everybody who makes tables: two first runs at once must not both try.
_MAKING = 7_235_401_889_116_203_520

OWN_TABLES = """
CREATE SCHEMA IF NOT EXISTS pipeline;
CREATE TABLE IF NOT EXISTS pipeline.ledger (
    feed text NOT NULL,
    key bytea NOT NULL,
    content bytea NOT NULL,
    settled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed, key)
);
-- Rows come in the order of their time: a block range index is enough, and costs next to nothing.
CREATE INDEX IF NOT EXISTS ledger_settled_at ON pipeline.ledger USING brin (settled_at);
CREATE TABLE IF NOT EXISTS pipeline.quarantine (
    feed text NOT NULL,
    key bytea NOT NULL,
    message_id text NOT NULL,
    reason text NOT NULL,
    field text,
    receive_count integer NOT NULL,
    sent_at timestamptz NOT NULL,
    quarantined_at timestamptz NOT NULL DEFAULT now(),
    body_sealed bytea NOT NULL,
    PRIMARY KEY (feed, key)
);
CREATE TABLE IF NOT EXISTS pipeline.account (
    batch_id uuid PRIMARY KEY,
    feed text NOT NULL,
    run_id text NOT NULL,
    received integer NOT NULL,
    loaded integer NOT NULL,
    duplicate integer NOT NULL,
    quarantined integer NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS account_feed ON pipeline.account (feed, committed_at);
CREATE TABLE IF NOT EXISTS pipeline.keyring (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    fingerprint bytea NOT NULL
);
"""

_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef,
       has_column_privilege(a.attrelid, a.attnum, 'INSERT')
FROM pg_attribute a
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attidentity = '' AND a.attgenerated = ''
"""

_VARCHAR = re.compile(r"(?:varchar|character varying)\((?P<length>[0-9]+)\)")
_PRETTY = {"timestamp with time zone": "timestamptz"}
_WIDER = {"integer": {"bigint", "numeric"}, "bigint": {"numeric"}}


@dataclass(frozen=True, slots=True)
class _Column:
    type: str
    not_null: bool
    has_default: bool
    writable: bool


def table_name(feed: Feed) -> sql.Identifier:
    """The feed's table, qualified and quoted."""
    return sql.Identifier(*feed.schema_and_table)


def column_types(feed: Feed) -> dict[str, str]:
    """The SQL type of each column, as the contract has it."""
    return {each.name: each.policy.sql(each.type) for each in feed.fields}


def are_made(connection: psycopg.Connection, feed: Feed) -> bool:
    """Whether the feed's table and ours are there: whether anything can have been loaded."""
    table = table_name(feed).as_string(connection)
    return _exists(connection, "pipeline.keyring") and _exists(connection, table)


def prepare(connection: psycopg.Connection, feed: Feed) -> None:
    """Makes what is missing, and holds the feed's table against its contract.

    Raises:
        TableMismatch: The table lacks a column, has one of another type or one that must be
            filled and is not named by the contract, or the role may not insert.
    """
    with connection.transaction():
        if not _exists(connection, "pipeline.keyring"):
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
            connection.execute(OWN_TABLES)
        if not _columns(connection, feed):
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
            if not _exists_schema(connection, feed):
                schema, _ = feed.schema_and_table
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
            connection.execute(_create_statement(feed))
        found = _columns(connection, feed)
    for field, rule in _differences(feed, found):
        raise TableMismatch(
            f"table {feed.table} differs from its contract",
            remedy="Alter the table or correct the contract; nothing was received",
            feed=feed.name,
            field=field,
            rule=rule,
        )


def recall_fingerprint(connection: psycopg.Connection) -> bytes | None:
    """The fingerprint of the keyring that this warehouse was filled with; None for a new one."""
    row = connection.execute("SELECT fingerprint FROM pipeline.keyring").fetchone()
    connection.commit()
    return None if row is None else bytes(row[0])


def check_fingerprint(connection: psycopg.Connection, fingerprint: bytes) -> None:
    """Ties the warehouse to its keyring: another key would give a person a second pseudonym.

    Raises:
        KeyringError: The warehouse was filled with another keyring.
    """
    with connection.transaction():
        connection.execute(
            "INSERT INTO pipeline.keyring (fingerprint) VALUES (%s) ON CONFLICT DO NOTHING",
            (fingerprint,),
        )
    if recall_fingerprint(connection) != fingerprint:
        raise KeyringError(
            "this is not the keyring that the warehouse was filled with",
            remedy="Point PIPELINE_KEYRING at the right file; nothing was received",
        )


def _exists(connection: psycopg.Connection, table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone()
    return row is not None and bool(row[0])


def _exists_schema(connection: psycopg.Connection, feed: Feed) -> bool:
    schema, _ = feed.schema_and_table
    row = connection.execute("SELECT to_regnamespace(%s) IS NOT NULL", (schema,)).fetchone()
    return row is not None and bool(row[0])


def _create_statement(feed: Feed) -> sql.Composed:
    # No NOT NULL: the contract holds the rows, and a given table is to look like a made one.
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
        for name, kind in column_types(feed).items()
    )
    return sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(table_name(feed), columns)


def _columns(connection: psycopg.Connection, feed: Feed) -> dict[str, _Column]:
    rows = connection.execute(_COLUMNS, (table_name(feed).as_string(connection),))
    return {name: _Column(*column) for name, *column in rows}


def _differences(feed: Feed, found: dict[str, _Column]) -> Iterator[tuple[str, str]]:
    declared = column_types(feed)
    nullable = {each.name for each in feed.fields if each.nullable}
    for name, kind in declared.items():
        if name not in found:
            yield name, "the table lacks this column"
        elif not _holds(found[name].type, kind):
            yield name, f"the column is {found[name].type}, the contract wants {kind}"
        elif name in nullable and found[name].not_null:
            yield name, "the contract allows null, the column does not"
        elif not found[name].writable:
            yield name, "the role may not insert into this column"
    for name, column in found.items():
        if name not in declared and column.not_null and not column.has_default:
            yield name, "the column must be filled, and the contract does not name it"


def _holds(actual: str, declared: str) -> bool:
    """Whether a column of the actual type holds every value of the declared one."""
    wanted = _VARCHAR.fullmatch(declared)
    if wanted is None:
        return _PRETTY.get(actual, actual) == declared or actual in _WIDER.get(declared, ())
    found = _VARCHAR.fullmatch(actual)
    if found is None:
        return actual in {"text", "character varying"}
    return int(found["length"]) >= int(wanted["length"])
