"""The keys: one for each purpose, derived and sealed with as the standards say, never shown."""

import base64
from typing import Final

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from pipeline.errors import KeyringError
from pipeline.masking.keyring import Keyring
from pipeline_tests.samples import CANARY, KEYRING

ROOT: Final = bytes(range(64))


def test_no_key_shows_in_any_representation() -> None:
    keys = KEYRING.field_keys("logins", "ip")
    shown = f"{KEYRING!r} {KEYRING} {keys!r} {keys}"
    secret = keys.secret("field", version=1)
    secrets = [ROOT, secret, KEYRING.settlement_key("logins"), KEYRING.fingerprint]
    for secret in secrets:
        for form in (secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1]):
            assert form not in shown


def secret_of(feed: str, field: str) -> bytes:
    return KEYRING.field_keys(feed, field).secret("field", version=1)


def hkdf_expand(root: bytes, *purpose: str) -> bytes:
    """RFC 5869, section 2.3, for the one block of 32 bytes: HMAC(root, info | 0x01)."""
    mac = HMAC(root, SHA256())
    mac.update("\x1f".join(purpose).encode() + b"\x01")
    return mac.finalize()


def test_every_key_is_the_hkdf_expansion_of_its_root_for_its_purpose() -> None:
    assert KEYRING.fingerprint == hkdf_expand(ROOT, "fingerprint")
    assert KEYRING.settlement_key("logins") == hkdf_expand(ROOT, "settlement", "logins")
    assert secret_of("logins", "ip") == hkdf_expand(ROOT, "field", "logins", "ip")


def test_every_purpose_has_a_key_of_its_own() -> None:
    keys = [
        KEYRING.fingerprint,
        KEYRING.settlement_key("a"),
        KEYRING.settlement_key("b"),
        secret_of("a", "b.c"),
        secret_of("a", "b"),
        KEYRING.field_keys("a", "b").secret("encrypt", version=1),
        secret_of("b", "b"),
        secret_of("ab", "c"),
        secret_of("a", "bc"),
    ]
    assert len(set(keys)) == len(keys)


def test_a_new_version_changes_pseudonyms_and_neither_identity_nor_fingerprint() -> None:
    rotated = Keyring({1: ROOT, 2: bytes(64)}, current=2)
    assert rotated.fingerprint == KEYRING.fingerprint
    assert rotated.settlement_key("a") == KEYRING.settlement_key("a")
    keys = rotated.field_keys("a", "b")
    assert (keys.current, rotated.versions, rotated.oldest) == (2, (1, 2), 1)
    assert keys.secret("field", version=2) != keys.secret("field", version=1)
    assert keys.secret("field", version=1) == secret_of("a", "b")


def test_a_version_that_the_keyring_does_not_have_is_named() -> None:
    """Fault 70."""
    with pytest.raises(KeyringError, match="no version 7"):
        KEYRING.field_keys("a", "b").secret("field", version=7)


@pytest.mark.parametrize(("roots", "current"), [({}, 1), ({1: ROOT}, 2), ({1: bytes(63)}, 1)])
def test_a_keyring_without_its_current_root_or_with_a_short_one_cannot_be_made(
    roots: dict[int, bytes], current: int
) -> None:
    """Fault 70."""
    with pytest.raises(ValueError, match="lacks its current version"):
        Keyring(roots, current)


def unseal(sealed: bytes, feed: str, root: bytes) -> bytes:
    """`version (4 bytes) + nonce (12 bytes) + AES-256-GCM`, bound to version and feed."""
    version, nonce, cipher = sealed[:4], sealed[4:16], sealed[16:]
    assert version == (1).to_bytes(4)
    key = hkdf_expand(root, "quarantine", feed)
    return AESGCM(key).decrypt(nonce, cipher, version + feed.encode())


@pytest.mark.parametrize("plain", [b"", CANARY.encode(), "\ud800".encode(errors="surrogatepass")])
def test_what_is_sealed_opens_with_the_root_and_shows_nothing_without(plain: bytes) -> None:
    sealed = KEYRING.seal("logins", plain)
    assert unseal(sealed, "logins", ROOT) == plain
    assert not plain or plain not in sealed
    for feed, root in (("other", ROOT), ("logins", bytes(64))):
        with pytest.raises(InvalidTag):
            unseal(sealed, feed, root)


def test_a_sealed_body_that_was_changed_does_not_open() -> None:
    sealed = bytearray(KEYRING.seal("logins", b"plain"))
    sealed[-1] ^= 1
    with pytest.raises(InvalidTag):
        unseal(bytes(sealed), "logins", ROOT)


def test_the_same_body_is_never_sealed_alike() -> None:
    sealed = {KEYRING.seal("logins", b"plain") for _ in range(100)}
    assert len({each[4:16] for each in sealed}) == 100
