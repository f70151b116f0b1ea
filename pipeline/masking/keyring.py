"""The keys: one root per version, and a key of its own for each feed, field and purpose."""

import secrets
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from pipeline.errors import KeyringError

ROOT_BYTES = 64
_NONCE_BYTES = 12  # AES-GCM, NIST SP 800-38D
_VERSION_BYTES = 4
_HEAD_BYTES = _VERSION_BYTES + _NONCE_BYTES


class Keyring:
    """The versioned roots. Neither they nor what comes of them show in any representation.

    Args:
        roots: Each version's root, 64 bytes.
        current: The version that new pseudonyms carry.

    Raises:
        ValueError: There is no root of the current version, or one of another length.
    """

    def __init__(self, roots: dict[int, bytes], current: int) -> None:
        if current not in roots or any(len(root) != ROOT_BYTES for root in roots.values()):
            raise ValueError(
                f"lacks its current version or holds a root of other than {ROOT_BYTES} bytes"
            )
        self._roots = dict(roots)
        self.current = current

    @property
    def oldest(self) -> int:
        """The version under which is derived what must stay the same through all later ones."""
        return min(self._roots)

    @property
    def versions(self) -> tuple[int, ...]:
        """All versions, the oldest first."""
        return tuple(sorted(self._roots))

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that tell this keyring from another and reveal nothing of it.

        Derived from the oldest root, so that a new version does not change it.
        """
        return self.fingerprints[self.oldest]

    @property
    def fingerprints(self) -> dict[int, bytes]:
        """The same of each version's root: 32 bytes that tell it from another."""
        return {version: self.derive(version, 32, "fingerprint") for version in self.versions}

    def field_keys(self, feed: str, field: str) -> "FieldKeys":
        """The keys of a field of a feed, `field` being its path in the message."""
        return FieldKeys(self, feed, field)

    def settlement_key(self, feed: str) -> bytes:
        """The key under which the ledger remembers a feed's event ids: 32 bytes.

        From the oldest root: the same event must be recognised whatever version is current.
        """
        return self.derive(self.oldest, 32, "settlement", feed)

    def seal(self, feed: str, plain: bytes) -> bytes:
        """Encrypts bytes for the quarantine: `version (4 bytes) + nonce + AES-256-GCM`."""
        version = self.current.to_bytes(_VERSION_BYTES)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = AESGCM(self.derive(self.current, 32, "quarantine", feed))
        return version + nonce + cipher.encrypt(nonce, plain, version + feed.encode())

    def unseal(self, feed: str, sealed: bytes) -> bytes:
        """Decrypts what `seal` has made.

        Raises:
            KeyringError: The keyring lacks the version, or what is sealed was changed.
        """
        version, nonce = sealed[:_VERSION_BYTES], sealed[_VERSION_BYTES:_HEAD_BYTES]
        cipher = AESGCM(self.derive(int.from_bytes(version), 32, "quarantine", feed))
        try:
            return cipher.decrypt(nonce, sealed[_HEAD_BYTES:], version + feed.encode())
        except (InvalidTag, ValueError):
            raise KeyringError(
                "a message of the quarantine does not open with this keyring",
                remedy="It was changed, or cut short: restore the quarantine from a backup",
                feed=feed,
            ) from None

    def derive(self, version: int, length: int, *purpose: str) -> bytes:
        """A key for one purpose: HKDF-SHA256 (RFC 5869), expand only.

        A root is uniformly random already, so there is nothing to extract. The words of the
        purpose are joined by the character U+001F, which none of them may contain.

        Raises:
            KeyringError: The keyring has no such version.
        """
        root = self._roots.get(version)
        if root is None:
            raise KeyringError(
                f"the keyring has no version {version}",
                remedy="Restore the keyring that holds it from its backup",
            )
        info = "\x1f".join(purpose).encode()
        return HKDFExpand(hashes.SHA256(), length=length, info=info).derive(root)


@dataclass(frozen=True, slots=True)
class FieldKeys:
    """The keys of one field of one feed.

    Attributes:
        keyring: Where they are derived from.
        feed: The feed's name.
        field: The field's path in the message: a renamed column keeps its keys.
    """

    keyring: Keyring = field(repr=False)
    feed: str
    field: str

    @property
    def current(self) -> int:
        """The version that new pseudonyms carry."""
        return self.keyring.current

    def secret(self, purpose: str, *, version: int, length: int = 32) -> bytes:
        """The key for one purpose, in bytes.

        Raises:
            KeyringError: The keyring has no such version.
        """
        return self.keyring.derive(version, length, purpose, self.feed, self.field)


class KeyStore(Protocol):
    """Where a keyring is kept.

    Every method raises `KeyringError` where the keyring cannot be had, or not be trusted.
    """

    @property
    def place(self) -> str:
        """Where that is, for people; it tells nothing of the keys."""

    def load(self) -> Keyring:
        """The keyring, which must exist."""

    def load_or_make(self) -> Keyring:
        """The keyring; made with a random root where there is none at all."""

    def add_version(self) -> Keyring:
        """The keyring, which must exist, with a new random root that is current from now on.

        The earlier roots stay. Of two that add one at once, one is refused.
        """
