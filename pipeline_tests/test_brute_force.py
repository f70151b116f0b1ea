"""Who knows all but the key, and tries every address of a /16, finds nobody; an unkeyed hash falls.

Everything but the key is public: the code, the contract, the format, the version in the token.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from functools import cache
from typing import Final

import pytest

from pipeline.contract import Feed, Field
from pipeline.masking.canonical import pack_address
from pipeline.masking.keyring import ROOT_BYTES, Keyring
from pipeline.masking.mask import mask
from pipeline.masking.policies import Encrypt, IpCrypt, Pseudonymize, Vault
from pipeline.types import IpAddress
from pipeline_tests.policy_cases import batch

FEED: Final = Feed(
    name="visits",
    description="An address under each policy that keeps it joinable.",
    queue="visits",
    table="visits",
    fields=tuple(
        Field("ip", IpAddress(), policy, column=policy.name, personal=True)
        for policy in (Encrypt(), Pseudonymize(), IpCrypt(), Vault())
    ),
)
COLUMNS: Final = [each.name for each in FEED.columns]
NETWORK: Final = [f"10.20.{third}.{fourth}" for third in range(256) for fourth in range(256)]
SOUGHT: Final = ["10.20.30.40", "10.20.255.255"]

# A key is 64 random bytes. What could be tried in its place is made of what everybody knows.
PUBLIC: Final = [b"", b"visits", b"field\x1fvisits\x1fip"]
ROOTS: Final = [
    bytes(ROOT_BYTES),
    hashlib.sha512(b"visits\x1fip\x1f1").digest(),
]


@cache
def stored() -> dict[str, set[str]]:
    """What stands in the table, by column: the sought addresses, under a key that nobody knows."""
    keyring = Keyring({1: secrets.token_bytes(ROOT_BYTES)}, current=1)
    masked = mask(FEED, batch([{"ip": address} for address in SOUGHT], FEED), keyring)
    return {name: {*masked[name]} for name in COLUMNS}


def hashed(address: str) -> str:
    """What many a table holds in the place of a pseudonym."""
    return hashlib.sha256(address.encode()).hexdigest()


def digests(hashes: Callable[[bytes], bytes]) -> Callable[[list[str]], Iterable[str]]:
    """Guesses by one hash, as text and as the bytes of the address, written as tokens may be."""

    def guess(addresses: list[str]) -> Iterable[str]:
        for address in addresses:
            for content in (address.encode(), pack_address(address)):
                digest = hashes(content)
                yield digest.hex()
                text = base64.urlsafe_b64encode(digest).decode().rstrip("=")
                yield f"v1.{text}"

    return guess


def own_code(root: bytes) -> Callable[[list[str]], Iterable[str]]:
    """Guesses by this very project, with a root of the attacker's."""

    def guess(addresses: list[str]) -> Iterable[str]:
        masked = mask(
            FEED, batch([{"ip": each} for each in addresses], FEED), Keyring({1: root}, current=1)
        )
        for name in COLUMNS:
            yield from masked[name]

    return guess


GUESSES: Final[dict[str, Callable[[list[str]], Iterable[str]]]] = {
    "sha256": digests(lambda content: hashlib.sha256(content).digest()),
    **{
        f"hmac under {key!r}": digests(lambda content, key=key: hmac.digest(key, content, "sha256"))  # type: ignore[misc]
        for key in PUBLIC
    },
    **{f"our code, guess {place}": own_code(root) for place, root in enumerate(ROOTS)},
}


def attack(column: set[str], guess: Callable[[list[str]], Iterable[str]]) -> int:
    """How many values of a column are among what the guess makes of the whole network."""
    return len(column.intersection(guess(NETWORK)))


def test_an_unkeyed_hash_gives_every_address_away() -> None:
    assert attack({hashed(address) for address in SOUGHT}, GUESSES["sha256"]) == len(SOUGHT)


@pytest.mark.parametrize("name", GUESSES)
def test_without_the_key_no_address_is_found_in_any_column(name: str) -> None:
    assert attack(set().union(*stored().values()), GUESSES[name]) == 0


def test_the_attack_would_see_it_if_the_key_were_known() -> None:
    """The same guesses with the right root find every address in every column."""
    right = Keyring({1: ROOTS[0]}, current=1)
    masked = mask(FEED, batch([{"ip": address} for address in SOUGHT], FEED), right)
    every = {value for name in COLUMNS for value in masked[name]}
    assert len(every) == len(COLUMNS) * len(SOUGHT)
    assert attack(every, own_code(ROOTS[0])) == len(every)
