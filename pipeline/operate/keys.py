"""What a person does with the keyring: make it, give it another version, look at it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pipeline.masking.keyring import Keyring, KeyStore
from pipeline.resources.key_stores import key_store
from pipeline.resources.settings import read_settings


@dataclass(frozen=True, slots=True)
class KeyringReport:
    """What may be told of a keyring.

    Attributes:
        place: Where it is kept.
        current: The version that new pseudonyms carry.
        versions: All that it can open, the oldest first.
        fingerprint: In hexadecimal; the same as the warehouse's, whatever version is current.
    """

    place: str
    current: int
    versions: tuple[int, ...]
    fingerprint: str

    @classmethod
    def of(cls, store: KeyStore, keyring: Keyring) -> Self:
        """What may be told of the keyring that a place holds."""
        return cls(store.place, keyring.current, keyring.versions, keyring.fingerprint.hex())


def make(environment: Mapping[str, str]) -> KeyringReport:
    """Makes the keyring where the environment says, unless there is one: then that one stays.

    Raises:
        KeyringError: It cannot be made, or the one that is there cannot be used.
    """
    store = key_store(read_settings(environment))
    return KeyringReport.of(store, store.load_or_make())


def add_version(environment: Mapping[str, str]) -> KeyringReport:
    """Gives the keyring a new version, with which everything is masked from the next run on.

    Raises:
        KeyringError: There is no keyring, it cannot be used, or cannot be written.
    """
    store = key_store(read_settings(environment))
    return KeyringReport.of(store, store.add_version())


def show(environment: Mapping[str, str]) -> KeyringReport:
    """Looks at the keyring.

    Raises:
        KeyringError: There is none, or it cannot be used.
    """
    store = key_store(read_settings(environment))
    return KeyringReport.of(store, store.load())
