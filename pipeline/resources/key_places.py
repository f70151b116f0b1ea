"""Where an envelope is kept: a file, an SSM parameter, or a secret of Secrets Manager."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import boto3

from pipeline.errors import KeyringError
from pipeline.masking.key_file import OTHERS_WRITE, PrivateFile
from pipeline.resources.aws_client import CONFIG, translated

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_ssm import SSMClient

_TIER: Final = "Intelligent-Tiering"  # the standard one ends at 4 KB, a dozen versions of the keys
_CURRENT: Final = "AWSCURRENT"
_WAITING: Final = "pipeline-waiting"  # the label of a secret's version that is not current yet


@dataclass(frozen=True, slots=True)
class Found:
    """What was found at a place.

    Attributes:
        content: The document.
        revision: The place's own name for this state of it.
    """

    content: bytes = field(repr=False)
    revision: str = ""


class Place(Protocol):
    """Somewhere that holds one document; every method raises `KeyringError` where it cannot."""

    @property
    def name(self) -> str:
        """As `PIPELINE_KEYRING` names it."""

    def read(self) -> Found | None:
        """The document; None where there is none."""

    def make(self, content: bytes) -> None:
        """Puts the first document there; where another was first, that one stays."""

    def replace(self, content: bytes, seen: Found) -> None:
        """Puts another document there, unless it is not any more what was seen."""


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A file that its owner alone may write. Others may read it: its keys are wrapped."""

    path: Path

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.path)

    def read(self) -> Found | None:
        """As `Place`."""
        content = PrivateFile(self.path).read(refused=OTHERS_WRITE)
        return None if content is None else Found(content)

    def make(self, content: bytes) -> None:
        """As `Place`."""
        PrivateFile(self.path).make(content)

    def replace(self, content: bytes, seen: Found) -> None:
        """As `Place`."""
        PrivateFile(self.path).replace(content, seen=seen.content)


@dataclass(frozen=True, slots=True)
class SsmPlace:
    """A parameter of AWS Systems Manager, String or SecureString."""

    parameter: str
    session: boto3.Session = field(repr=False)

    @property
    def name(self) -> str:
        """As `ssm:NAME`."""
        return f"ssm:{self.parameter}"

    def read(self) -> Found | None:
        """As `Place`."""
        with self._client() as ssm:
            try:
                answer = ssm.get_parameter(Name=self.parameter, WithDecryption=True)
            except ssm.exceptions.ParameterNotFound:
                return None
        found = answer["Parameter"]
        return Found(found["Value"].encode(), str(found["Version"]))

    def make(self, content: bytes) -> None:
        """As `Place`."""
        with self._client() as ssm, suppress(ssm.exceptions.ParameterAlreadyExists):
            ssm.put_parameter(
                Name=self.parameter,
                Value=content.decode(),
                Type="String",
                Tier=_TIER,
                Overwrite=False,
            )

    def replace(self, content: bytes, seen: Found) -> None:
        """As `Place`, but for two that write within the same instant.

        SSM cannot be told to write only over what was seen. It counts its versions, though, and
        keeps the earlier ones: whoever was second finds out, and says which version to put back.
        """
        if self.read() != seen:
            raise _changed(self.name)
        with self._client() as ssm:
            written = ssm.put_parameter(
                Name=self.parameter, Value=content.decode(), Tier=_TIER, Overwrite=True
            )
        first = int(seen.revision) + 1
        if written["Version"] != first:
            raise KeyringError(
                f"the keyring at {self.name} was changed by two processes at once",
                remedy=f"Stop all runs, put version {first} of the parameter back, which the other"
                " wrote, and try again",
            )

    @contextmanager
    def _client(self) -> "Iterator[SSMClient]":
        with translated(f"the keyring at {self.name}"):
            client = self.session.client("ssm", config=CONFIG)
            with closing(client):
                yield client


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """A secret of AWS Secrets Manager."""

    secret: str
    session: boto3.Session = field(repr=False)

    @property
    def name(self) -> str:
        """As `secretsmanager:NAME`."""
        return f"secretsmanager:{self.secret}"

    def read(self) -> Found | None:
        """As `Place`."""
        with self._client() as secrets:
            try:
                answer = secrets.get_secret_value(SecretId=self.secret, VersionStage=_CURRENT)
            except secrets.exceptions.ResourceNotFoundException:
                return None
        return Found(answer.get("SecretString", "").encode(), answer["VersionId"])

    def make(self, content: bytes) -> None:
        """As `Place`."""
        with self._client() as secrets, suppress(secrets.exceptions.ResourceExistsException):
            secrets.create_secret(Name=self.secret, SecretString=content.decode())

    def replace(self, content: bytes, seen: Found) -> None:
        """As `Place`: the label of the current version moves only from the one that was seen.

        Source: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
        """
        with self._client() as secrets:
            written = secrets.put_secret_value(
                SecretId=self.secret, SecretString=content.decode(), VersionStages=[_WAITING]
            )
            try:
                secrets.update_secret_version_stage(
                    SecretId=self.secret,
                    VersionStage=_CURRENT,
                    RemoveFromVersionId=seen.revision,
                    MoveToVersionId=written["VersionId"],
                )
            except secrets.exceptions.InvalidParameterException:
                raise _changed(self.name) from None

    @contextmanager
    def _client(self) -> "Iterator[SecretsManagerClient]":
        with translated(f"the keyring at {self.name}"):
            client = self.session.client("secretsmanager", config=CONFIG)
            with closing(client):
                yield client


def _changed(name: str) -> KeyringError:
    return KeyringError(
        f"the keyring at {name} was changed by another process meanwhile",
        remedy="Look at it, and try again if need be; nothing was written over",
    )
