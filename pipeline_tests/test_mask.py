"""A masked batch: equal stays equal, different stays different, null stays null, shape stays."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Final

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contract import Feed, Field
from pipeline.masking.keyring import Keyring
from pipeline.masking.mask import mask
from pipeline.masking.policies import Keep, Pseudonymize
from pipeline.types import (
    Boolean,
    Date,
    FieldType,
    Integer,
    IpAddress,
    Number,
    Text,
    Timestamp,
    Version,
)
from pipeline_tests.samples import CANARY, KEYRING, USER_LOGINS, quickly

TYPES: Final[dict[str, FieldType]] = {
    "text": Text(50),
    "integer": Integer(),
    "number": Number(),
    "boolean": Boolean(),
    "timestamp": Timestamp(),
    "date": Date(),
    "version": Version(),
    "address": IpAddress(),
}
MASKED: Final = Feed(
    name="masked",
    description="A masked field of each type, and a kept one.",
    queue="masked",
    table="masked",
    fields=(
        *(Field(name, kind, Pseudonymize(), nullable=True) for name, kind in TYPES.items()),
        Field("kept", Text(50), Keep(), nullable=True),
    ),
)
SOUND: Final = st.characters(codec="utf-8", exclude_characters="\0")
RAW: Final[dict[str, st.SearchStrategy[object]]] = {
    "text": st.text(SOUND, max_size=50),
    "integer": st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2),
    "number": st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0]),
    "boolean": st.booleans(),
    "timestamp": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    "date": st.dates().map(str),
    "version": st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,2}){0,2}", fullmatch=True),
    "address": st.ip_addresses().map(str),
    "kept": st.text(SOUND, max_size=50),
}
ROWS: Final = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, values in RAW.items()}), max_size=8
)
Row = dict[str, object]


def read(row: Row) -> Row:
    """A row as the decoder leaves it: values in canonical form."""
    by_name = {each.name: each.type for each in MASKED.fields}
    return {k: None if v is None else by_name[k].read(v) for k, v in row.items()}


def frame(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[each.name for each in MASKED.fields], dtype=object)


def column(name: str, values: list[object], keyring: Keyring = KEYRING) -> list[object]:
    """The values of one column, masked."""
    rows: list[Row] = [dict.fromkeys(TYPES) | {"kept": None, name: value} for value in values]
    return list(mask(MASKED, frame(rows), keyring)[name])


@quickly
@given(ROWS)
def test_masking_a_batch_is_masking_each_message_alone(raw: list[Row]) -> None:
    rows = [read(row) for row in raw]
    together = mask(MASKED, frame(rows), KEYRING)
    alone = [mask(MASKED, frame([row]), KEYRING).to_dict("records") for row in rows]
    assert together.to_dict("records") == [record for (record,) in alone]


@quickly
@given(ROWS)
def test_equal_stays_equal_different_stays_different_and_null_stays_null(raw: list[Row]) -> None:
    rows = [read(row) for row in raw]
    masked = mask(MASKED, frame(rows), KEYRING)
    for name in TYPES:
        before = [same_person(row[name]) for row in rows]
        after = masked[name].tolist()
        assert [value is None for value in after] == [value is None for value in before]
        for i in range(len(rows)):
            for j in range(i):
                assert (after[i] == after[j]) == (before[i] == before[j])


def same_person(value: object) -> object:
    """What two values have in common that are one person's: texts differ in more than spelling."""
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


@quickly
@given(ROWS)
def test_a_masked_column_holds_pseudonyms_only_and_a_kept_one_its_values(raw: list[Row]) -> None:
    rows = [read(row) for row in raw]
    masked = mask(MASKED, frame(rows), KEYRING)
    for name in TYPES:
        for value in masked[name]:
            assert value is None or re.fullmatch(Pseudonymize.pattern, value)
    assert masked["kept"].tolist() == [row["kept"] for row in rows]


def test_shape_index_order_and_dtypes_are_kept() -> None:
    given_frame = frame([{"text": "a", "kept": "b"}, {"text": "c"}]).set_index(pd.Index([7, 3]))
    masked = mask(MASKED, given_frame.astype(object).where(given_frame.notna(), None), KEYRING)
    assert list(masked.columns) == list(given_frame.columns)
    assert masked.index.tolist() == [7, 3]
    assert set(map(str, masked.dtypes)) == {"object"}


def test_the_batch_that_came_in_is_not_changed() -> None:
    rows: list[Row] = [dict.fromkeys(TYPES) | {"text": CANARY, "kept": "k"}]
    before = frame(rows)
    assert CANARY not in mask(MASKED, before, KEYRING).to_string()
    assert before["text"].tolist() == [CANARY]


@pytest.mark.parametrize("rows", [0, 1])
def test_a_batch_of_nothing_or_of_nulls_can_be_masked(rows: int) -> None:
    masked = mask(MASKED, frame([dict.fromkeys([*TYPES, "kept"])] * rows), KEYRING)
    assert len(masked) == rows
    assert masked.notna().to_numpy().sum() == 0


def test_large_integers_beside_a_null_keep_their_last_digit() -> None:
    one, nothing, other = column("integer", [2**53, None, 2**53 + 1])
    assert nothing is None
    assert one != other


def test_equal_values_in_two_columns_have_two_pseudonyms() -> None:
    """Nobody can join an address column with a free text by its pseudonyms."""
    assert column("text", ["10.0.0.1"]) != column("address", ["10.0.0.1"])


def test_another_keyring_gives_other_pseudonyms() -> None:
    other = Keyring({1: bytes(64)}, current=1)
    assert column("text", ["a"]) != column("text", ["a"], other)


def test_a_key_belongs_to_the_path_and_not_to_the_column() -> None:
    """A column may be renamed without losing what its pseudonyms join."""
    (address,) = (each for each in USER_LOGINS.fields if each.path == "ip")
    rows = pd.DataFrame(
        [[None] * len(USER_LOGINS.fields)], columns=[each.name for each in USER_LOGINS.fields]
    ).astype(object)
    rows[address.name] = pd.Series(["10.0.0.1"], dtype=object)
    masked = mask(USER_LOGINS, rows, KEYRING)[address.name].tolist()
    assert masked == Pseudonymize().mask(
        ["10.0.0.1"], IpAddress(), KEYRING.field_keys("user_logins", "ip")
    )
