"""Pseudonyms: keyed, deterministic tokens that carry the version of their key."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from pipeline.errors import TokenError
from pipeline.masking.canonical import largest, normalised, pack, portions, unpack
from pipeline.masking.keyring import FieldKeys
from pipeline.masking.token import LONGEST_PREFIX, characters, read_token, write_tokens
from pipeline.types import FieldType

_TAG = 16  # bytes of a synthetic IV
_SIV_KEY = 64  # bytes: AES-256 twice
_COLUMN = 256


@dataclass(frozen=True, slots=True)
class Pseudonymize:
    """The value becomes a keyed, deterministic, one-way pseudonym.

    HMAC-SHA256 (RFC 2104) under a key of the feed and field, 256 bits in base64url, behind the
    key version: `v1.` and 43 characters. Equal values get equal pseudonyms, so analysts can
    join and count. Text is normalised to Unicode NFC first: one person, one pseudonym.
    """

    name: ClassVar[str] = "pseudonymize"
    pattern: ClassVar[str] = r"v[0-9]+\.[A-Za-z0-9_-]{43}"

    def sql(self, kind: FieldType) -> str:  # noqa: ARG002 - a pseudonym has one shape
        """Wide enough for any key version, and for a longer token later."""
        return f"varchar({_COLUMN})"

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:  # noqa: ARG002 - any type's text will do
        """The pseudonym of each value."""
        return _digest_tokens(values, keys.secret("field", version=keys.current), keys.current)

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:  # noqa: ARG002 - right for any field
        """Nothing can be wrong."""
        return None


@dataclass(frozen=True, slots=True)
class Encrypt:
    """The value becomes a keyed, deterministic pseudonym that the key can open again.

    AES-SIV (RFC 5297) under a 64-byte key of the feed and field, with feed, field and key version
    as associated data. Whoever has the key can open each pseudonym, and nobody can change one
    unnoticed. The length shows whether an address is IPv4 or IPv6, and of other values whether
    they need more than 32, 64, 128 … bytes.
    """

    name: ClassVar[str] = "encrypt"
    pattern: ClassVar[str] = r"v[0-9]+\.[A-Za-z0-9_-]{27,}"

    def sql(self, kind: FieldType) -> str:
        """A varchar of 256 where the longest pseudonym fits, else text."""
        longest = LONGEST_PREFIX + characters(_TAG + largest(kind))
        return f"varchar({_COLUMN})" if longest <= _COLUMN else "text"

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:
        """The pseudonym of each value."""
        sealed = _Siv("encrypt", keys, keys.current).seal(values, kind)
        return [*write_tokens(keys.current, list(sealed))]

    def open(self, token: str, kind: FieldType, keys: FieldKeys) -> str:
        """The value behind a pseudonym, as text in canonical form.

        Raises:
            TokenError: It is no pseudonym of this field, or of another keyring's.
            KeyringError: The keyring lacks its version.
        """
        version, sealed = read_token(token)
        return _Siv("encrypt", keys, version).open(sealed, kind)

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:  # noqa: ARG002 - right for any field
        """Nothing can be wrong."""
        return None


@dataclass(frozen=True, slots=True)
class Vault:
    """The value becomes a one-way pseudonym, and is kept, sealed, in the vault.

    In the table it looks and joins as with `Pseudonymize`. Whoever may open the vault and has the
    key can recover the value; once its vault rows are destroyed, nobody can.
    """

    name: ClassVar[str] = "vault"
    pattern: ClassVar[str] = Pseudonymize.pattern

    def sql(self, kind: FieldType) -> str:  # noqa: ARG002 - a pseudonym has one shape
        """Wide enough for any key version, and for a longer token later."""
        return f"varchar({_COLUMN})"

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:  # noqa: ARG002 - any type's text will do
        """The pseudonym of each value."""
        return self.tokens(values, keys, keys.current)

    def tokens(self, values: Sequence[object], keys: FieldKeys, version: int) -> list[object]:
        """The pseudonym of each value under the key of a version.

        Raises:
            KeyringError: The keyring lacks that version.
        """
        return _digest_tokens(values, keys.secret("vault_token", version=version), version)

    def seal(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[bytes]:
        """What the vault keeps of each value: the key version in 4 bytes, and AES-SIV."""
        version = keys.current.to_bytes(4)
        sealed = _Siv("vault", keys, keys.current).seal(values, kind)
        return [version + each for each in sealed]

    def open(self, token: str, sealed: bytes, kind: FieldType, keys: FieldKeys) -> str:
        """The value of a vault row, which must be the one behind the pseudonym.

        Raises:
            TokenError: The row was sealed with another key, or belongs to another pseudonym.
            KeyringError: The keyring lacks a version.
        """
        value = _Siv("vault", keys, int.from_bytes(sealed[:4])).open(sealed[4:], kind)
        version, _ = read_token(token)
        if self.tokens([value], keys, version) != [token]:
            raise _unopenable()
        return value

    def subjects(self, values: Sequence[object], keys: FieldKeys) -> list[bytes]:
        """32 bytes that name each value to the vault, whatever version its pseudonym carries.

        From the oldest root: who was forgotten stays forgotten under every later key.
        """
        return _digests(values, keys.secret("subject", version=keys.keyring.oldest))

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:  # noqa: ARG002 - right for any field
        """Nothing can be wrong."""
        return None


def _digests(values: Sequence[object], secret: bytes) -> list[bytes]:
    """HMAC-SHA256 (RFC 2104) of each value.

    From copies of one that is keyed once: two of the four hash blocks a value are saved. The
    standard library's takes three times as long, and twice as long to copy.
    """
    keyed = HMAC(secret, SHA256())
    digests = []
    for content in chain.from_iterable(map(normalised, portions(values))):
        mac = keyed.copy()
        mac.update(content)
        digests.append(mac.finalize())
    return digests


def _digest_tokens(values: Sequence[object], secret: bytes, version: int) -> list[object]:
    return [*write_tokens(version, _digests(values, secret))]


class _Siv:
    """AES-SIV for one field, under the key of one version and one purpose."""

    def __init__(self, purpose: str, keys: FieldKeys, version: int) -> None:
        self._key = keys.secret(purpose, version=version, length=_SIV_KEY)
        self._associated = [keys.feed.encode(), keys.field.encode(), str(version).encode()]

    def seal(self, values: Sequence[object], kind: FieldType) -> Iterator[bytes]:
        # Late: numpy takes longer to import than the rest of the command line.
        from pipeline.masking.siv import encrypt_all  # noqa: PLC0415

        for portion in portions(values):
            yield from encrypt_all(self._key, self._associated, pack(portion, kind))

    def open(self, sealed: bytes, kind: FieldType) -> str:
        try:
            return unpack(AESSIV(self._key).decrypt(sealed, self._associated), kind)
        except (InvalidTag, ValueError):  # the second where the field has had another type
            raise _unopenable() from None


def _unopenable() -> TokenError:
    return TokenError(
        "this pseudonym does not open",
        remedy="Check that it is whole, of this column, and made with this keyring",
    )
