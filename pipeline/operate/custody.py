"""Connections for those who unmask, forget and rotate, and the keyring that they do it with."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Literal

import psycopg

from pipeline.contract import Feed
from pipeline.errors import PipelineError, TableMismatch, WarehouseUnavailable
from pipeline.masking.keyring import Keyring
from pipeline.resources import postgres
from pipeline.resources.bounded import BoundedConnection
from pipeline.resources.outside import Outside
from pipeline.warehouse import audit
from pipeline.warehouse.tables import are_made, compare_keyring

LogIn = Literal["custodian", "owner"]
"""Whose log-in a connection needs: what is said where it lacks a right."""


@contextmanager
def connected(
    url: str, log_in: LogIn = "custodian", *, feed: str | None = None
) -> Iterator[psycopg.Connection]:
    """A connection on which each statement commits, unless a transaction is begun.

    Raises:
        AuditRefused: A right is missing that custodians have.
        TableMismatch: A right is missing that the owner has, or `pipeline migrate` has not run.
        WarehouseError: Postgres is down, or refuses.
    """
    try:
        with closing(_connect(url, feed)) as connection:
            connection.autocommit = True
            # A table without an index on the pseudonyms is read from end to end.
            connection.execute("SET statement_timeout = '1h'")
            connection.patience += 3_600
            yield connection
    except psycopg.Error as error:
        raise _translate(error, log_in, feed) from None


def not_the_owner(feed: str | None) -> TableMismatch:
    """The error for a log-in that lacks the owner's rights."""
    return TableMismatch(
        "this log-in does not own the tables",
        remedy="Set PIPELINE_OWNER_URL to the owner's log-in",
        feed=feed,
    )


def load_keyring(outside: Outside, url: str, feed: Feed, *, log_in: LogIn = "custodian") -> Keyring:
    """The keyring that the warehouse was filled with.

    With another one every pseudonym would be another: nobody would be found, and nobody forgotten.

    Args:
        outside: Where the keys are.
        url: The warehouse, for a log-in that may see whose keyring it is.
        feed: The contract.
        log_in: Whose log-in the URL is to have.

    Raises:
        KeyringError: It cannot be had, or is not the one.
        TableMismatch: Nothing was ever loaded.
        PipelineError: As `connected`.
    """
    keyring = outside.keyring.load()
    with connected(url, log_in, feed=feed.name) as connection:
        check_keyring(connection, keyring, feed)
    return keyring


def check_keyring(connection: psycopg.Connection, keyring: Keyring, feed: Feed) -> None:
    """Makes sure that a feed's table is there, and that its warehouse was filled with the keyring.

    Raises:
        KeyringError: It is not the one.
        TableMismatch: Nothing was ever loaded.
    """
    if not are_made(connection, feed):
        raise TableMismatch(
            "the table is not there",
            remedy="Nothing was ever loaded; `pipeline migrate` makes the tables",
            feed=feed.name,
        )
    compare_keyring(connection, keyring)


def _connect(url: str, feed: str | None) -> BoundedConnection:
    try:
        return postgres.connect(url)
    except WarehouseUnavailable:
        if _takes_a_missing_role(url):
            raise audit.not_made(feed=feed) from None
        raise


def _takes_a_missing_role(url: str) -> bool:
    """Whether the URL takes a role, as the embedded custodian's does, that nobody has made yet."""
    options = psycopg.conninfo.conninfo_to_dict(url).get("options")
    _, _, role = str(options or "").partition("role=")
    if not role:
        return False
    plain = psycopg.conninfo.make_conninfo(url, options="")
    with closing(postgres.connect(plain)) as connection:
        return not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).rowcount


def _translate(error: psycopg.Error, log_in: LogIn, feed: str | None) -> PipelineError:
    if log_in == "owner" and isinstance(error, psycopg.errors.InsufficientPrivilege):
        return not_the_owner(feed)
    return audit.translate(error, feed=feed)
