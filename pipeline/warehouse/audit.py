"""The audit's functions in Postgres, typed: ask, open, forget, and keep a record of it.

What they refuse, they refuse in the database: docs/decisions/0008-the-audit-record-comes-first.md.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, LiteralString
from uuid import UUID

import psycopg

from pipeline.errors import AuditRefused, PipelineError, TableMismatch
from pipeline.resources import postgres

# The class of the SQLSTATEs that our own functions raise; their texts hold no values.
_OURS = "PP"
# No such schema, function or table, in appendix A of the Postgres manual.
_NOT_MADE = {"3F000", "42883", "42P01"}


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants done with pseudonyms, as it stands in the audit.

    Attributes:
        feed: The feed's name.
        field: The field's path.
        tokens: The pseudonyms.
        reason: Why, in words that an auditor will understand.
        stated_by: Who asks, by their own account; the database adds the log-in.
    """

    feed: str
    field: str
    tokens: tuple[str, ...]
    reason: str
    stated_by: str


def request_unmask(connection: psycopg.Connection, request: Request) -> UUID:
    """Records that the pseudonyms are about to be opened; commits, unless a caller has begun.

    Raises:
        AuditRefused: A reason, a name or the pseudonyms are missing, they are more than 1000,
            or the log-in is no custodian.
        WarehouseError: Postgres is down.
    """
    statement = "SELECT pipeline.request_unmask(%s, %s, %s, %s, %s)"
    return number(connection, statement, _parameters(request))


def ask_unmask(connection: psycopg.Connection, request: Request) -> UUID:
    """Prepares a request that a custodian reads, and makes their own if they agree.

    Raises:
        AuditRefused: As above.
        WarehouseError: Postgres is down.
    """
    statement = "SELECT pipeline.ask_unmask(%s, %s, %s, %s, %s)"
    return number(connection, statement, _parameters(request))


def read_request(connection: psycopg.Connection, request: UUID) -> Request:
    """What was asked by `ask_unmask`, whoever asked it.

    Raises:
        AuditRefused: There is no such request, or the log-in is no custodian.
        WarehouseError: Postgres is down.
    """
    rows = call(connection, "SELECT * FROM pipeline.read_request(%s)", (request,))
    feed, field, _, reason, stated_by = rows[0]
    return Request(feed, field, tuple(row[2] for row in rows), reason, stated_by)


def open_request(connection: psycopg.Connection, request: UUID) -> list[tuple[str, bytes | None]]:
    """Each pseudonym of a request, and what the vault has sealed for it; None for nothing.

    Raises:
        AuditRefused: The request is not this log-in's, not committed, or older than 15 minutes.
        WarehouseError: Postgres is down.
    """
    rows = call(connection, "SELECT token, sealed FROM pipeline.open_request(%s)", (request,))
    return [(token, None if sealed is None else bytes(sealed)) for token, sealed in rows]


def forget(
    connection: psycopg.Connection, request: Request, subjects: Sequence[bytes]
) -> list[str]:
    """Destroys what the vault has of the subjects, and of those whom the pseudonyms stand for.

    Args:
        connection: A custodian's.
        request: Which pseudonyms, which may be none, and why.
        subjects: The persons, as the vault knows them; may be none.

    Returns:
        The pseudonyms that stand for nobody from now on.

    Raises:
        AuditRefused: A reason or a name is missing, or the log-in is no custodian.
        WarehouseError: Postgres is down, or loads kept it waiting.
    """
    feed, field, *others = _parameters(request)
    statement = "SELECT token FROM pipeline.forget(%s, %s, %s, %s, %s, %s)"
    rows = call(connection, statement, (feed, field, list(subjects), *others))
    return [token for (token,) in rows]


def record(
    connection: psycopg.Connection,
    action: Literal["delete", "rotate", "redrive dead letters", "redrive dead letters done"],
    request: Request,
    *,
    detail: str | None = None,
) -> UUID:
    """Records what is done beside the vault: in the same transaction as the deed.

    What is done to a queue is recorded, and that committed, before it is begun; and once more
    when it has ended.

    Args:
        connection: A custodian's, or the owner's.
        action: What is done.
        request: To what, and why; it may name no pseudonym, and no field (empty).
        detail: What else is to be known; no value.

    Raises:
        AuditRefused: A reason or a name is missing, or the log-in may not.
        WarehouseError: Postgres is down.
    """
    statement = "SELECT pipeline.record(%s, %s, %s, %s, %s, %s, %s)"
    return number(connection, statement, (action, *_parameters(request), detail))


def translate(error: psycopg.Error, *, feed: str | None = None) -> PipelineError:
    """The error of this project for what a custodian's log-in has met."""
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return AuditRefused(
            "this log-in is no custodian",
            remedy="Set PIPELINE_CUSTODIAN_URL to a log-in that is a member of the role custodian;"
            " if it is one, run `pipeline migrate`, which gives the rights",
            feed=feed,
        )
    if error.sqlstate in _NOT_MADE:
        return not_made(feed=feed)
    return postgres.translate(error, feed=feed)


def not_made(*, feed: str | None = None) -> TableMismatch:
    """The error for a warehouse that is new, or older than this code."""
    return TableMismatch(
        "the warehouse lacks tables, functions or roles that this needs",
        remedy="Run `pipeline migrate` with the owner's log-in; nothing was recorded",
        feed=feed,
    )


def _parameters(request: Request) -> tuple[object, ...]:
    tokens = list(request.tokens)
    return (request.feed, request.field, tokens, request.reason, request.stated_by)


def number(
    connection: psycopg.Connection, statement: LiteralString, parameters: tuple[object, ...]
) -> UUID:
    """The request's number, which a function of ours answers with; raises as `call`."""
    ((made,),) = call(connection, statement, parameters)
    assert isinstance(made, UUID)  # noqa: S101 - the functions are declared so
    return made


def call(
    connection: psycopg.Connection, statement: LiteralString, parameters: tuple[object, ...]
) -> list[tuple[Any, ...]]:
    """What a function of ours answers.

    Raises:
        AuditRefused: It refuses, in its own words, or the log-in is no custodian.
        WarehouseError: Postgres is down, or refuses.
    """
    with refusals(), connection.transaction():
        return connection.execute(statement, parameters).fetchall()


@contextmanager
def refusals() -> Iterator[None]:
    """Turns what our functions refuse, and the driver's errors, into this project's.

    Raises:
        AuditRefused: A function refused, in its own words, or the log-in is no custodian.
        WarehouseError: Postgres is down, or refuses.
    """
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None or not error.sqlstate.startswith(_OURS):
            raise translate(error) from None
        what, remedy = error.diag.message_primary, error.diag.message_hint
        raise AuditRefused(what or error.sqlstate, remedy=remedy or "Ask the owner") from None
