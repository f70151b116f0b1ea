"""The tables: a feed's own, made from its contract or held against it, and those of ours."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from pipeline.contract import Feed
from pipeline.errors import KeyringError, TableMismatch
from pipeline.masking.keyring import Keyring, KeyStore
from pipeline.warehouse import access, schema

_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef,
       has_column_privilege(a.attrelid, a.attnum, 'INSERT')
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
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
    return {each.name: each.policy.sql(each.type) for each in feed.columns}


def are_made(connection: psycopg.Connection, feed: Feed) -> bool:
    """Whether the feed's table and ours are there: whether anything can have been loaded."""
    return schema.has_table(connection, schema.SCHEMA, "keyring") and schema.has_table(
        connection, *feed.schema_and_table
    )


def prepare(connection: psycopg.Connection, feed: Feed) -> None:
    """Makes what is missing, and holds the feed's table against its contract.

    Raises:
        TableMismatch: The table lacks a column, has one of another type or one that must be
            filled and is not named by the contract, or the role may not insert.
    """
    with connection.transaction():
        schema.upgrade(connection)
        if not _columns(connection, feed):
            _make(connection, feed)
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


def obtain_keyring(connection: psycopg.Connection, store: KeyStore) -> Keyring:
    """The keyring, tied to this warehouse.

    A key is made on first use only for a warehouse that has not been filled with another:
    docs/decisions/0006-a-warehouse-has-one-keyring.md.

    Raises:
        KeyringError: It cannot be had, or as `compare_keyring`.
    """
    is_new = recall_fingerprint(connection) is None
    keyring = store.load_or_make() if is_new else store.load()
    tie_keyring(connection, keyring)
    return keyring


def tie_keyring(connection: psycopg.Connection, keyring: Keyring) -> None:
    """Ties the warehouse to its keyring, and to each version of it that is used.

    Raises:
        KeyringError: As `compare_keyring`.
    """
    compare_keyring(connection, keyring)
    with connection.transaction():
        connection.execute(
            "INSERT INTO pipeline.keyring (fingerprint) VALUES (%s) ON CONFLICT DO NOTHING",
            (keyring.fingerprint,),
        )
        for version in keyring.fingerprints.items():
            connection.execute(
                "INSERT INTO pipeline.keyring_version (version, fingerprint) VALUES (%s, %s)"
                " ON CONFLICT DO NOTHING",
                version,
            )
    compare_keyring(connection, keyring)  # another one may have been quicker


def compare_keyring(connection: psycopg.Connection, keyring: Keyring) -> None:
    """Makes sure that it is the warehouse's keyring, and that it has not lost a version.

    With another one, a person would get a second pseudonym, and nobody would find the first.

    Raises:
        KeyringError: The warehouse was filled with another keyring, or with a version that this
            one lacks or has another root for.
    """
    if recall_fingerprint(connection) not in {None, keyring.fingerprint}:
        raise KeyringError(
            "this is not the keyring that the warehouse was filled with",
            remedy="Point PIPELINE_KEYRING at the right one; nothing was received or changed",
        )
    known = connection.execute("SELECT version, fingerprint FROM pipeline.keyring_version")
    for version, fingerprint in known.fetchall():
        if keyring.fingerprints.get(version) != bytes(fingerprint):
            raise KeyringError(
                f"the keyring lacks version {version}, or has another root in its place than the"
                " warehouse was filled with",
                remedy="Restore the newest backup of the keyring; nothing was received or changed",
            )


def _make(connection: psycopg.Connection, feed: Feed) -> None:
    schema.lock(connection)
    if _columns(connection, feed):  # another one was quicker
        return
    namespace, _ = feed.schema_and_table
    try:
        if not schema.exists(connection, namespace):
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(namespace)))
        connection.execute(_create_statement(feed))
    except psycopg.errors.InsufficientPrivilege:
        raise schema.not_ours_to_make(f"table {feed.table} is not there", feed=feed.name) from None
    access.grant_feed(connection, feed)


def _create_statement(feed: Feed) -> sql.Composed:
    # No NOT NULL: the contract holds the rows, and a given table is to look like a made one.
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
        for name, kind in column_types(feed).items()
    )
    return sql.SQL("CREATE TABLE {} ({})").format(table_name(feed), columns)


def _columns(connection: psycopg.Connection, feed: Feed) -> dict[str, _Column]:
    rows = connection.execute(_COLUMNS, feed.schema_and_table)
    return {name: _Column(*column) for name, *column in rows}


def _differences(feed: Feed, found: dict[str, _Column]) -> Iterator[tuple[str, str]]:
    declared = column_types(feed)
    nullable = {each.name for each in feed.columns if each.nullable}
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
