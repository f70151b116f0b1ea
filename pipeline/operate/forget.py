"""Forgets persons: destroys what the vault has of them or deletes their rows; says what stays.

A column with the policy `vault` keeps its rows: their pseudonyms stand for nobody from then on.
With any other policy somebody can only be forgotten by deleting rows, or the key.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import psycopg
from psycopg import sql

from pipeline.contract import Feed, Field
from pipeline.errors import TokenError
from pipeline.masking.keyring import Keyring
from pipeline.masking.policies import Encrypt, IpCrypt, Pseudonymize, Vault
from pipeline.operate.columns import find_in_table, pseudonyms
from pipeline.operate.custody import connected
from pipeline.operate.erasure import Erasure, Remainder
from pipeline.reasons import Refused
from pipeline.resources.outside import Outside
from pipeline.types import Boolean, Integer, JsonObject, Number
from pipeline.warehouse import audit
from pipeline.warehouse.audit import Request
from pipeline.warehouse.tables import table_name


@dataclass(frozen=True, slots=True)
class Persons:
    """Who is to be forgotten.

    Attributes:
        feed: The contract.
        column: The column that tells who it is.
        tokens: Their pseudonyms there, as far as they are known.
        subjects: What the vault knows them by; empty where only pseudonyms were given.
        is_named: Whether they were named by pseudonyms, rather than by a value.
    """

    feed: Feed
    column: Field
    tokens: tuple[str, ...]
    subjects: tuple[bytes, ...] = field(default=(), repr=False)
    is_named: bool = False


def by_value(feed: Feed, column: Field, text: str, keyring: Keyring) -> Persons:
    """The person that a value stands for.

    Args:
        feed: The contract.
        column: A column of pseudonyms.
        text: The value, as producers write it; it may end with a line's end.
        keyring: The keys.

    Raises:
        TokenError: It is not one line, or the column holds no such values; the error does not
            repeat it.
    """
    line = _one_line(text, column)
    try:
        value = column.type.read(_parsed(line, column))
    except Refused as error:
        raise TokenError(
            f"this is no value of this column ({error.reason})",
            remedy="Write it as producers do",
            feed=feed.name,
            field=column.name,
        ) from None
    keys = keyring.field_keys(feed.name, column.path)
    policy = column.policy
    subjects = policy.subjects([value], keys) if isinstance(policy, Vault) else []
    tokens = dict.fromkeys(pseudonyms(feed, column, [value], keyring))
    return Persons(feed, column, tuple(tokens), tuple(subjects))


def by_pseudonyms(feed: Feed, column: Field, tokens: Sequence[str], keyring: Keyring) -> Persons:
    """The persons that some pseudonyms stand for, with those of other key versions.

    Raises:
        KeyringError: The keyring lacks a version.
    """
    values: dict[object, None] = {}
    if isinstance(column.policy, Encrypt):
        keys = keyring.field_keys(feed.name, column.path)
        for token in tokens:
            try:
                values[column.policy.open(token, column.type, keys)] = None
            except TokenError:
                continue  # not of this keyring: then it has no other version either
    same = pseudonyms(feed, column, list(values), keyring)
    return Persons(feed, column, tuple(dict.fromkeys([*tokens, *same])), is_named=True)


def forget(outside: Outside, persons: Persons, reason: str, stated_by: str) -> Erasure:
    """Destroys what the vault has of them; with another policy nothing is done but to look.

    Also who only looks learns whether somebody is there: that is recorded, and committed, first.
    A second time there is nothing left to do, and that too is recorded.

    Raises:
        SettingsError: There is no custodian's log-in.
        AuditRefused: The reason is missing, or the log-in is no custodian.
        WarehouseError: Postgres is down, or loads kept it waiting.
    """
    with connected(outside.custodian_url(), feed=persons.feed.name) as connection:
        asked = _in_the_table(connection, persons)
        found, destroyed = _forget_in_vault(connection, asked, reason, stated_by)
        if not isinstance(persons.column.policy, Vault):
            request = _request(asked, reason, stated_by)
            audit.record(connection, "delete", request, detail="asked only, nothing deleted")
        report = _report(connection, found, destroyed, deleted=None)
    return _noted(report, persons, asked)


def delete_rows(outside: Outside, persons: Persons, reason: str, stated_by: str) -> Erasure:
    """Deletes the rows that carry a pseudonym of theirs, and forgets them in the vault.

    All of it and its record in one transaction.

    Raises:
        PipelineError: As `forget`.
    """
    with (
        connected(outside.custodian_url(), feed=persons.feed.name) as connection,
        connection.transaction(),
    ):
        asked = _in_the_table(connection, persons)
        found, destroyed = _forget_in_vault(connection, asked, reason, stated_by)
        report = _report(connection, found, destroyed, deleted=0)
        statement = sql.SQL("DELETE FROM {} WHERE {} = ANY(%s)").format(*_names(found))
        deleted = connection.execute(statement, (list(found.tokens),)).rowcount
        request = _request(found, reason, stated_by)
        audit.record(connection, "delete", request, detail=f"{deleted} rows")
    return _noted(replace(report, deleted=deleted), persons, asked)


def _in_the_table(connection: psycopg.Connection, persons: Persons) -> Persons:
    """The persons without addresses that are not in the table.

    As with `unmask`: they may be somebody's own, and must not be recorded.
    """
    if not (persons.is_named and isinstance(persons.column.policy, IpCrypt)):
        return persons
    found = find_in_table(connection, persons.feed, persons.column, persons.tokens)
    return replace(persons, tokens=tuple(token for token in persons.tokens if token in found))


def _noted(report: Erasure, persons: Persons, asked: Persons) -> Erasure:
    """The report with what is to be known of the pseudonyms that were given."""
    return replace(
        report,
        unknown=len(persons.tokens) - len(asked.tokens),
        others_may_stay=persons.is_named
        and isinstance(persons.column.policy, IpCrypt | Pseudonymize),
    )


def _forget_in_vault(
    connection: psycopg.Connection, persons: Persons, reason: str, stated_by: str
) -> tuple[Persons, int]:
    """The persons with all pseudonyms that the vault had of them, and how many it had."""
    if not isinstance(persons.column.policy, Vault):
        return persons, 0
    request = _request(persons, reason, stated_by)
    destroyed = audit.forget(connection, request, persons.subjects)
    tokens = dict.fromkeys([*persons.tokens, *destroyed])
    return replace(persons, tokens=tuple(tokens)), len(destroyed)


def _count(connection: psycopg.Connection, persons: Persons) -> tuple[int, tuple[Remainder, ...]]:
    """How many rows carry one of the pseudonyms, and what else of a person is in them."""
    personal = [
        each for each in persons.feed.columns if each.personal and each.name != persons.column.name
    ]
    counts = [sql.SQL("count({})").format(sql.Identifier(each.name)) for each in personal]
    table, column = _names(persons)
    statement = sql.SQL("SELECT {} FROM {} WHERE {} = ANY(%s)").format(
        sql.SQL(", ").join([sql.SQL("count(*)"), *counts]), table, column
    )
    row = connection.execute(statement, (list(persons.tokens),)).fetchone()
    assert row is not None  # noqa: S101 - aggregates are always one row
    others = [
        Remainder(each.name, each.policy.name, count)
        for each, count in zip(personal, row[1:], strict=True)
    ]
    return row[0], tuple(each for each in others if each.rows)


def _report(
    connection: psycopg.Connection, persons: Persons, destroyed: int, *, deleted: int | None
) -> Erasure:
    policy = persons.column.policy.name
    rows, others = _count(connection, persons)
    statement = "SELECT count(*) FROM pipeline.quarantine WHERE feed = %s"
    (sealed,) = connection.execute(statement, (persons.feed.name,)).fetchone() or (0,)
    return Erasure(persons.column.name, policy, destroyed, rows, deleted, others, sealed)


def _request(persons: Persons, reason: str, stated_by: str) -> Request:
    return Request(persons.feed.name, persons.column.path, persons.tokens, reason, stated_by)


def _names(persons: Persons) -> tuple[sql.Identifier, sql.Identifier]:
    return table_name(persons.feed), sql.Identifier(persons.column.name)


def _one_line(text: str, column: Field) -> str:
    """The text without the end of its only line, which editors and `echo` add."""
    line = text.removesuffix("\n").removesuffix("\r")
    # Bytes that are no text arrive as lone surrogates.
    if not line or any(each in "\r\n" or "\ud800" <= each <= "\udfff" for each in line):
        raise TokenError(
            "this is not one value on one line",
            remedy="Give one value on one line, in UTF-8; nothing was done",
            field=column.name,
        )
    return line


def _parsed(text: str, column: Field) -> object:
    """The text as JSON has it, where the type is not one of texts."""
    if not isinstance(column.type, Integer | Number | Boolean | JsonObject):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text  # which the type refuses
