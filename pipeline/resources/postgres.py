"""Connections to the warehouse, and what its refusals mean."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

import psycopg
from psycopg import sql

from pipeline.errors import (
    SettingsError,
    TableMismatch,
    WarehouseError,
    WarehouseUnavailable,
)
from pipeline.resources.bounded import BoundedConnection
from pipeline.resources.postgres_trust import why_not_trusted

_PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
    "application_name": "pipeline",
}
_OPTIONS = (
    "-c statement_timeout=120s -c lock_timeout=10s"
    " -c idle_in_transaction_session_timeout=120s -c timezone=UTC -c client_encoding=UTF8"
    " -c datestyle=ISO"
    # What is said here of locks and of commits holds whatever the server's own defaults are.
    r" -c default_transaction_isolation=read\ committed -c synchronous_commit=on"
)

# SQLSTATEs, as listed in appendix A of the Postgres manual.
_CONTENDED = {"40001", "40P01"}
_TRANSIENT = {"25006", "25P03", "25P04", "55P03", "57014"}
_TRANSIENT_CLASSES = {"08", "53", "57", "58", "72"}
# A row's data or key, or what a trigger says of it, in its own words or another's.
_ROW_CLASSES = {"21", "22", "23", "27", "2F", "38", "39", "44", "45", "54", "55", "P0"}
_NOT_NULL = "23502"  # the contract allows a null where the table does not: no single row's fault
_CHECK = "23514"  # without the name of a constraint it is a partition that is missing


class Refusal(Enum):
    """Whose fault a refusal is."""

    CONTENDED = auto()  # another transaction's: the same one may pass at once
    TRANSIENT = auto()  # the server's: it passes by itself
    ROW = auto()  # one row's: the others may pass
    SYSTEMIC = auto()  # the table's or a right's: a person must act


def classify(error: psycopg.Error) -> Refusal:
    """Whose fault an error of the driver is, by its SQLSTATE.

    An error without one comes from the connection (refused, lost, timed out) and is transient.
    """
    state = error.sqlstate
    if state in _CONTENDED:
        return Refusal.CONTENDED
    if state is None:
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return Refusal.TRANSIENT if lost else Refusal.SYSTEMIC
    if state in _TRANSIENT or state[:2] in _TRANSIENT_CLASSES:
        return Refusal.TRANSIENT
    if state == _NOT_NULL or (state == _CHECK and not error.diag.constraint_name):
        return Refusal.SYSTEMIC
    return Refusal.ROW if state[:2] in _ROW_CLASSES else Refusal.SYSTEMIC


def describe(error: psycopg.Error) -> str:
    """What may be told of an error: its SQLSTATE and the names of objects, never its text."""
    names = {
        "table": error.diag.table_name,
        "column": error.diag.column_name,
        "constraint": error.diag.constraint_name,
    }
    told = [f"SQLSTATE {error.sqlstate}" if error.sqlstate else type(error).__name__]
    told += [f"{what} {name!r}" for what, name in names.items() if name]
    return ", ".join(told)


@contextmanager
def translated(*, feed: str | None = None) -> Iterator[None]:
    """Turns the driver's errors, which carry values, into this project's.

    Raises:
        WarehouseUnavailable: For what passes by itself.
        TableMismatch: For what a person must mend.
    """
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, feed=feed) from None


def translate(error: psycopg.Error, *, feed: str | None = None) -> WarehouseError:
    """The error of this project that stands for one of the driver's."""
    told = describe(error)
    if classify(error) in {Refusal.CONTENDED, Refusal.TRANSIENT}:
        return WarehouseUnavailable(
            f"the warehouse is not available ({told})",
            remedy="Nothing is lost: the messages stay on the queue. Check that Postgres is up, "
            "writable, has room and connections left, and takes the URL's user and password",
            feed=feed,
        )
    return TableMismatch(
        f"the warehouse refused a statement ({told})",
        remedy="Compare the table and the rights of the role with the contract; "
        "the messages stay on the queue",
        feed=feed,
    )


def connect(url: str) -> BoundedConnection:
    """A connection that gives up on a dead peer long before the visibility timeout.

    Raises:
        SettingsError: The URL cannot be parsed.
        WarehouseNotTrusted: The server does not show what the URL asks it to show.
        WarehouseUnavailable: The server does not answer or refuses the log-in.
    """
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # its text repeats the URL, and so the password
        raise SettingsError(
            "a setting is not a Postgres URL",
            remedy="Write PIPELINE_POSTGRES_URL, and those of custodian and owner where they are"
            " set, as postgresql://user:password@host:5432/database",
        ) from None
    own = str(given.pop("options", ""))
    with translated():
        # What the URL says for itself comes last, and so wins.
        merged: dict[str, Any] = {**_PATIENCE, **given, "options": f"{_OPTIONS} {own}"}
        try:
            connection = BoundedConnection.connect(psycopg.conninfo.make_conninfo(**merged))
        except psycopg.OperationalError as error:
            if untrusted := why_not_trusted(error):
                raise untrusted from None
            raise
    if "statement_timeout" in own:  # whoever allows more than we do is to wait for it
        connection.patience = math.inf
    return connection


def copy(connection: psycopg.Connection, table: str, rows: Iterable[Sequence[object]]) -> None:
    """Copies rows into a temporary table, which is much quicker than inserting them.

    A `search_path` may name `pg_temp` last: then a table of the same name elsewhere is found first.
    """
    statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier("pg_temp", table))
    with connection.cursor() as cursor, cursor.copy(statement) as target:
        for row in rows:
            target.write_row(row)
