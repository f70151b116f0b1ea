"""The roles, and what each may do: granted after each migration, as often as one likes.

A role belongs to the whole server, a right to one database. What each is for: docs/roles.md.
"""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Final, LiteralString

import psycopg
from psycopg import sql

from pipeline.contract import Feed

ROLES: Final = ("loader", "producer", "analyst", "custodian", "auditor", "monitor")
"""Groups that nobody logs in as; log-ins are made members of them."""

_IN_LEDGER = "feed, key, content"
_IN_QUARANTINE = "feed, key, message_id, reason, field, receive_count, sent_at"
_IN_ACCOUNT = "batch_id, feed, run_id, received, loaded, duplicate, quarantined, released, reasons"

# Columns are named where a table has one that the role has no business with: a time is always
# the server's, and what is sealed is read by nobody.
_OWN: Final[dict[str, tuple[LiteralString, ...]]] = {
    "loader": (
        "USAGE ON SCHEMA pipeline",
        f"INSERT ({_IN_LEDGER}), SELECT ON pipeline.ledger",
        f"INSERT ({_IN_QUARANTINE}, event_id_sealed, body_sealed) ON pipeline.quarantine",
        f"SELECT ({_IN_QUARANTINE}, quarantined_at) ON pipeline.quarantine",
        "SELECT ON pipeline.quarantine_left",
        f"INSERT ({_IN_ACCOUNT}), SELECT ON pipeline.account",
        "INSERT (fingerprint), SELECT (fingerprint) ON pipeline.keyring",
        "INSERT, SELECT ON pipeline.keyring_version",
        "INSERT (feed, field, token, subject, sealed) ON pipeline.vault",
        "SELECT (feed, field, subject) ON pipeline.forgotten",
        "INSERT, SELECT, UPDATE ON pipeline.fetch, pipeline.fetch_page, pipeline.fetch_source",
        "EXECUTE ON FUNCTION pipeline.prune, pipeline.add_run",
        "SELECT ON pipeline.schema_version",
    ),
    "producer": (
        "USAGE ON SCHEMA pipeline",
        "INSERT, SELECT, UPDATE, DELETE ON pipeline.idempotency",
        "SELECT ON pipeline.schema_version",
    ),
    "custodian": (
        "USAGE ON SCHEMA pipeline",
        "EXECUTE ON FUNCTION pipeline.request_unmask, pipeline.open_request",
        "EXECUTE ON FUNCTION pipeline.ask_unmask, pipeline.read_request",
        "EXECUTE ON FUNCTION pipeline.forget, pipeline.record",
        "EXECUTE ON FUNCTION pipeline.request_quarantined, pipeline.read_look",
        "EXECUTE ON FUNCTION pipeline.open_quarantined, pipeline.take_quarantined",
        "EXECUTE ON FUNCTION pipeline.settle_taken, pipeline.purge_quarantined",
        "EXECUTE ON FUNCTION pipeline.close_request",
        # Whether it is the right keyring, and what lies sealed.
        "SELECT (fingerprint) ON pipeline.keyring",
        "SELECT ON pipeline.keyring_version",
        f"SELECT ({_IN_QUARANTINE}, quarantined_at) ON pipeline.quarantine",
    ),
    "auditor": (
        "USAGE ON SCHEMA pipeline",
        "SELECT ON pipeline.audit, pipeline.account, pipeline.forgotten",
        "SELECT ON pipeline.quarantine_left",
        f"SELECT ({_IN_QUARANTINE}, quarantined_at) ON pipeline.quarantine",
    ),
    "monitor": (
        "USAGE ON SCHEMA pipeline",
        "SELECT ON pipeline.total, pipeline.account",
        "SELECT (feed, reason, field, quarantined_at) ON pipeline.quarantine",
        "SELECT ON pipeline.schema_version",
    ),
}
_OURS: Final[tuple[LiteralString, ...]] = (
    "SCHEMA pipeline",
    "ALL TABLES IN SCHEMA pipeline",
    "ALL SEQUENCES IN SCHEMA pipeline",
    "ALL FUNCTIONS IN SCHEMA pipeline",
)
_ON_FEED_TABLES: Final[dict[str, tuple[LiteralString, ...]]] = {
    "loader": ("INSERT", "SELECT"),
    "analyst": ("SELECT",),
    "custodian": ("SELECT", "DELETE"),
}
# Everybody has these on most servers, but not where somebody has tightened them.
_ON_THE_DATABASE: Final[dict[str, tuple[LiteralString, ...]]] = {
    "loader": ("CONNECT", "TEMPORARY"),
    "producer": ("CONNECT",),
    "analyst": ("CONNECT",),
    "custodian": ("CONNECT",),
    "auditor": ("CONNECT",),
    "monitor": ("CONNECT",),
}


def grant_own(connection: psycopg.Connection) -> tuple[str, ...]:
    """Makes the roles where that is permitted, and gives each its rights on our own tables.

    A right that somebody gave by hand, or by default to tables to come, ends here.

    Args:
        connection: One whose transaction holds the lock of those who make tables.

    Returns:
        What was left out: the roles that are missing and may not be made, and the rights on the
        database that are another's to give.
    """
    for role in ROLES:
        _make(connection, role)
    there = _there(connection)
    for role, ours in itertools.product(("public", *there), _OURS):
        _execute(connection, "REVOKE ALL ON {} FROM {}", sql.SQL(ours), _name(role))
    for role in there:
        for rights in _OWN.get(role, ()):
            _execute(connection, "GRANT {} TO {}", sql.SQL(rights), _name(role))
    left_out = [f"role {role}" for role in ROLES if role not in there]
    database = connection.info.dbname
    for role in there:
        left_out += _give(connection, role, _ON_THE_DATABASE[role], "database", database)
    return tuple(left_out)


def grant_feed(connection: psycopg.Connection, feed: Feed) -> tuple[str, ...]:
    """Gives each role its rights on a feed's table, and no others.

    Args:
        connection: As above.
        feed: Whose table; it is there.

    Returns:
        What was left out: the rights that are another's to give.
    """
    schema, table = feed.schema_and_table
    left_out: list[str] = []
    for role in _there(connection):
        rights = _ON_FEED_TABLES.get(role, ())
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
            revoked = sql.Identifier(schema, table)
            _execute(connection, "REVOKE ALL ON {} FROM {}", revoked, _name(role))
        if rights:
            left_out += _give(connection, role, ("USAGE",), "schema", schema)
            left_out += _give(connection, role, rights, "table", schema, table)
    return tuple(left_out)


def _make(connection: psycopg.Connection, role: str) -> None:
    """Makes a role, unless it is there, is just being made elsewhere, or may not be made."""
    if role in _there(connection):
        return
    raced = (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation)
    with (
        contextlib.suppress(psycopg.errors.InsufficientPrivilege, *raced),
        connection.transaction(),
    ):
        _execute(connection, "CREATE ROLE {} NOLOGIN", _name(role))


def _there(connection: psycopg.Connection) -> list[str]:
    found = connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) ORDER BY 1", (list(ROLES),)
    )
    return [str(role) for (role,) in found]


def _give(
    connection: psycopg.Connection,
    role: str,
    rights: tuple[LiteralString, ...],
    kind: LiteralString,
    *names: str,
) -> Iterator[str]:
    """Gives rights on what may be another's; names those that the role is left without."""
    thing = sql.Identifier(*names)
    # Postgres reads a table's name as SQL does, and the others' as they are.
    plain = thing.as_string(connection) if kind == "table" else names[0]
    for right in rights:
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
            wanted = sql.SQL(f"{right} ON {kind} {{}}").format(thing)
            _execute(connection, "GRANT {} TO {}", wanted, _name(role))
        # Where it is not ours to give, Postgres may refuse, or only warn.
        has = sql.SQL(f"SELECT has_{kind}_privilege(%s, %s, %s)")
        if connection.execute(has, (role, plain, right)).fetchone() != (True,):
            yield f"{right} on {kind} {'.'.join(names)} for {role}"


def _name(role: str) -> sql.Composable:
    return sql.SQL("PUBLIC") if role == "public" else sql.Identifier(role)


def _execute(
    connection: psycopg.Connection, statement: LiteralString, *parts: sql.Composable
) -> None:
    connection.execute(sql.SQL(statement).format(*parts))
