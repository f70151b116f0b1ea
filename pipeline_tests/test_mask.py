"""A masked batch: equal stays equal, different stays different, null stays null, shape stays."""

import unicodedata
from typing import Final

import pandas as pd
import pytest
from hypothesis import given, settings

from pipeline.contract import Feed, Field
from pipeline.masking.keyring import Keyring
from pipeline.masking.mask import mask
from pipeline.masking.policies import Drop, Encrypt, IpCrypt, IpPrefix, Keep, Pseudonymize, Vault
from pipeline.types import IpAddress, Text
from pipeline_tests.policy_cases import EVERY_POLICY, FITS, KINDS, ROWS, batch, canonical
from pipeline_tests.samples import CANARY, KEYRING, USER_LOGINS, quickly

Row = dict[str, object]

TELL_APART: Final = (Encrypt, IpCrypt, Keep, Pseudonymize, Vault)
"""Policies under which different stays different."""

ADDRESSES: Final = Feed(
    name="visits",
    description="One address in two columns, and one that is only checked.",
    queue="visits",
    table="visits",
    fields=(
        Field("ip", IpAddress(), Encrypt(), column="who", personal=True),
        Field("secret", Text(20), Drop(), personal=True, nullable=True),
        Field("ip", IpAddress(), IpPrefix(), column="network", personal=True),
    ),
)
# Each example masks a column for every policy and type; fewer of them say as much.
fewer: Final = settings(quickly, max_examples=25)


def read(row: Row) -> Row:
    """A row as the decoder leaves it: values in canonical form."""
    return {name: canonical(name, value) for name, value in row.items()}


def one_column(name: str, values: list[object], keyring: Keyring = KEYRING) -> list[object]:
    """Values of one type under `Pseudonymize`."""
    place = [*FITS].index(Pseudonymize())
    masked = mask(EVERY_POLICY, batch([{name: value} for value in values]), keyring)
    return list(masked[f"c{place}_{name}"])


@fewer
@given(ROWS)
def test_masking_a_batch_is_masking_each_message_alone(raw: list[Row]) -> None:
    rows = [read(row) for row in raw]
    together = mask(EVERY_POLICY, batch(rows), KEYRING)
    alone = [mask(EVERY_POLICY, batch([row]), KEYRING).to_dict("records") for row in rows]
    assert together.to_dict("records") == [record for (record,) in alone]


@fewer
@given(ROWS)
def test_equal_stays_equal_different_stays_different_and_null_stays_null(raw: list[Row]) -> None:
    rows = [read(row) for row in [*raw, *map(respelt, raw)]]
    masked = mask(EVERY_POLICY, batch(rows), KEYRING)
    for each in EVERY_POLICY.columns:
        before = [same_person(row[each.path]) for row in rows]
        after = [same_person(value) for value in masked[each.name]]
        assert [value is None for value in after] == [value is None for value in before]
        for i in range(len(rows)):
            for j in range(i):
                if before[i] == before[j] or isinstance(each.policy, TELL_APART):
                    assert (after[i] == after[j]) == (before[i] == before[j])


def respelt(row: Row) -> Row:
    """The same row, its texts in Unicode's other normal form."""
    return {
        name: unicodedata.normalize("NFD", value)
        if isinstance(value, str) and len(unicodedata.normalize("NFD", value)) <= 50
        else value
        for name, value in row.items()
    }


def same_person(value: object) -> object:
    """What two values have in common that are one person's: texts differ in more than spelling."""
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


@fewer
@given(ROWS)
def test_a_kept_column_holds_its_values(raw: list[Row]) -> None:
    rows = [read(row) for row in raw]
    masked = mask(EVERY_POLICY, batch(rows), KEYRING)
    for each in EVERY_POLICY.columns:
        if isinstance(each.policy, Keep):
            kept = masked[each.name].tolist()
            assert [*map(repr, kept)] == [repr(row[each.path]) for row in rows]


def test_shape_index_order_and_dtypes_are_kept() -> None:
    raw = batch([{"text": "a"}, {"address": "::1"}, {}]).set_index(pd.Index([7, 3, 5]))
    masked = mask(EVERY_POLICY, raw, KEYRING)
    assert list(masked.columns) == [each.name for each in EVERY_POLICY.columns]
    assert masked.index.tolist() == [7, 3, 5]
    assert set(map(str, masked.dtypes)) == {"object"}


def test_the_batch_that_came_in_is_not_changed() -> None:
    before = batch([{"text": CANARY}])
    copied = before.copy()
    mask(EVERY_POLICY, before, KEYRING)
    pd.testing.assert_frame_equal(before, copied)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_batch_of_nothing_or_of_nulls_can_be_masked(rows: int) -> None:
    masked = mask(EVERY_POLICY, batch([{}] * rows), KEYRING)
    assert len(masked) == rows
    assert masked.notna().to_numpy().sum() == 0


def test_one_field_feeds_two_columns_and_a_dropped_one_none() -> None:
    rows: list[Row] = [{"ip": "203.0.113.77", "secret": CANARY}, {"ip": "203.0.113.7"}]
    masked = mask(ADDRESSES, batch(rows, ADDRESSES), KEYRING)
    assert list(masked.columns) == ["who", "network"]
    assert masked["network"].tolist() == ["203.0.113.0/24"] * 2
    assert masked["who"].nunique() == 2
    assert CANARY not in masked.to_string()


def test_large_integers_beside_a_null_keep_their_last_digit() -> None:
    one, nothing, other = one_column("integer", [2**53, None, 2**53 + 1])
    assert nothing is None
    assert one != other


def test_equal_values_in_two_columns_have_two_pseudonyms() -> None:
    """Nobody can join an address column with a free text by its pseudonyms."""
    assert one_column("text", ["10.0.0.1"]) != one_column("address", ["10.0.0.1"])


def test_another_keyring_gives_other_pseudonyms() -> None:
    other = Keyring({1: bytes(64)}, current=1)
    masked = [mask(EVERY_POLICY, batch([{"address": "10.0.0.1"}]), k) for k in (KEYRING, other)]
    keyed = {
        each.policy.name
        for each in EVERY_POLICY.columns
        if masked[0][each.name].tolist() != masked[1][each.name].tolist()
    }
    assert keyed == {"encrypt", "ip_crypt", "pseudonymize", "vault"}


def test_a_key_belongs_to_the_path_and_not_to_the_column() -> None:
    """A column may be renamed without losing what its pseudonyms join."""
    masked = mask(USER_LOGINS, batch([{"ip": "10.0.0.1"}], USER_LOGINS), KEYRING)
    keys = KEYRING.field_keys("user_logins", "ip")
    assert masked["masked_ip"].tolist() == Encrypt().mask(["10.0.0.1"], IpAddress(), keys)


def test_every_type_is_masked_by_each_policy_that_is_for_it() -> None:
    """The feed of these tests is whole: no policy and no type was left out of it."""
    assert len(EVERY_POLICY.fields) == sum(map(len, FITS.values()))
    assert {each.path for each in EVERY_POLICY.fields} == {*KINDS}
