"""Which keyring the settings lead to."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import boto3

from pipeline.errors import KeyringError
from pipeline.local.services import local_folder
from pipeline.masking.key_file import KeyFile
from pipeline.masking.keyring import KeyStore
from pipeline.resources.aws_client import open_session
from pipeline.resources.key_envelope import KeyEnvelope, is_envelope
from pipeline.resources.key_places import FilePlace, Place, SecretPlace, SsmPlace
from pipeline.resources.settings import KEYRING, Settings

_PLACES: Final[dict[str, Callable[[str, boto3.Session], Place]]] = {
    "ssm": SsmPlace,
    "secretsmanager": SecretPlace,
}
_KIND: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)


def key_store(settings: Settings) -> KeyStore:
    """Where the keyring is kept; looks at a file, and asks nobody.

    A file says by its content whether it is an envelope. Where there is none yet, it becomes one
    if the settings name a KMS key.

    Raises:
        KeyringError: The setting is neither a path nor a place of AWS, or AWS_PROFILE names none.
    """
    named = _KIND.fullmatch(settings.keyring or "")
    if named is None:
        path = Path(settings.keyring or local_folder() / "keyring.json").expanduser()
        to_be_made = settings.keyring_kms_key and not os.path.lexists(path)
        if not to_be_made and not is_envelope(path):
            return KeyFile(path)
        return KeyEnvelope(FilePlace(path), settings.keyring_kms_key, open_session(settings.region))
    kind, name = named.groups()
    if kind not in _PLACES or not name.strip():
        raise KeyringError(
            f"{KEYRING} names no place for a keyring",
            remedy="Write a path, ssm:NAME or secretsmanager:NAME (and ./NAME for a file with a"
            " colon in its name); nothing was received",
        )
    session = open_session(settings.region)
    return KeyEnvelope(_PLACES[kind](name, session), settings.keyring_kms_key, session)
