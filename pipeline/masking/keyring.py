"""The keys: one root per version in a local file, and a key of its own for each purpose."""

import base64
import contextlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from pipeline.errors import KeyringError

_ROOT_BYTES = 64
_NONCE_BYTES = 12  # AES-GCM, NIST SP 800-38D
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class FieldKey:
    """The key for one field of one feed.

    Attributes:
        version: The version of the root it comes from; a pseudonym carries it.
        secret: 32 bytes, in no representation of this object.
    """

    version: int
    secret: bytes = field(repr=False)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """The key file: the current version, and each version's root in base64."""

    current: int
    roots: dict[int, str]


class Keyring:
    """The versioned roots. Neither they nor what comes of them show in any representation.

    Args:
        roots: Each version's root, 64 bytes.
        current: The version that new pseudonyms carry.
    """

    def __init__(self, roots: dict[int, bytes], current: int) -> None:
        self._roots = roots
        self._current = current

    @classmethod
    def load(cls, path: Path) -> Self:
        """The keyring in a file.

        Raises:
            KeyringError: There is no such file, others can read it, or it is not a keyring.
        """
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read()
        except FileNotFoundError:
            raise _unusable(path, "does not exist", "Restore it from its backup") from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise _unusable(path, f"cannot be read ({reason})", "Check owner and mode") from None
        if mode & _OTHERS:
            raise _unusable(path, "can be read by others", f"Run: chmod 600 {path}")
        try:
            parsed = msgspec.json.decode(content, type=_File)
            roots = {version: base64.b64decode(root) for version, root in parsed.roots.items()}
        except (msgspec.DecodeError, ValueError):
            raise _unusable(path, "is not a keyring", "Restore it from its backup") from None
        if parsed.current not in roots or any(len(root) != _ROOT_BYTES for root in roots.values()):
            problem = f"lacks its current version or holds a root of other than {_ROOT_BYTES} bytes"
            raise _unusable(path, problem, "Restore it from its backup")
        return cls(roots, parsed.current)

    @classmethod
    def load_or_make(cls, path: Path) -> Self:
        """The keyring in a file, which is made with a random root if it is not there.

        Raises:
            KeyringError: As `load`, or the file cannot be made.
        """
        if not path.exists():
            _make(path)
        return cls.load(path)

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that tell this keyring from another and reveal nothing of it.

        Derived from the oldest root, so that a new version does not change it.
        """
        return self._derive(min(self._roots), "fingerprint")

    def field_key(self, feed: str, field: str) -> FieldKey:
        """The current key for a field of a feed."""
        return FieldKey(self._current, self._derive(self._current, "field", feed, field))

    def settlement_key(self, feed: str) -> bytes:
        """The key under which the ledger remembers a feed's event ids: 32 bytes.

        From the oldest root: the same event must be recognised whatever version is current.
        """
        return self._derive(min(self._roots), "settlement", feed)

    def seal(self, feed: str, plain: bytes) -> bytes:
        """Encrypts bytes for the quarantine: `version (4 bytes) + nonce + AES-256-GCM`."""
        version = self._current.to_bytes(4)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = AESGCM(self._derive(self._current, "quarantine", feed))
        return version + nonce + cipher.encrypt(nonce, plain, version + feed.encode())

    def _derive(self, version: int, *purpose: str) -> bytes:
        # HKDF (RFC 5869), expand only: a root is uniformly random already. Names are separated
        # by a character that none of them may contain.
        info = "\x1f".join(purpose).encode()
        return HKDFExpand(hashes.SHA256(), length=32, info=info).derive(self._roots[version])


def _make(path: Path) -> None:
    root = base64.b64encode(secrets.token_bytes(_ROOT_BYTES)).decode()
    content = msgspec.json.encode(_File(current=1, roots={1: root}))
    side = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(side, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # A link is all or nothing, and fails where another process was first: its key stays.
            with contextlib.suppress(FileExistsError):
                os.link(side, path)
        finally:
            side.unlink()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _unusable(path, f"cannot be made ({reason})", "Check the folder's mode") from None


def _unusable(path: Path, problem: str, remedy: str) -> KeyringError:
    return KeyringError(f"the key file {path} {problem}", remedy=f"{remedy}; nothing was received")
