"""The columns that hold pseudonyms, and the pseudonyms that people give to name what is in them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import psycopg
from psycopg import sql

from pipeline.contract import Feed, Field
from pipeline.errors import AuditRefused, ContractError, TokenError
from pipeline.masking.keyring import FieldKeys, Keyring
from pipeline.masking.policies import Encrypt, IpCrypt, Policy, Pseudonymize, Vault
from pipeline.warehouse.tables import table_name

OPENABLE: Final = (Encrypt, Vault, IpCrypt)
"""The policies whose pseudonyms lead back to a value."""

RENEWABLE: Final = (Encrypt, Vault)
"""The policies whose pseudonyms can be given another key version."""

PSEUDONYMS: Final = (*OPENABLE, Pseudonymize)
"""The policies that give each value a pseudonym of its own."""

MOST: Final = 1_000
"""Pseudonyms of one request, at most."""

Policies = tuple[type[Policy], ...]


def columns_of(feed: Feed, policies: Policies) -> tuple[Field, ...]:
    """The columns of a feed with one of the policies."""
    return tuple(each for each in feed.columns if isinstance(each.policy, policies))


def find_column(feed: Feed, name: str, policies: Policies) -> Field:
    """The column of that name, which has one of the policies.

    Raises:
        ContractError: There is no such column, or its policy is another one.
    """
    fitting = columns_of(feed, policies)
    for each in fitting:
        if each.name == name:
            return each
    offered = f"Choose one of: {', '.join(each.name for each in fitting) or 'none here'}"
    for each in feed.columns:
        if each.name == name:
            raise ContractError(
                f"a column with the policy {each.policy.name} is one-way or in the clear:"
                " there is nothing to be done with it here",
                remedy=offered,
                feed=feed.name,
                field=each.name,
            )
    # Not repeated: it may be a value in the wrong place.
    raise ContractError("there is no column of that name", remedy=offered, feed=feed.name)


def has_shape(token: str, column: Field) -> bool:
    """Whether it looks like a pseudonym of that column."""
    return bool(re.fullmatch(column.policy.pattern or "", token, re.ASCII))


def read_pseudonyms(lines: Iterable[str], column: Field) -> tuple[str, ...]:
    """The pseudonyms that are given, each once, in their order; empty lines do not count.

    Args:
        lines: One pseudonym each.
        column: Whose they are to be.

    Raises:
        TokenError: There is none, or one has not the shape of the column's pseudonyms. It is not
            repeated, since it may be a value that was pasted by mistake.
        AuditRefused: There are too many.
    """
    found: dict[str, None] = {}
    for place, line in enumerate(lines, start=1):
        token = line.strip()
        if not token:
            continue
        if not has_shape(token, column):
            raise TokenError(
                f"number {place} of what is given is no pseudonym of this column",
                remedy="Copy one from the table as it is; nothing was recorded",
                field=column.name,
            )
        found[token] = None
        if len(found) > MOST:
            raise AuditRefused(
                f"a request is for {MOST} pseudonyms at most",
                remedy="Ask for fewer at a time; nothing was recorded",
            )
    if not found:
        raise TokenError(
            "no pseudonym is given", remedy="Give one, or a list on standard input, one a line"
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _KeysOf(FieldKeys):
    """The keys of a field as they were when a version was the current one."""

    version: int

    @property
    def current(self) -> int:
        return self.version


def pseudonyms(
    feed: Feed, column: Field, values: Sequence[object], keyring: Keyring
) -> Iterator[str]:
    """The pseudonyms of some values under every version of the keyring.

    Of a column that is encrypted also those that it has from when it was pseudonymised.

    Args:
        feed: The contract.
        column: One with a policy of `PSEUDONYMS`.
        values: In canonical form.
        keyring: The keys.
    """
    for version in keyring.versions:
        keys = _KeysOf(keyring, feed.name, column.path, version)
        for policy in _policies(column.policy, version):
            yield from map(str, policy.mask(values, column.type, keys))


def find_in_table(
    connection: psycopg.Connection, feed: Feed, column: Field, tokens: Iterable[str]
) -> frozenset[str]:
    """Which of some pseudonyms stand in the table."""
    statement = sql.SQL("SELECT DISTINCT {0} FROM {1} WHERE {0} = ANY(%s)")
    named = statement.format(sql.Identifier(column.name), table_name(feed))
    return frozenset(token for (token,) in connection.execute(named, (list(tokens),)))


def _policies(policy: Policy, version: int) -> tuple[Policy, ...]:
    """What may have masked a column's values when a version was the current one."""
    if isinstance(policy, IpCrypt):
        return (replace(policy, key_version=version),)
    return (policy, Pseudonymize()) if isinstance(policy, Encrypt) else (policy,)
