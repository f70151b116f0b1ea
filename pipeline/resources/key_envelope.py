"""The keyring wrapped by AWS KMS: what is kept opens only for whoever may use the KMS key."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import boto3
import msgspec

from pipeline.errors import KeyringError
from pipeline.masking.keyring import ROOT_BYTES, Keyring
from pipeline.resources.aws_client import CONFIG, translated
from pipeline.resources.key_places import Found, Place

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

_PURPOSE: Final = "sqs-postgres-pipeline keyring"
_RESTORE: Final = "Restore it from its backup; nothing was received"
_RESTORE_OR_MAKE: Final = (
    "Restore it from its backup, or run `pipeline keys make` if the warehouse is new;"
    " nothing was received"
)
_ARN: Final = r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$"


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    """The envelope: the current version, the KMS key, and each version's root as KMS wrapped it."""

    current: int
    kms_key: Annotated[str, msgspec.Meta(pattern=_ARN)]
    wrapped: dict[int, bytes]


class _AnyEnvelope(msgspec.Struct):
    """What tells an envelope from a keyring that lies open."""

    wrapped: msgspec.Raw


@dataclass(frozen=True, slots=True)
class KeyEnvelope:
    """A keyring whose roots AWS KMS has wrapped; a `KeyStore`.

    Each root is wrapped for its version: one cannot be passed off as another.

    Attributes:
        home: Where the envelope is kept.
        kms_key: The KMS key, by id, ARN or alias, that a new envelope is made with; None where
            none is to be made. An envelope names its own.
        session: As `open_session` makes it, which keeps the roots out of the log.
    """

    home: Place
    kms_key: str | None
    session: boto3.Session = field(repr=False)

    @property
    def place(self) -> str:
        """As `PIPELINE_KEYRING` names it."""
        return self.home.name

    def load(self) -> Keyring:
        """The keyring, opened with the right `kms:Decrypt`.

        Raises:
            KeyringError: It is missing or no envelope, or AWS refuses or does not answer.
        """
        return self._open(self._parsed(self._found()))

    def load_or_make(self) -> Keyring:
        """The keyring, which is made with a random root if there is none.

        Raises:
            KeyringError: As `load`; or there is none, and no KMS key to make one with.
        """
        if self.home.read() is None:
            self.home.make(msgspec.json.encode(self._first()))
        return self.load()

    def add_version(self) -> Keyring:
        """The keyring with a new random root, which is current from now on.

        Raises:
            KeyringError: As `load`; or another process was first, or the setting names another
                KMS key than the envelope.
        """
        found = self._found()
        document = self._parsed(found)
        self._open(document)  # a keyring that is wrong already is not built upon
        version = max(document.wrapped) + 1
        kms_key, root = self._new_root(self.kms_key or document.kms_key, version)
        if kms_key != document.kms_key:
            raise KeyringError(
                f"the keyring at {self.place} is under another KMS key than the setting names",
                remedy="Set PIPELINE_KEYRING_KMS_KEY to the envelope's `kms_key`, or unset it",
            )
        added = _Document(version, kms_key, document.wrapped | {version: root})
        keyring = self._open(added)  # before anybody depends on it
        self.home.replace(msgspec.json.encode(added), found)
        return keyring

    def _first(self) -> _Document:
        if self.kms_key is None:
            raise KeyringError(
                f"there is no keyring at {self.place}, and no KMS key to make one with",
                remedy="Restore the keyring, or set PIPELINE_KEYRING_KMS_KEY to make a new one;"
                " nothing was received",
            )
        kms_key, root = self._new_root(self.kms_key, 1)
        document = _Document(1, kms_key, {1: root})
        self._open(document)  # before anybody depends on it
        return document

    def _found(self) -> Found:
        found = self.home.read()
        if found is None:
            problem = f"the keyring at {self.place} does not exist"
            raise KeyringError(problem, remedy=_RESTORE_OR_MAKE)
        return found

    def _parsed(self, found: Found) -> _Document:
        try:
            return msgspec.json.decode(found.content, type=_Document)
        except (msgspec.DecodeError, ValueError):
            problem = f"the keyring at {self.place} is not an envelope of AWS KMS"
            raise KeyringError(problem, remedy=_RESTORE) from None

    def _new_root(self, kms_key: str, version: int) -> tuple[str, bytes]:
        """The ARN of the KMS key, and a random root that it wrapped, which nobody has seen."""
        with self._kms(kms_key) as kms:
            answer = kms.generate_data_key_without_plaintext(
                KeyId=kms_key, NumberOfBytes=ROOT_BYTES, EncryptionContext=_context(version)
            )
        return answer["KeyId"], answer["CiphertextBlob"]

    def _open(self, document: _Document) -> Keyring:
        roots = {}
        with self._kms(document.kms_key) as kms:
            for version, root in document.wrapped.items():
                answer = kms.decrypt(
                    KeyId=document.kms_key,
                    CiphertextBlob=root,
                    EncryptionContext=_context(version),
                )
                roots[version] = answer["Plaintext"]
        try:
            return Keyring(roots, document.current)
        except ValueError as error:
            problem = f"the keyring at {self.place} {error}"
            raise KeyringError(problem, remedy=_RESTORE) from None

    @contextmanager
    def _kms(self, kms_key: str) -> "Iterator[KMSClient]":
        with translated(f"the keyring at {self.place} under {kms_key}"):
            client = self.session.client("kms", config=CONFIG)
            with closing(client):
                yield client


def is_envelope(path: Path) -> bool:
    """Whether a file holds an envelope; not where it cannot be read or holds anything else."""
    try:
        msgspec.json.decode(path.read_bytes(), type=_AnyEnvelope)
    except (OSError, msgspec.DecodeError, ValueError):
        return False
    return True


def _context(version: int) -> dict[str, str]:
    """What KMS binds a wrapped root to, and shows in CloudTrail."""
    return {"purpose": _PURPOSE, "version": str(version)}
