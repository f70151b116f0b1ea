"""Pseudonyms of earlier key versions, turned into those of the current one; the vault with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg

from pipeline.contract import Feed, Field
from pipeline.errors import KeyringError, TokenError
from pipeline.masking.keyring import Keyring
from pipeline.masking.policies import Encrypt, Vault
from pipeline.masking.token import read_token

# One row for the new pseudonym, and one for the old: it still opens, and as little is sealed with
# the old key. In their order, so that two who write never wait for each other in a circle.
_KEEP = """
INSERT INTO pipeline.vault (feed, field, token, subject, sealed)
SELECT %s, %s, token, subject, sealed
FROM unnest(%s::text[], %s::bytea[], %s::bytea[]) AS kept (token, subject, sealed)
ORDER BY token
ON CONFLICT (feed, field, token) DO UPDATE SET sealed = excluded.sealed
"""


@dataclass(frozen=True, slots=True)
class Renewed:
    """What became of some pseudonyms.

    Attributes:
        tokens: The new one for each that opened.
        forgotten: Those of which the vault has nothing: they stay as they are for ever.
        unopened: Those that are broken, or of another keyring.
    """

    tokens: Mapping[str, str]
    forgotten: frozenset[str]
    unopened: frozenset[str]


def renew(
    connection: psycopg.Connection,
    feed: Feed,
    column: Field,
    old: Sequence[str],
    keyring: Keyring,
) -> Renewed:
    """Masks anew what stands behind some pseudonyms, and keeps the vault in step.

    Those of a later version than the keyring's are left to the next rotation: somebody has added
    one meanwhile.

    Args:
        connection: The owner's, in a transaction that nobody is forgotten beside.
        feed: The contract.
        column: One with the policy `Encrypt` or `Vault`.
        old: Distinct, none of the current version.
        keyring: The keys.
    """
    keys = keyring.field_keys(feed.name, column.path)
    old = [token for token in old if not _is_later(token, keyring)]
    kept = _in_vault(connection, feed, column, old) if isinstance(column.policy, Vault) else {}
    values: dict[str, str] = {}
    forgotten, unopened = set(), set()
    for token in old:
        try:
            if isinstance(column.policy, Encrypt):
                values[token] = column.policy.open(token, column.type, keys)
            elif isinstance(column.policy, Vault) and token in kept:
                values[token] = column.policy.open(token, kept[token][1], column.type, keys)
            else:
                forgotten.add(token)
        except (TokenError, KeyringError):
            unopened.add(token)
    masked = column.policy.mask(list(values.values()), column.type, keys)
    tokens = dict(zip(values, map(str, masked), strict=True))
    if isinstance(column.policy, Vault):
        sealed = column.policy.seal(list(values.values()), column.type, keys)
        rows = {
            each: (kept[token][0], content)
            for token, content in zip(values, sealed, strict=True)
            for each in (token, tokens[token])
        }
        subjects, contents = [row[0] for row in rows.values()], [row[1] for row in rows.values()]
        connection.execute(_KEEP, (feed.name, column.path, list(rows), subjects, contents))
    return Renewed(tokens, frozenset(forgotten), frozenset(unopened))


def _is_later(token: str, keyring: Keyring) -> bool:
    try:
        version, _ = read_token(token)
    except TokenError:
        return False
    return version > keyring.versions[-1]


def _in_vault(
    connection: psycopg.Connection, feed: Feed, column: Field, tokens: Sequence[str]
) -> dict[str, tuple[bytes, bytes]]:
    """The subject and what is sealed of each pseudonym that the vault has."""
    found = connection.execute(
        "SELECT token, subject, sealed FROM pipeline.vault"
        " WHERE feed = %s AND field = %s AND token = ANY(%s)",
        (feed.name, column.path, list(tokens)),
    )
    return {token: (bytes(subject), bytes(sealed)) for token, subject, sealed in found}
