"""Each type takes what its rules allow, in canonical form, and refuses the rest with a code."""

import ipaddress
import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reasons import Reason, Refused
from pipeline.types import (
    Boolean,
    Date,
    FieldType,
    Integer,
    IpAddress,
    JsonObject,
    Number,
    Scalar,
    Text,
    Texts,
    Timestamp,
    Version,
)
from pipeline_tests.samples import CANARY, quickly

WRONG: Final = Reason.WRONG_TYPE
INDIA: Final = timezone(timedelta(hours=5, minutes=30))

TAKEN: Final[list[tuple[FieldType, object, Scalar]]] = [
    (Text(3), "", ""),
    (Text(3), "äöü", "äöü"),
    (Text(1), "\N{GRINNING FACE}", "\N{GRINNING FACE}"),
    (Text(9), "=cmd()'--", "=cmd()'--"),
    (Text(9, max_bytes=4), "\N{GRINNING FACE}", "\N{GRINNING FACE}"),
    (Text(9, max_bytes=4), "abcd", "abcd"),
    # Three bytes as they come, two in the form that is counted; kept letter for letter.
    (Text(9, max_bytes=2), "e\u0301", "e\u0301"),
    (Text(4, allowed=("low", "high")), "high", "high"),
    (Integer(), 2**53 + 1, 2**53 + 1),
    (Integer(), -(2**63), -(2**63)),
    (Integer(), 2**63 - 1, 2**63 - 1),
    (Integer(1, 3), 3, 3),
    (Integer(), 83.0, 83),
    (Integer(), -(2.0**53 - 1), -(2**53 - 1)),
    (Number(), 5, 5.0),
    (Number(), 2.5, 2.5),
    (Number(-1, 1), -1.0, -1.0),
    (Texts(Text(5), 2), [], []),
    (Texts(Text(5), 2), ["grass", "ice"], ["grass", "ice"]),
    (JsonObject(40), {}, "{}"),
    (
        JsonObject(40),
        {"b": [1, None], "a": {"d": "ä", "c": 1.5}},
        '{"a":{"c":1.5,"d":"ä"},"b":[1,null]}',
    ),
    (JsonObject(40), {"a": "\\u0000"}, '{"a":"\\\\u0000"}'),
    (Boolean(), True, True),
    (Boolean(), False, False),
    (Timestamp(), "2024-02-29T23:30:00+05:30", datetime(2024, 2, 29, 18, tzinfo=UTC)),
    (Timestamp(), "2024-02-29T12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
    (Timestamp(), "2024-02-29 12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
    (Timestamp(), datetime(2024, 3, 1, 5, tzinfo=INDIA), datetime(2024, 2, 29, 23, 30, tzinfo=UTC)),
    (Date(), "2024-02-29", date(2024, 2, 29)),
    (Date(), "9999-12-31", date(9999, 12, 31)),
    (Date(), datetime(2024, 3, 1, 5, tzinfo=INDIA), date(2024, 2, 29)),
    (Version(), "2.3.0", 20_300),
    (Version(), "0.96", 9_600),
    (Version(), "9.10", 91_000),
    (Version(), "2.00", 20_000),
    (Version(), "2", 20_000),
    (Version(), "99.99.99", 999_999),
    (Version(), "0" * 5_000 + "1.007", 10_700),
    (Version(digits=4), "1.100.9999", 101_009_999),
    (IpAddress(), "199.172.111.135", "199.172.111.135"),
    (IpAddress(), "127.0.0.1", "127.0.0.1"),
    (IpAddress(), "241.6.88.151", "241.6.88.151"),
    (IpAddress(), "2001:0DB8:0000:0:0:0:0:0001", "2001:db8::1"),
    (IpAddress(), "::ffff:10.0.0.1", "10.0.0.1"),
    (IpAddress(), "::FFFF:0A00:0001", "10.0.0.1"),
    (IpAddress(), "::10.0.0.1", "::a00:1"),
]

REFUSED: Final[list[tuple[FieldType, object, Reason]]] = [
    (Text(3), 123, WRONG),
    (Text(3), None, WRONG),
    (Text(3), ["abc"], WRONG),
    (Text(3), "abcd", Reason.TOO_LONG),
    (Text(3), "a\0b", Reason.NUL_CHARACTER),
    (Texts(Text(3), 2), "abc", WRONG),
    (Texts(Text(3), 2), ["abc", 1], WRONG),
    (Texts(Text(3), 2), ["a", "b", "c"], Reason.TOO_LONG),
    (Texts(Text(3), 2), ["abcd"], Reason.TOO_LONG),
    (JsonObject(20), [{}], WRONG),
    (JsonObject(20), "{}", WRONG),
    (JsonObject(20), {"a": "x" * 20}, Reason.TOO_LONG),
    (JsonObject(20), {"a": ["x\0"]}, Reason.NUL_CHARACTER),
    (JsonObject(20), {"\0": 1}, Reason.NUL_CHARACTER),
    (Text(9, max_bytes=3), "\N{GRINNING FACE}", Reason.TOO_LONG),
    (Text(9, max_bytes=3), "abcd", Reason.TOO_LONG),
    # Characters that grow in normal form C: from 4 bytes to 12, from 3 to 6.
    (Text(9, max_bytes=11), "\U0001d160", Reason.TOO_LONG),
    (Text(9, max_bytes=5), "\ufb2c", Reason.TOO_LONG),
    (Text(3, max_bytes=99), "abcd", Reason.TOO_LONG),
    (Text(4, allowed=("low", "high")), "mid", Reason.NOT_ALLOWED),
    (Text(4, allowed=("low", "high")), "Low", Reason.NOT_ALLOWED),
    (Integer(), True, WRONG),
    (Integer(), 1.5, WRONG),
    (Integer(), 2.0**53, WRONG),
    (Integer(), math.inf, WRONG),
    (Integer(1, 3), 4.0, Reason.OUT_OF_RANGE),
    (Integer(), "1", WRONG),
    (Integer(), 2**63, Reason.OUT_OF_RANGE),
    (Integer(), -(2**63) - 1, Reason.OUT_OF_RANGE),
    (Integer(1, 3), 0, Reason.OUT_OF_RANGE),
    (Integer(1, 3), 4, Reason.OUT_OF_RANGE),
    (Number(), True, WRONG),
    (Number(), "1.5", WRONG),
    (Number(-1, 1), 1.000001, Reason.OUT_OF_RANGE),
    (Number(), 10**400, Reason.OUT_OF_RANGE),
    (Boolean(), 1, WRONG),
    (Boolean(), "true", WRONG),
    (Timestamp(), 1_700_000_000, WRONG),
    (Timestamp(), "1700000000", Reason.BAD_TIMESTAMP),
    (Timestamp(), "2024-02-29T12:00:00", Reason.BAD_TIMESTAMP),
    (Timestamp(), "2024-02-30T12:00:00Z", Reason.BAD_TIMESTAMP),
    (Timestamp(), "2024-02-29T24:00:00Z", Reason.BAD_TIMESTAMP),
    (Timestamp(), "2024-02-29T23:59:60Z", Reason.BAD_TIMESTAMP),
    (Timestamp(), "0000-01-01T00:00:00Z", Reason.BAD_TIMESTAMP),
    (Timestamp(), "0001-01-01T00:00:00+14:00", Reason.BAD_TIMESTAMP),
    (Timestamp(), "9999-12-31T23:59:59-14:00", Reason.BAD_TIMESTAMP),
    (Date(), 20_240_229, WRONG),
    (Date(), "2023-02-29", Reason.BAD_DATE),
    (Date(), "99999-01-01", Reason.BAD_DATE),
    (Date(), "2024-02-29T00:00:00Z", Reason.BAD_DATE),
    (Date(), "29.02.2024", Reason.BAD_DATE),
    (Version(), 2.3, WRONG),
    (Version(), "", Reason.BAD_VERSION),
    (Version(), "1.2.3.4", Reason.BAD_VERSION),
    (Version(), "1.2\n", Reason.BAD_VERSION),
    (Version(), "-1.2", Reason.BAD_VERSION),
    (Version(), "\N{ARABIC-INDIC DIGIT THREE}.1", Reason.BAD_VERSION),
    (Version(), "1.100.0", Reason.VERSION_PART_TOO_LARGE),
    (Version(), "9" * 5_000, Reason.VERSION_PART_TOO_LARGE),
    (Version(digits=1), "1.10", Reason.VERSION_PART_TOO_LARGE),
    (IpAddress(), 3_232_235_777, WRONG),
    (IpAddress(), "", Reason.BAD_ADDRESS),
    (IpAddress(), "1.2.3", Reason.BAD_ADDRESS),
    (IpAddress(), "1.2.3.256", Reason.BAD_ADDRESS),
    (IpAddress(), "01.2.3.4", Reason.BAD_ADDRESS),
    (IpAddress(), "1.2.3.4 ", Reason.BAD_ADDRESS),
    (IpAddress(), "1.2.3.4\0", Reason.BAD_ADDRESS),
    (IpAddress(), "[::1]", Reason.BAD_ADDRESS),
    (IpAddress(), "1.2.3.4/32", Reason.BAD_ADDRESS),
    (IpAddress(), "\ud800", Reason.BAD_ADDRESS),
]

SQL: Final[list[tuple[FieldType, str]]] = [
    (Text(64), "varchar(64)"),
    (Integer(), "bigint"),
    (Integer(-(2**31), 2**31 - 1), "integer"),
    (Integer(0, 2**31), "bigint"),
    (Number(), "double precision"),
    (Boolean(), "boolean"),
    (Timestamp(), "timestamptz"),
    (Date(), "date"),
    (Version(), "integer"),
    (Version(digits=3), "integer"),
    (Version(digits=4), "bigint"),
    (IpAddress(), "varchar(45)"),
]


def named(value: object) -> str:
    """A short name for a case."""
    return ascii(value)[:40]


@pytest.mark.parametrize(("kind", "value", "canonical"), TAKEN, ids=named)
def test_a_sound_value_is_taken_in_canonical_form(
    kind: FieldType, value: object, canonical: Scalar
) -> None:
    """Faults 33 and 38."""
    read = kind.read(value)
    assert (type(read), read) == (type(canonical), canonical)


@pytest.mark.parametrize(("kind", "value", "reason"), REFUSED, ids=named)
def test_an_unsound_value_is_refused_with_its_reason(
    kind: FieldType, value: object, reason: Reason
) -> None:
    """Faults 33 and 38."""
    with pytest.raises(Refused) as caught:
        kind.read(value)
    assert caught.value.reason is reason


@pytest.mark.parametrize(("kind", "sql"), SQL, ids=named)
def test_a_type_names_the_column_that_keeps_it(kind: FieldType, sql: str) -> None:
    assert kind.sql == sql


@pytest.mark.parametrize(
    "kind",
    [Text(5), Integer(), Number(), Boolean(), Timestamp(), Date(), Version(), IpAddress()],
    ids=named,
)
def test_no_refusal_holds_the_value(kind: FieldType) -> None:
    with pytest.raises(Refused) as caught:
        kind.read(CANARY)
    refused = caught.value
    assert CANARY not in f"{refused!r} {refused} {refused.args} {refused.field}"
    assert refused.__cause__ is None
    assert refused.__suppress_context__ or refused.__context__ is None


def test_equal_numbers_are_spelt_alike() -> None:
    assert math.copysign(1, Number().read(-0.0)) == 1


PARTS: Final = st.integers(0, 99)
VERSIONS: Final = st.tuples(PARTS, PARTS, PARTS)


@quickly
@given(VERSIONS, VERSIONS)
def test_packed_versions_compare_as_versions_do(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    packed = [Version().read(".".join(map(str, parts))) for parts in (one, other)]
    assert (packed[0] < packed[1]) == (one < other)
    assert (packed[0] == packed[1]) == (one == other)


@quickly
@given(st.ip_addresses(v=6))
def test_every_spelling_of_an_address_has_one_form(address: ipaddress.IPv6Address) -> None:
    spellings = {address.compressed, address.exploded, address.exploded.upper()}
    forms = {IpAddress().read(each) for each in spellings}
    mapped = address.ipv4_mapped
    assert forms == {str(mapped or ipaddress.IPv6Address(int(address)))}


@quickly
@given(st.ip_addresses(v=4))
def test_an_ipv4_address_and_its_mapped_form_are_one(address: ipaddress.IPv4Address) -> None:
    assert IpAddress().read(f"::ffff:{address}") == IpAddress().read(str(address)) == str(address)


@quickly
@given(st.datetimes(min_value=datetime(2, 1, 1), timezones=st.just(INDIA)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_a_moment_is_the_same_in_utc(moment: datetime) -> None:
    read = Timestamp().read(moment.isoformat())
    assert read == moment
    assert read.tzinfo is UTC


@quickly
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_a_text_is_kept_letter_for_letter(text: str) -> None:
    assert Text(20).read(text) == text
