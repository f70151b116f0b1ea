"""The keyring in a local file: private from its first instant, and made on first use."""

import base64
import contextlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pipeline.errors import KeyringError
from pipeline.masking.keyring import ROOT_BYTES, Keyring

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """The key file: the current version, and each version's root in base64."""

    current: int
    roots: dict[int, str]


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A keyring in a file of mode 0600; a `KeyStore`."""

    path: Path

    def load(self) -> Keyring:
        """The keyring in the file.

        Raises:
            KeyringError: There is no such file, others can read it, or it is not a keyring.
        """
        path = self.path
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
        try:
            return Keyring(roots, parsed.current)
        except ValueError as error:
            raise _unusable(path, str(error), "Restore it from its backup") from None

    def load_or_make(self) -> Keyring:
        """The keyring in the file, which is made with a random root if it is not there.

        Raises:
            KeyringError: As `load`, or the file cannot be made.
        """
        if not self.path.exists():
            _make(self.path)
        return self.load()


def _make(path: Path) -> None:
    root = base64.b64encode(secrets.token_bytes(ROOT_BYTES)).decode()
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
