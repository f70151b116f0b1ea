"""The version of our own tables: looked up by every run, brought up to this code's where it may.

Alembic puts the migrations in order and writes them out; they run on the caller's connection, in
one transaction with the rights that follow. It is imported only where there is something to do.
"""

import io
import threading
from typing import Final, NoReturn

import psycopg

from pipeline.errors import TableMismatch
from pipeline.warehouse import access

HEAD: Final = "0005"
"""The version that this code works with."""

SCHEMA: Final = "pipeline"
"""Where our own tables are."""

VERSION_TABLE: Final = "schema_version"
"""The table, in that schema, that holds the version."""

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

    Raises:
        TableMismatch: The warehouse is newer than this code, or the role may not upgrade it.
        psycopg.Error: For what passes by itself.
    """
    with connection.transaction():
        if _is_current(find_version(connection)):
            return
        lock(connection)
        found = find_version(connection)
        if _is_current(found):  # another one was quicker
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


def _is_current(found: str | None) -> bool:
    if found is not None and found > HEAD:
        raise TableMismatch(
            f"our own tables are of version {found}, this code knows them up to {HEAD}",
            remedy="Deploy the newer code; nothing was received",
        )
    return found == HEAD


def _upgrade_from(connection: psycopg.Connection, found: str | None) -> None:
    # Not IF NOT EXISTS, which asks for the right to make it even where it is there.
    if not exists(connection, SCHEMA):
        connection.execute("CREATE SCHEMA pipeline")
    connection.execute(_write_out(found).encode())
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
