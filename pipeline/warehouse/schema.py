"""The version of our own tables: looked up by every run, brought up to this code's where it may.

Alembic puts the migrations in order and writes them out; they run on the caller's connection, in
one transaction with the rights that follow. It is imported only where there is something to do.
"""

import io
import re
import threading
from typing import Final, NoReturn

import psycopg
from psycopg import sql

from pipeline.errors import TableMismatch
from pipeline.warehouse import access

HEAD: Final = "0006"
"""The version that this code works with."""

OLDEST: Final = "0005"
"""The oldest code that works with tables of that version. A migration that only adds what such code
need not know leaves it as it is, and both run side by side: docs/upgrade.md."""

SCHEMA: Final = "pipeline"
"""Where our own tables are."""

VERSION_TABLE: Final = "schema_version"
"""The table, in that schema, that holds the version."""

# Of one version: what an earlier migration has promised says nothing of later tables.
_PROMISE: Final = "version {} works with code of version {} and later"
# One lock for everybody who makes tables: two first runs at once must not both try.
_MAKING = 7_235_401_889_116_203_520
# Alembic keeps what it works on in its own modules, so one thread at a time may use it.
_alembic = threading.Lock()


def find_version(connection: psycopg.Connection) -> str | None:
    """The version of our own tables; None where there are none, or from before versions."""
    if not has_table(connection, SCHEMA, VERSION_TABLE):
        return None
    row = connection.execute("SELECT version_num FROM pipeline.schema_version").fetchone()
    return None if row is None else str(row[0])


def is_newer(connection: psycopg.Connection, found: str | None) -> bool:
    """Whether our own tables are of a newer version, with which this code works as well.

    Raises:
        TableMismatch: They are newer, and it does not.
    """
    if found is None or found <= HEAD:
        return False
    # A comment, and no column: tables of every version have one, and every log-in may read it.
    row = connection.execute(
        "SELECT obj_description('pipeline.schema_version'::regclass, 'pg_class')"
    ).fetchone()
    told = re.fullmatch(_PROMISE.format(found, r"(\d{4})"), (row and row[0]) or "")
    if told is not None and told[1] <= HEAD:
        return True
    raise TableMismatch(
        f"our own tables are of version {found}, this code knows them up to {HEAD}",
        remedy="Deploy the newer code; nothing was received",
    )


def exists(connection: psycopg.Connection, name: str) -> bool:
    """Whether there is a schema of that name."""
    # From the table: to_regnamespace may answer from what it knew before it waited for the lock.
    found = connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", (name,))
    return found.rowcount == 1


def has_table(connection: psycopg.Connection, name: str, table: str) -> bool:
    """Whether there is a table of that name in the schema of that name."""
    found = connection.execute(
        "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        (name, table),
    )
    return found.rowcount == 1


def upgrade(connection: psycopg.Connection) -> None:
    """Brings our own tables to `HEAD`, within the caller's transaction if there is one.

    Newer ones that this code works with are left as they are.

    Raises:
        TableMismatch: The warehouse is too new for this code, or the role may not upgrade it.
        psycopg.Error: For what passes by itself.
    """
    with connection.transaction():
        if _will_do(connection, find_version(connection)):
            return
        lock(connection)
        found = find_version(connection)
        if _will_do(connection, found):  # another one was quicker
            return
        try:
            _upgrade_from(connection, found)
        except psycopg.errors.InsufficientPrivilege:
            raise not_ours_to_make(
                f"our own tables are of version {found or 'none'}, this code needs {HEAD}"
            ) from None


def lock(connection: psycopg.Connection) -> None:
    """Waits until nobody else makes tables, and keeps others from it until the commit."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))


def not_ours_to_make(what: str, *, feed: str | None = None) -> TableMismatch:
    """The error for a role that lacks the right to make or upgrade tables."""
    return TableMismatch(
        f"{what}, and the role may not make or upgrade tables",
        remedy="Run `pipeline migrate` with PIPELINE_OWNER_URL set to the owner's log-in",
        feed=feed,
    )


def no_way_back() -> NoReturn:
    """Refuses a downgrade: it would drop records that the audit and the vault are there to keep.

    Raises:
        TableMismatch: Always.
    """
    raise TableMismatch(
        "our own tables are never downgraded",
        remedy="Deploy the newer code again, or restore a backup",
    )


def _will_do(connection: psycopg.Connection, found: str | None) -> bool:
    return found == HEAD or is_newer(connection, found)


def _upgrade_from(connection: psycopg.Connection, found: str | None) -> None:
    # Not IF NOT EXISTS, which asks for the right to make it even where it is there.
    if not exists(connection, SCHEMA):
        connection.execute("CREATE SCHEMA pipeline")
    connection.execute(_write_out(found).encode())
    promise = sql.Literal(_PROMISE.format(HEAD, OLDEST))
    connection.execute(sql.SQL("COMMENT ON TABLE pipeline.schema_version IS {}").format(promise))
    access.grant_own(connection)


def _write_out(found: str | None) -> str:
    """The SQL of every migration after the one that was found, and of the version they lead to."""
    from alembic import command  # noqa: PLC0415 - with SQLAlchemy half a second, seldom needed
    from alembic.config import Config  # noqa: PLC0415

    written = io.StringIO()
    config = Config(output_buffer=written)
    config.set_main_option("script_location", "pipeline.warehouse:migrations")
    with _alembic:
        command.upgrade(config, f"{found or 'base'}:{HEAD}", sql=True)
    return written.getvalue()
