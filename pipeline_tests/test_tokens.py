"""Pseudonyms: made of published algorithms, opened by their key alone, and by no other."""

import hashlib
import hmac
import string
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import KeyringError, TokenError
from pipeline.masking.canonical import largest, pack, unpack
from pipeline.masking.keyring import Keyring
from pipeline.masking.policies import Encrypt, Pseudonymize, Vault
from pipeline.masking.token import characters, read_token, write_tokens
from pipeline.types import FieldType, IpAddress, Text
from pipeline_tests.policy_cases import (
    EXTREMES,
    KINDS,
    RAW,
    SOUND,
    canonical,
    given_key,
    keys_for,
)
from pipeline_tests.samples import CANARY, KEYRING, quickly

KEYS: Final = KEYRING.field_keys("user_logins", "ip")
TWO: Final = Keyring({1: bytes(range(64)), 2: bytes(range(1, 65))}, current=2)
TEXT: Final = Text(50)
ALPHABET: Final = string.ascii_letters + string.digits + "-_"
VALUES: Final = [(name, value) for name, values in EXTREMES.items() for value in values]
KIND_AND_VALUE: Final = st.sampled_from(list(KINDS)).flatmap(
    lambda name: st.tuples(st.just(name), RAW[name])
)


def encrypted(value: object, kind: FieldType = TEXT) -> str:
    (token,) = Encrypt().mask([value], kind, KEYS)
    return str(token)


# HMAC-SHA256 of RFC 4231, section 4: those whose data is text and whose key is no longer than ours.
@pytest.mark.parametrize(
    ("key", "text", "digest"),
    [
        (
            b"\x0b" * 20,
            "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
    ],
)
@pytest.mark.parametrize("policy", [Pseudonymize(), Vault()])
def test_a_one_way_pseudonym_is_the_hmac_of_the_rfc(
    policy: Pseudonymize | Vault, key: bytes, text: str, digest: str
) -> None:
    (token,) = policy.mask([text], TEXT, given_key(key))
    assert read_token(str(token)) == (1, bytes.fromhex(digest))


@quickly
@given(st.text(SOUND))
def test_a_one_way_pseudonym_is_the_librarys_hmac_behind_the_version_of_its_key(text: str) -> None:
    (token,) = Pseudonymize().mask([text], TEXT, KEYS)
    content = unicodedata.normalize("NFC", text).encode()
    digest = hmac.digest(KEYS.secret("field", version=1), content, hashlib.sha256)
    assert token == "v1." + urlsafe_b64encode(digest).decode().rstrip("=")


def test_the_three_pseudonyms_of_a_value_have_nothing_in_common() -> None:
    tokens = [each.mask(["a"], TEXT, KEYS) for each in (Pseudonymize(), Vault(), Encrypt())]
    assert len({str(token)[:20] for (token,) in tokens}) == 3


def test_another_feed_field_or_keyring_gives_another_pseudonym() -> None:
    others = [
        KEYS,
        KEYRING.field_keys("user_logins", "device_id"),
        KEYRING.field_keys("other", "ip"),
        Keyring({1: bytes(64)}, current=1).field_keys("user_logins", "ip"),
    ]
    for policy in (Pseudonymize(), Vault(), Encrypt()):
        assert len({str(policy.mask(["10.0.0.1"], TEXT, keys)) for keys in others}) == len(others)


@quickly
@given(KIND_AND_VALUE)
def test_an_encrypted_value_comes_back_in_canonical_form(case: tuple[str, object]) -> None:
    returns(*case)


@pytest.mark.parametrize(("name", "raw"), VALUES, ids=lambda case: ascii(case)[:30])
def test_the_oddest_values_come_back(name: str, raw: object) -> None:
    returns(name, raw)


def returns(name: str, raw: object) -> None:
    value, kind, keys = canonical(name, raw), KINDS[name], keys_for(name)
    (token,) = Encrypt().mask([value], kind, keys)
    opened = Encrypt().open(str(token), kind, keys)
    assert opened == unicodedata.normalize("NFC", str(value))
    if isinstance(kind, IpAddress):
        assert kind.read(opened) == opened


@quickly
@given(st.ip_addresses().map(str).map(IpAddress().read))
def test_an_address_is_packed_to_4_or_16_bytes_and_comes_back(address: str) -> None:
    (packed,) = pack([address], IpAddress())
    assert len(packed) == (16 if ":" in address else 4)
    assert unpack(packed, IpAddress()) == address


@quickly
@given(st.text(SOUND).filter(lambda text: len(unicodedata.normalize("NFC", text).encode()) <= 32))
def test_all_texts_of_up_to_32_bytes_have_pseudonyms_of_one_length(text: str) -> None:
    assert len(encrypted(text)) == len(encrypted(""))


@pytest.mark.parametrize("size", [0, 31, 32, 33, 63, 64, 65, 128, 129])
def test_the_length_of_a_longer_text_is_a_power_of_two(size: int) -> None:
    width = next(2**power for power in range(5, 9) if size <= 2**power)
    assert len(encrypted("a" * size)) == len("v1.") + characters(16 + width)


def test_no_character_grows_beyond_what_the_column_is_made_for() -> None:
    """Every character of Unicode, wholly decomposed: normal form C is no longer."""
    every = "\0".join(map(chr, (*range(1, 0xD800), *range(0xE000, 0x110000))))
    longest = max(len(each.encode()) for each in unicodedata.normalize("NFD", every).split("\0"))
    assert largest(Text(100)) >= 100 * longest


@pytest.mark.parametrize("policy", [Encrypt(), Pseudonymize(), Vault()])
def test_a_value_in_no_canonical_form_is_refused_and_shifts_no_other(
    policy: Encrypt | Pseudonymize | Vault,
) -> None:
    """The character that stands between values while they are normalised: no type lets it in."""
    with pytest.raises(ValueError, match=r"U\+0000") as caught:
        policy.mask(["Bob", f"{CANARY}\0Ann"], TEXT, KEYS)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("policy", [Encrypt(), Pseudonymize(), Vault()])
def test_a_new_version_gives_new_pseudonyms(policy: Encrypt | Pseudonymize | Vault) -> None:
    before = policy.mask(["a", "b"], TEXT, keys_for("text"))
    after = policy.mask(["a", "b"], TEXT, keys_for("text", TWO))
    assert not {str(token)[3:] for token in before} & {str(token)[3:] for token in after}
    assert {str(token)[:3] for token in after} == {"v2."}


def test_an_old_pseudonym_opens_under_a_keyring_with_a_new_version() -> None:
    old, keys = encrypted("Ann"), TWO.field_keys("user_logins", "ip")
    assert Encrypt().open(old, TEXT, keys) == "Ann"
    assert old not in Encrypt().mask(["Ann"], TEXT, keys)


def test_a_version_that_the_keyring_lacks_is_named() -> None:
    token = Encrypt().mask(["Ann"], TEXT, TWO.field_keys("user_logins", "ip"))[0]
    with pytest.raises(KeyringError, match="no version 2"):
        Encrypt().open(str(token), TEXT, KEYS)


@pytest.mark.parametrize("kind", [TEXT, IpAddress()])
def test_a_pseudonym_with_any_character_changed_does_not_open(kind: FieldType) -> None:
    """The last character too, some of whose bits no content has."""
    keys = TWO.field_keys("user_logins", "ip")
    token = str(Encrypt().mask(["10.0.0.1"], kind, keys)[0])
    for place in range(len(token)):
        for other in ALPHABET if place == len(token) - 1 else "Aw0-.2":
            changed = token[:place] + other + token[place + 1 :]
            if changed != token:
                refuses(changed, kind, keys)


@quickly
@given(st.binary(min_size=1, max_size=36), st.integers(0, 35))
def test_a_pseudonym_with_any_bits_changed_does_not_open(change: bytes, place: int) -> None:
    _, sealed = read_token(encrypted("Ann"))
    mixed = int.from_bytes(sealed) ^ (int.from_bytes(change) << 8 * place)
    changed = (mixed % 256 ** len(sealed)).to_bytes(len(sealed))
    if changed != sealed:
        refuses(write_tokens(1, [changed])[0])


@pytest.mark.parametrize("length", [*range(1, 16), 19, 20, 47, 49])
def test_a_pseudonym_of_another_length_does_not_open(length: int) -> None:
    _, sealed = read_token(encrypted("Ann"))
    refuses(write_tokens(1, [(sealed + b"\0\0")[:length]])[0])


def refuses(token: str, kind: FieldType = TEXT, keys: object = KEYS) -> None:
    with pytest.raises(TokenError) as caught:
        Encrypt().open(token, kind, keys)  # type: ignore[arg-type]
    says_nothing(caught.value, token)


def says_nothing(error: BaseException, *secrets: str) -> None:
    """Neither the error nor what it came of holds a pseudonym or a value."""
    told = f"{error!r} {error} {error.args} {vars(error)}"
    assert not any(secret in told for secret in secrets if len(secret) > 3)
    assert error.__suppress_context__ or error.__context__ is None


@pytest.mark.parametrize(("feed", "field"), [("other", "ip"), ("user_logins", "device_id")])
def test_a_pseudonym_of_another_column_does_not_open(feed: str, field: str) -> None:
    refuses(encrypted("Ann"), keys=KEYRING.field_keys(feed, field))


def test_a_pseudonym_of_another_policy_keyring_or_version_does_not_open() -> None:
    for policy in (Pseudonymize(), Vault()):
        refuses(str(policy.mask(["Ann"], TEXT, KEYS)[0]))
    refuses(
        encrypted("Ann"), keys=Keyring({1: bytes(64)}, current=1).field_keys("user_logins", "ip")
    )
    refuses(encrypted("Ann").replace("v1.", "v2."), keys=TWO.field_keys("user_logins", "ip"))


def test_even_one_root_under_two_versions_gives_pseudonyms_that_are_not_exchangeable() -> None:
    """The version is authenticated, not only written in front."""
    both = Keyring({1: bytes(64), 2: bytes(64)}, current=1).field_keys("user_logins", "ip")
    token = str(Encrypt().mask(["Ann"], TEXT, both)[0])
    refuses(token.replace("v1.", "v2."), keys=both)


def test_a_pseudonym_that_was_made_of_another_type_is_refused_without_its_content() -> None:
    for address in ("10.0.0.1", "203.0.113.7", "2001:db8::1"):
        refuses(encrypted(address, IpAddress()), TEXT)
    refuses(encrypted(CANARY), IpAddress())


@pytest.mark.parametrize(
    "text",
    [
        *("", "v1.", "v1", ".", "v1.A", "v0.QUFB", "v01.QUFB", "V1.QUFB", "v1.QUFB=", "v1.QUFB\n"),
        *(" v1.QUFB", "v1.QU+B", "v1.QU/B", "v1.QUFB.QUFB", "v12345678901.QUFB", "v1.QUF\u00e9"),
        *("v\u0661.QUFB", CANARY, "v-1.QUFB", "v1.QUF", "[redacted]", "****5928"),
    ],
)
def test_what_is_no_pseudonym_is_refused(text: str) -> None:
    with pytest.raises(TokenError) as caught:
        read_token(text)
    says_nothing(caught.value, text)


@quickly
@given(st.integers(1, 2**32 - 1), st.lists(st.binary(min_size=1, max_size=80), max_size=5))
def test_what_is_written_as_pseudonyms_is_read_from_them(
    version: int, content: list[bytes]
) -> None:
    tokens = write_tokens(version, content)
    assert [read_token(token) for token in tokens] == [(version, each) for each in content]
    assert [urlsafe_b64decode(token.partition(".")[2] + "==") for token in tokens] == content
