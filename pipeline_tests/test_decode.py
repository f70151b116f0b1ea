"""A body is read as its contract says, or refused for one reason; nothing else ever comes out."""

import json
from datetime import UTC, date, datetime
from typing import Final

import pytest

from pipeline.decode import Decoder, Row
from pipeline.reasons import Reason, Refused
from pipeline_tests.samples import (
    CANARY,
    EVERY_TYPE,
    SENT,
    USER_LOGINS,
    decode,
    login,
    reading,
)

LOGINS: Final = Decoder(USER_LOGINS)
READINGS: Final = Decoder(EVERY_TYPE)
SOUND: Final = json.dumps(login())


def with_extra(value: str, *, name: str = '"extra"') -> str:
    """A sound login with one more value, written out by hand."""
    return f"{SOUND[:-1]}, {name}: {value}}}"


def refusal(decoder: Decoder, body: object) -> tuple[Reason, str | None]:
    """Why a body is refused, and for which column."""
    with pytest.raises(Refused) as caught:
        decode(decoder, body)
    return caught.value.reason, caught.value.field


def levels(depth: int) -> str:
    return "[" * depth + "]" * depth


WHOLE: Final[dict[str, tuple[str, Reason]]] = {
    "no characters": ("", Reason.EMPTY_BODY),
    "spaces only": (" \r\n\t", Reason.EMPTY_BODY),
    "a word": ("hello", Reason.NOT_JSON),
    "cut off": (SOUND[:-1], Reason.NOT_JSON),
    "something behind": (f"{SOUND} x", Reason.NOT_JSON),
    "two objects": (SOUND + SOUND, Reason.NOT_JSON),
    "single quotes": (SOUND.replace('"', "'"), Reason.NOT_JSON),
    "a byte order mark": (f"\ufeff{SOUND}", Reason.NOT_JSON),
    "a raw newline in a string": (with_extra('"a\nb"'), Reason.NOT_JSON),
    "a raw NUL in a string": (with_extra('"a\0b"'), Reason.NOT_JSON),
    "a leading zero": (with_extra("01"), Reason.NOT_JSON),
    "base64": ("eyJ1c2VyX2lkIjogIng", Reason.NOT_JSON),
    "a list": (f"[{SOUND}]", Reason.NOT_AN_OBJECT),
    "a string": ('"x"', Reason.NOT_AN_OBJECT),
    "a number": ("3", Reason.NOT_AN_OBJECT),
    "null": ("null", Reason.NOT_AN_OBJECT),
    "NaN": (with_extra("NaN"), Reason.NOT_A_NUMBER),
    "infinite": (with_extra("[-Infinity]"), Reason.NOT_A_NUMBER),
    "a lone surrogate, escaped": (with_extra(r'"\ud800"'), Reason.LONE_SURROGATE),
    "a lone surrogate, raw": (with_extra('"\ud800"'), Reason.LONE_SURROGATE),
    "a lone surrogate in a key": (with_extra("1", name=r'"\udc00"'), Reason.LONE_SURROGATE),
    "101 levels": (with_extra(levels(100)), Reason.TOO_DEEP),
    "5,000 levels": (with_extra(levels(5_000)), Reason.TOO_DEEP),
    "100,000 levels": (with_extra(levels(100_000)), Reason.TOO_DEEP),
    "100,000 levels of objects": (
        with_extra('{"a":' * 100_000 + "1" + "}" * 100_000),
        Reason.TOO_DEEP,
    ),
    "5,000 digits": (with_extra("9" * 5_000), Reason.NUMBER_TOO_LARGE),
    "1e400": (with_extra("-1e400"), Reason.NUMBER_TOO_LARGE),
    "a key twice": (with_extra('"ios"', name='"device_type"'), Reason.DUPLICATE_KEY),
    "a key twice, the same value": (with_extra('"RU"', name='"locale"'), Reason.DUPLICATE_KEY),
    "an unknown key twice": (with_extra('1, "extra": 1'), Reason.DUPLICATE_KEY),
    "a key twice, with spaces": (with_extra("1", name=' \n "ip"\t '), Reason.DUPLICATE_KEY),
    "a key twice, once escaped": (with_extra("1", name=r'"\u0069p"'), Reason.DUPLICATE_KEY),
    "a key twice, colons about": (with_extra('":::", "ip": ":"'), Reason.DUPLICATE_KEY),
    "a key twice, a colon escaped": (
        with_extra(r'"\u003a", "ip": "x"'),
        Reason.DUPLICATE_KEY,
    ),
    "a key with a colon twice": (with_extra('1, "a:b": 2', name='"a:b"'), Reason.DUPLICATE_KEY),
    "a key twice in an object": (with_extra('{"a": 1, "a": 2}'), Reason.DUPLICATE_KEY),
    "a key twice in a list": (with_extra('[[{"a": 1, "a": 2}]]'), Reason.DUPLICATE_KEY),
    "an empty key twice": (with_extra('1, "": 2', name='""'), Reason.DUPLICATE_KEY),
}

ONE_FIELD: Final[list[tuple[Decoder, dict[str, object], Reason, str]]] = [
    (LOGINS, login(user_id=...), Reason.MISSING, "user_id"),
    (LOGINS, login(ip=...), Reason.MISSING, "masked_ip"),
    (
        LOGINS,
        {"IP" if k == "ip" else k: v for k, v in login().items()},
        Reason.MISSING,
        "masked_ip",
    ),
    (LOGINS, login(user_id=None), Reason.NULL, "user_id"),
    (LOGINS, login(device_id=None), Reason.NULL, "masked_device_id"),
    (LOGINS, login(device_id=593_475_928), Reason.WRONG_TYPE, "masked_device_id"),
    (LOGINS, login(app_version=2.3), Reason.WRONG_TYPE, "app_version"),
    (LOGINS, login(locale=["RU"]), Reason.WRONG_TYPE, "locale"),
    (LOGINS, login(locale={"code": "RU"}), Reason.WRONG_TYPE, "locale"),
    (LOGINS, login(device_type="x" * 33), Reason.TOO_LONG, "device_type"),
    (LOGINS, login(user_id="a\0b"), Reason.NUL_CHARACTER, "user_id"),
    (LOGINS, login(ip="1.2.3"), Reason.BAD_ADDRESS, "masked_ip"),
    (LOGINS, login(app_version="1.100.0"), Reason.VERSION_PART_TOO_LARGE, "app_version"),
    (LOGINS, login(app_version="two"), Reason.BAD_VERSION, "app_version"),
    (READINGS, reading(id=True), Reason.WRONG_TYPE, "id"),
    (READINGS, reading(id=2**63), Reason.OUT_OF_RANGE, "id"),
    (READINGS, reading(id=10**30), Reason.OUT_OF_RANGE, "id"),
    (READINGS, reading(sound=0), Reason.WRONG_TYPE, "sound"),
    (READINGS, reading(level="mid"), Reason.NOT_ALLOWED, "level"),
    (READINGS, reading(celsius=60.1), Reason.OUT_OF_RANGE, "celsius"),
    (READINGS, reading(measured_at="2024-02-29T12:00:00"), Reason.BAD_TIMESTAMP, "measured_at"),
    (READINGS, reading(installed_on="2023-02-29"), Reason.BAD_DATE, "installed_on"),
    (READINGS, reading(device=...), Reason.MISSING, "ip"),
    (READINGS, reading(device=None), Reason.MISSING, "ip"),
    (READINGS, reading(device={}), Reason.MISSING, "ip"),
    (READINGS, reading(device="10.0.0.1"), Reason.WRONG_TYPE, "ip"),
    (READINGS, reading(device=[{"ip": "10.0.0.1"}]), Reason.WRONG_TYPE, "ip"),
    (READINGS, reading(device={"ip": None}), Reason.NULL, "ip"),
    (READINGS, reading(device={"ip": "10.0.0.1", "place": None}), Reason.MISSING, "room"),
    (READINGS, reading(device={"ip": "10.0.0.1", "place": 3}), Reason.WRONG_TYPE, "room"),
    (READINGS, reading(device={"ip": "::1", "place": {"room": 0}}), Reason.OUT_OF_RANGE, "room"),
]


@pytest.mark.parametrize(("body", "reason"), WHOLE.values(), ids=WHOLE)
def test_a_body_that_is_no_record_is_refused(body: str, reason: Reason) -> None:
    """Faults 26 and 29 to 34."""
    assert refusal(LOGINS, body) == (reason, None)


@pytest.mark.parametrize(("decoder", "record", "reason", "field"), ONE_FIELD)
def test_a_field_that_breaks_its_rule_is_refused_by_its_name(
    decoder: Decoder, record: dict[str, object], reason: Reason, field: str
) -> None:
    """Faults 28, 33, 35 and 38."""
    assert refusal(decoder, record) == (reason, field)


def test_every_reason_that_a_body_can_give_is_covered_here() -> None:
    seen = {reason for _, reason in WHOLE.values()} | {reason for *_, reason, _ in ONE_FIELD}
    later = {Reason.ENRICHMENT_FAILED, Reason.CONFLICT, Reason.REFUSED_BY_DATABASE}
    assert set(Reason) - seen == later


def test_a_sound_record_is_read_in_the_order_of_the_contract() -> None:
    assert decode(LOGINS, login()) == Row(
        (
            "424cdd21-063a-43a7-b91b-7ca1a833afae",
            "android",
            "199.172.111.135",
            "593-47-5928",
            "RU",
            20_300,
            date(2024, 2, 29),
        ),
        unknown=0,
    )


def test_nested_fields_are_read_by_their_paths() -> None:
    assert decode(READINGS, reading()) == Row(
        (
            7,
            "ann@example.org",
            "low",
            "10.0.0.1",
            12,
            10_203,
            21.5,
            True,
            datetime(2024, 2, 29, 10, tzinfo=UTC),
            date(2023, 12, 31),
            "by the window",
            SENT,
        ),
        unknown=0,
    )


def test_a_field_that_may_be_null_may_be_absent_too() -> None:
    for record in (login(locale=None), login(locale=...)):
        assert decode(LOGINS, record).values[4] is None
    bare = reading(celsius=..., note=None, device={"ip": "::1", "place": {"room": 1}})
    assert decode(READINGS, bare).values[5:7] == (None, None)


def test_unknown_fields_are_dropped_and_counted() -> None:
    """Fault 35."""
    row = decode(LOGINS, login(email=CANARY, address={"street": CANARY, "town": CANARY}))
    assert row.unknown == 2
    assert CANARY not in str(row.values)


def test_unknown_fields_inside_named_objects_are_counted_where_they_stand() -> None:
    device = {"ip": "::1", "place": {"room": 3, "floor": 1, "wing": {"a": 1}}, "owner": CANARY}
    assert decode(READINGS, reading(device=device, extra=None)).unknown == 4


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
def test_large_integers_stay_exact(number: int) -> None:
    """Fault 33."""
    assert decode(READINGS, reading(id=number)).values[0] == number


def test_a_hundred_levels_and_many_neighbours_are_not_too_deep() -> None:
    """Fault 32."""
    assert decode(LOGINS, with_extra(levels(99))).unknown == 1
    assert decode(LOGINS, with_extra("[" + "[{}]," * 1_000 + "0]")).unknown == 1


def test_an_emoji_in_escapes_is_no_lone_surrogate() -> None:
    assert decode(LOGINS, login(locale="\N{GRINNING FACE}")).values[4] == "\N{GRINNING FACE}"


def test_the_time_of_sending_comes_from_the_queue_and_not_from_the_body() -> None:
    row = decode(LOGINS, login(**{"@sent_at": "1999-01-01", "create_date": "1999-01-01"}))
    assert row.values[-1] == date(2024, 2, 29)
    assert row.unknown == 2


@pytest.mark.parametrize("body", [body for body, _ in WHOLE.values()], ids=list(WHOLE))
def test_no_refusal_of_a_body_holds_a_value(body: str) -> None:
    told = body.replace("extra", CANARY)
    with pytest.raises(Refused) as caught:
        decode(LOGINS, told)
    assert_silent(caught.value)


@pytest.mark.parametrize("name", list(login()))
def test_no_refusal_of_a_field_holds_a_value(name: str) -> None:
    with pytest.raises(Refused) as caught:
        decode(LOGINS, login(**{name: [CANARY]}))
    assert_silent(caught.value)


def assert_silent(refused: Refused) -> None:
    assert CANARY not in f"{refused!r} {refused} {refused.args} {refused.field}"
    assert refused.__cause__ is None


def test_a_row_does_not_show_its_values() -> None:
    assert "199.172" not in repr(decode(LOGINS, login()))
