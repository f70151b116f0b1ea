"""The keyring in a local file: private from its first instant, and made on first use."""

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from pipeline.errors import KeyringError
from pipeline.masking.keyring import ROOT_BYTES, Keyring

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
"""Whatever others may do with a file."""

OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
"""That others may write a file."""

_RESTORE: Final = "Restore it from its backup"
_RESTORE_OR_MAKE: Final = f"{_RESTORE}, or run `pipeline keys make` if the warehouse is new"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """The key file: the current version, and each version's root in base64."""

    current: int
    roots: dict[int, bytes]

    def __repr__(self) -> str:
        return "_File(...)"  # its own would show the roots


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """A file of mode 0600 that is made once and replaced whole, for keys wrapped or not."""

    path: Path

    def read(self, *, refused: int = OTHERS) -> bytes | None:
        """The file's content; None where there is no file.

        Args:
            refused: `OTHERS`, or `OTHERS_WRITE` where what it holds is no secret.

        Raises:
            KeyringError: It cannot be read, or others can.
        """
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.unusable(
                f"cannot be read ({_reason(error)})", "Check owner and mode"
            ) from None
        if mode & refused:
            way = "read" if refused == OTHERS else "written"
            raise self.unusable(f"can be {way} by others", f"Run: chmod 600 {self.path}")
        return content

    def make(self, content: bytes) -> None:
        """Makes the file, and its folder; where another process was first, its file stays.

        Raises:
            KeyringError: It cannot be made.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A link is all or nothing, and fails where there is a file already.
            with _side_file(self.path, content) as side, contextlib.suppress(FileExistsError):
                os.link(side, self.path)
        except OSError as error:
            problem = f"cannot be made ({_reason(error)})"
            raise self.unusable(problem, "Check the folder's mode") from None

    def replace(self, content: bytes, *, seen: bytes) -> None:
        """Puts another content in the place of the one that was seen, at once and for good.

        A crash leaves the one or the other. The lock is on the file that is replaced, so that
        whoever comes second holds one that no longer has the name.

        Raises:
            KeyringError: It cannot be written, or is not any more as it was seen.
        """
        path = self.path.resolve()  # a link to the file stays one
        try:
            with path.open("rb+") as old:
                fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
                status = os.fstat(old.fileno())
                if not os.path.samestat(status, path.stat()) or old.read() != seen:
                    raise BlockingIOError
                with _side_file(path, content) as side:
                    # The administrator may act for the owner, who has to read it afterwards.
                    os.chown(side, status.st_uid, -1, follow_symlinks=False)
                    side.rename(path)
        except BlockingIOError:
            problem = "is being changed by another process"
            raise self.unusable(problem, "Look at it, and try again if need be") from None
        except OSError as error:
            problem = f"cannot be replaced ({_reason(error)})"
            raise self.unusable(problem, "Check the folder's mode") from None

    def unusable(self, problem: str, remedy: str) -> KeyringError:
        """The error that names this file, a problem with it, and what to do."""
        return KeyringError(
            f"the key file {self.path} {problem}", remedy=f"{remedy}; nothing was received"
        )


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A keyring in a file of mode 0600; a `KeyStore`."""

    path: Path

    @property
    def place(self) -> str:
        """The file's path."""
        return str(self.path)

    def load(self) -> Keyring:
        """The keyring in the file.

        Raises:
            KeyringError: There is no such file, others can read it, or it is not a keyring.
        """
        return self._keyring(self._parsed(self._content()))

    def load_or_make(self) -> Keyring:
        """The keyring in the file, which is made with a random root if it is not there.

        Raises:
            KeyringError: As `load`, or the file cannot be made.
        """
        file = PrivateFile(self.path)
        if file.read() is None:
            file.make(_encoded(_File(current=1, roots={1: secrets.token_bytes(ROOT_BYTES)})))
        return self.load()

    def add_version(self) -> Keyring:
        """The keyring with a new random root, which is current from now on.

        Raises:
            KeyringError: As `load`, the file cannot be replaced, or another process does so.
        """
        seen = self._content()
        parsed = self._parsed(seen)
        self._keyring(parsed)  # a keyring that is wrong already is not built upon
        version = max(parsed.roots) + 1
        roots = parsed.roots | {version: secrets.token_bytes(ROOT_BYTES)}
        added = _File(current=version, roots=roots)
        PrivateFile(self.path).replace(_encoded(added), seen=seen)
        return self._keyring(added)

    def _content(self) -> bytes:
        file = PrivateFile(self.path)
        content = file.read()
        if content is None:
            raise file.unusable("does not exist", _RESTORE_OR_MAKE)
        return content

    def _parsed(self, content: bytes) -> _File:
        try:
            return msgspec.json.decode(content, type=_File)
        except (msgspec.DecodeError, ValueError):
            raise PrivateFile(self.path).unusable("is not a keyring", _RESTORE) from None

    def _keyring(self, parsed: _File) -> Keyring:
        try:
            return Keyring(parsed.roots, parsed.current)
        except ValueError as error:
            raise PrivateFile(self.path).unusable(str(error), _RESTORE) from None


def _encoded(file: _File) -> bytes:
    return msgspec.json.encode(file)


@contextlib.contextmanager
def _side_file(path: Path, content: bytes) -> Iterator[Path]:
    """A private file beside another, wholly on the disk; gone afterwards, as is what it was."""
    side = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(side, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield side
        _sync(path.parent)
    finally:
        side.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
