"""Where the list of API keys is read from: a file, Secrets Manager, or the environment itself."""

import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

from pipeline.errors import KeyringError, SettingsError
from pipeline.masking.key_file import PrivateFile
from pipeline.resources.aws_client import CONFIG, open_session, translated

API_KEYS: Final = "PIPELINE_API_KEYS"
"""The setting that names the source."""

SECRET_SECONDS: Final = 180.0
"""How long a secret's content is taken for current: AWS charges for each look."""

_SECRET: Final = re.compile(r"secretsmanager:(?P<name>.*\S.*)", re.DOTALL)
_OTHER_KIND: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.*", re.DOTALL)


class KeySource(Protocol):
    """Somewhere that holds the list of API keys."""

    @property
    def place(self) -> str:
        """Its name, for the text of errors."""

    def changed(self) -> bool:
        """Whether it may hold another list than the one that was read last; asks nobody."""

    def read(self) -> bytes:
        """The list as it is now, in JSON.

        Raises:
            SettingsError: It cannot be read, or others can read it.
        """


class TextSource:
    """The setting itself; it stays as it is while a process runs."""

    place: Final = API_KEYS

    def __init__(self, text: str) -> None:
        self._text = text

    def changed(self) -> bool:
        """As `KeySource`."""
        return False

    def read(self) -> bytes:
        """As `KeySource`."""
        return self._text.encode(errors="surrogateescape")


class FileSource:
    """A file that only its owner can read.

    Attributes:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[int, ...] | None = None

    @property
    def place(self) -> str:
        """The file's path."""
        return str(self.path)

    def changed(self) -> bool:
        """As `KeySource`."""
        return self._status() != self._read

    def read(self) -> bytes:
        """As `KeySource`."""
        self._read = self._status()  # before the content: a change in between is seen next time
        try:
            content = PrivateFile(self.path).read()
        except KeyringError as error:
            raise SettingsError(
                error.what, remedy="Give it to the user of the service, with mode 0600"
            ) from None
        if content is None:
            raise SettingsError(
                f"there is no file of API keys at {self.path}",
                remedy=f"Correct {API_KEYS}, or make it with: pipeline api-keys new",
            )
        return content

    def _status(self) -> tuple[int, ...] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        # The time of change as well: it moves where somebody corrects the mode.
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class SecretSource:
    """A secret of AWS Secrets Manager, which is looked at every few minutes.

    Args:
        name: Its name or ARN.
        region: AWS's; None to leave it to boto3.
        clock: Seconds that never go back.

    Raises:
        SettingsError: AWS_PROFILE names no profile.
    """

    def __init__(
        self, name: str, region: str | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._clock = clock
        self._look_at = clock()
        try:
            self._session = open_session(region)
        except KeyringError as error:
            raise SettingsError(error.what, remedy="Correct AWS_PROFILE") from None

    @property
    def place(self) -> str:
        """As `secretsmanager:NAME`."""
        return f"secretsmanager:{self._name}"

    def changed(self) -> bool:
        """As `KeySource`."""
        return self._clock() >= self._look_at

    def read(self) -> bytes:
        """As `KeySource`."""
        self._look_at = self._clock() + SECRET_SECONDS
        try:
            with translated(f"the API keys at {self.place}"):
                client = self._session.client("secretsmanager", config=CONFIG)
                with closing(client):
                    answer = client.get_secret_value(SecretId=self._name)
        except KeyringError as error:
            raise SettingsError(
                error.what,
                remedy="Check its name, the network, AWS_REGION and the credentials, and that the"
                " role is allowed GetSecretValue, and Decrypt with its KMS key",
            ) from None
        return answer.get("SecretString", "").encode()


def key_source(setting: str, region: str | None) -> KeySource:
    """The source that a setting leads to; asks nobody yet.

    Args:
        setting: A path, `secretsmanager:NAME`, or the JSON text itself.
        region: AWS's, for Secrets Manager; None to leave it to boto3.

    Raises:
        SettingsError: It is none of these.
    """
    if setting.lstrip().startswith("{"):
        return TextSource(setting)
    if secret := _SECRET.fullmatch(setting):
        return SecretSource(secret["name"], region)
    if _OTHER_KIND.fullmatch(setting):
        raise SettingsError(
            f"{API_KEYS} names no place for API keys",
            remedy="Write a path, secretsmanager:NAME, or the JSON text itself (and ./NAME for a"
            " file with a colon in its name)",
        )
    return FileSource(Path(setting).expanduser())
