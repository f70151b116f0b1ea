"""What the vault keeps of a batch: sealed values that open with their key and pseudonym alone."""

import dataclasses
import tracemalloc
import unicodedata
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import KeyringError, PipelineError, TokenError
from pipeline.masking.keyring import Keyring
from pipeline.masking.mask import mask
from pipeline.masking.policies import Keep, Vault
from pipeline.masking.token import read_token
from pipeline.masking.vault import seal
from pipeline.types import IpAddress, Text
from pipeline_tests.policy_cases import (
    EVERY_POLICY,
    EXTREMES,
    KINDS,
    RAW,
    batch,
    canonical,
    keys_for,
)
from pipeline_tests.samples import CANARY, KEYRING, quickly

TEXT: Final = Text(50)
KEYS: Final = keys_for("text")
TWO: Final = Keyring({1: bytes(range(64)), 2: bytes(range(1, 65))}, current=2)
VALUES: Final = [(name, value) for name, values in EXTREMES.items() for value in values]
KIND_AND_VALUE: Final = st.sampled_from(list(KINDS)).flatmap(
    lambda name: st.tuples(st.just(name), RAW[name])
)


def sealed(value: object, keyring: Keyring = KEYRING) -> tuple[str, bytes]:
    """The pseudonym of a text and its vault row."""
    keys = keys_for("text", keyring)
    return str(Vault().mask([value], TEXT, keys)[0]), Vault().seal([value], TEXT, keys)[0]


@quickly
@given(KIND_AND_VALUE)
def test_a_value_comes_back_from_the_vault(case: tuple[str, object]) -> None:
    returns(*case)


@pytest.mark.parametrize(("name", "raw"), VALUES, ids=lambda case: ascii(case)[:30])
def test_the_oddest_values_come_back_from_the_vault(name: str, raw: object) -> None:
    returns(name, raw)


def test_long_values_come_to_what_each_comes_to_alone() -> None:
    """Together they are more than is worked on at once, and one of them is by itself."""
    values = [f"{place}" * size for place, size in enumerate([2**19, 2**18, 7, 2**21, 1, 2**20])]
    vault = Vault()

    assert vault.mask(values, TEXT, KEYS) == [vault.mask([each], TEXT, KEYS)[0] for each in values]
    assert vault.seal(values, TEXT, KEYS) == [vault.seal([each], TEXT, KEYS)[0] for each in values]


def test_sealing_long_values_takes_little_more_memory_than_what_comes_of_it() -> None:
    values = [f"{place:065536}" for place in range(256)]  # 16 MiB
    Vault().seal(["warm"], TEXT, KEYS)
    tracemalloc.start()
    try:
        kept = Vault().seal(values, TEXT, KEYS)
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert sum(map(len, kept)) <= left < peak < 1.8 * left


def returns(name: str, raw: object) -> None:
    value, kind, keys = canonical(name, raw), KINDS[name], keys_for(name)
    (token,), (content,) = Vault().mask([value], kind, keys), Vault().seal([value], kind, keys)
    opened = Vault().open(str(token), content, kind, keys)
    assert opened == unicodedata.normalize("NFC", str(value))


def test_a_vault_row_opens_with_no_other_pseudonym() -> None:
    (ann, of_ann), (bob, of_bob) = sealed("Ann"), sealed("Bob")
    for token, content in ((ann, of_bob), (bob, of_ann)):
        refuses(token, content)


def test_a_vault_row_with_any_byte_changed_does_not_open() -> None:
    token, content = sealed("Ann")
    for place in range(len(content)):
        for bit in (1, 128):
            changed = bytearray(content)
            changed[place] ^= bit
            refuses(token, bytes(changed))
    for length in range(len(content)):
        refuses(token, content[:length])


def test_a_vault_row_of_another_column_or_keyring_does_not_open() -> None:
    token, content = sealed("Ann")
    for keys in (
        KEYRING.field_keys(EVERY_POLICY.name, "short"),
        KEYRING.field_keys("other", "text"),
        Keyring({1: bytes(64)}, current=1).field_keys(EVERY_POLICY.name, "text"),
    ):
        with pytest.raises(TokenError):
            Vault().open(token, content, TEXT, keys)


def test_a_vault_row_that_was_sealed_from_another_type_is_refused() -> None:
    keys = keys_for("text")
    (content,) = Vault().seal(["10.0.0.1"], IpAddress(), keys)
    (token,) = Vault().mask(["10.0.0.1"], IpAddress(), keys)
    refuses(str(token), content)


def refuses(token: str, content: bytes) -> None:
    with pytest.raises((TokenError, KeyringError)) as caught:
        Vault().open(token, content, TEXT, KEYS)
    error: PipelineError = caught.value
    assert token not in f"{error!r} {error.args}"
    assert error.__suppress_context__ or error.__context__ is None


def test_an_old_row_opens_under_a_new_version_and_may_be_named_by_a_new_pseudonym() -> None:
    """What rotation leaves behind: a row of the one version, a pseudonym of the other."""
    (old, content), (new, again) = sealed("Ann"), sealed("Ann", TWO)
    assert (old[:3], new[:3]) == ("v1.", "v2.")
    for token in (old, new):
        for row in (content, again):
            assert Vault().open(token, row, TEXT, keys_for("text", TWO)) == "Ann"


def test_a_subject_is_one_under_every_version_and_spelling_and_another_elsewhere() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    names = Vault().subjects([composed, decomposed], KEYS)
    names += Vault().subjects([composed], keys_for("text", TWO))
    assert len({*names}) == 1
    others = [
        *Vault().subjects(["Ann"], KEYS),
        *Vault().subjects([composed], keys_for("short")),
        *Vault().subjects([composed], KEYRING.field_keys("other", "text")),
    ]
    assert len({*names, *others}) == 4
    assert {len(name) for name in (*names, *others)} == {32}


def test_a_subject_is_no_pseudonym_that_stands_in_a_table() -> None:
    """Whoever reads the vault cannot tell by the subject whose rows are whose."""
    token, _ = sealed("Ann")
    assert Vault().subjects(["Ann"], KEYS) != [read_token(token)[1]]
    assert Vault().tokens(["Ann"], KEYS, 1) == [token]


def test_a_batch_is_sealed_once_for_each_value_of_each_vault_field() -> None:
    rows: list[dict[str, object]] = [
        {"text": "Ann", "address": "::1"},
        {"text": "Bob", "address": None},
        {"text": "Ann", "address": "::1"},
    ]
    raw = batch(rows)
    kept = seal(EVERY_POLICY, raw, KEYRING)
    vaulted = {each.path: each.name for each in EVERY_POLICY.columns if each.policy == Vault()}
    assert {*vaulted} == {*KINDS}
    masked = mask(EVERY_POLICY, raw, KEYRING)
    for path in ("text", "address"):
        tokens = [row.token for row in kept if row.path == path]
        assert sorted(tokens) == sorted(masked[vaulted[path]].dropna().unique())
    assert len(kept) == 3
    opened = {
        Vault().open(row.token, row.sealed, KINDS[row.path], keys_for(row.path)) for row in kept
    }
    assert opened == {"Ann", "Bob", "::1"}


def test_a_feed_without_a_vault_seals_nothing() -> None:
    fields = tuple(dataclasses.replace(each, policy=Keep("a test")) for each in EVERY_POLICY.fields)
    feed = dataclasses.replace(EVERY_POLICY, fields=fields)
    assert seal(feed, batch([{"text": "Ann"}]), KEYRING) == ()


def test_a_vault_row_shows_nothing_of_its_value() -> None:
    (row,) = seal(EVERY_POLICY, batch([{"text": CANARY}]), KEYRING)
    assert CANARY not in repr(row)
    assert CANARY.encode() not in row.sealed + row.subject
    assert row.sealed.hex() not in repr(row)
    assert repr(row.sealed) not in repr(row)
