"""The leak scan finds what is personal, wherever it stands, and cries at nothing else."""

import base64
import itertools
import random
import string
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from pipeline.masking import leaks
from pipeline.masking.leaks import EVERYWHERE, NATIONAL_IDS, Kind, find

EACH: Final = 2_000
# Numbers that authorities and card schemes publish as examples, and addresses for documents.
REAL: Final = [
    *(
        (Kind.ADDRESS, text)
        for text in (
            *("203.0.113.77", "10.0.0.1", "2001:db8::1", "2001:DB8:0:0:1:2:3:4", "fe80::1"),
            *("::ffff:cb00:714d", "2001:db8:1:2:3:4:5:6"),
        )
    ),
    *(
        (Kind.EMAIL, text)
        for text in (
            *("ann@example.org", "Ann.O-Neil+news@mail.example.co.uk", "ann%40example.org"),
            *("jörg@example.de", "ann@bücher.example"),
        )
    ),
    *(
        (Kind.CARD, text)
        for text in (
            *("4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "4222222222222"),
            *("5555555555554444", "2223003122003222", "3782 822463 10005", "378282246310005"),
            *("6011111111111117", "30569309025904", "3530111333300000", "6759649826438453"),
            "6200000000000005",
        )
    ),
    *(
        (Kind.PHONE, text)
        for text in (
            *("+14155550100", "+1 (415) 555-0100", "+1.415.555.0100", "(415) 555-0100"),
            *("415-555-0100", "415.555.0100", "1-415-555-0100", "+49 30 901820", "+442079460958"),
            *("%2B14155550100", "+33 (0)1 23 45 67 89"),
        )
    ),
    *((Kind.US_SSN, text) for text in ("593-47-5928", "219 09 9999")),
    *((Kind.UK_NINO, text) for text in ("AB123456C", "ab 12 34 56 d")),
    *((Kind.BR_CPF, text) for text in ("529.982.247-25", "11144477735")),
    *((Kind.FR_NIR, text) for text in ("255081416802538", "1 84 12 76 451 089 46")),
    *((Kind.ES_DNI, text) for text in ("12345678Z", "X1234567L", "12345678-z")),
    *((Kind.IN_AADHAAR, text) for text in ("2341 2341 2346", "234123412346")),
    *((Kind.DE_TAX_ID, text) for text in ("86095742719", "47 036 892 816", "65929970489")),
]
WRONG: Final = [
    *(
        (Kind.ADDRESS, text)
        for text in (
            *(
                "127.0.0.1",
                "0.0.0.0",  # noqa: S104 - nothing is bound to it
                "::1",
                "::",
                "255.255.255.0",
                "256.1.1.1",
                "1.2.3",
                "2.0.0.0",
            ),
            *("1.2.3.4.5", "v1.2.3.4", "Chrome/120.0.0.0", "Chrome/119.0.6045.1", "01.02.03.04"),
            *("12:34:56", "2024-11-22T12:34:56:789", "std::vector", "a::b", "1::int", "::text"),
            *("ab:cd:ef:01:23:45", "00:1b:63:ff:fe:84:45:e6", ":".join(["ab12"] * 10)),
        )
    ),
    *(
        (Kind.EMAIL, text)
        for text in ("icon@2x.png", "@decorator", "user@host", "lodash@4.17.21", "a @ b.org")
    ),
    *(
        (Kind.CARD, text)
        for text in (
            *("4111111111111112", "41111111111111110", "1111111111111117", "0.4111111111111111"),
            *("x4111111111111111", "4111111111111111e", "411111111111111", "1700000000000"),
        )
    ),
    *(
        (Kind.PHONE, text)
        for text in (
            *("4155550100", "123-456-7890", "415-155-0100", "911-555-0100", "+00:00", "+0100"),
            *("+37.7749-122.4194", "+12.3456789", "1e+10", "2024-11-22", "415-555-01000"),
            *("200.300-4000", "12-415-555-0100"),
        )
    ),
    *((Kind.US_SSN, text) for text in ("000-12-3456", "666-12-3456", "900-12-3456", "123456789")),
    *((Kind.US_SSN, text) for text in ("123-00-4567", "123-45-0000", "1123-45-6789")),
    *((Kind.UK_NINO, text) for text in ("QQ123456C", "BG123456A", "AB123456E", "AO123456C")),
    *((Kind.BR_CPF, text) for text in ("529.982.247-26", "111.111.111-11", "529.982.247-15")),
    *((Kind.FR_NIR, text) for text in ("255081416802539", "155131416802538")),
    *((Kind.ES_DNI, text) for text in ("12345678A", "X1234567A")),
    *((Kind.IN_AADHAAR, text) for text in ("2341 2341 2347", "0341 2341 2346")),
    *((Kind.DE_TAX_ID, text) for text in ("86095742718", "12345678903", "11111111111")),
]
SWAPPED: Final = str.maketrans(",.", ".,")
_serial: Final = itertools.count()
_random: Final = random.Random(3)  # noqa: S311 - the same values in every run


def _uuid() -> str:
    return str(uuid.UUID(int=_random.getrandbits(128), version=4))


def _number(low: int, high: int) -> str:
    return str(_random.randrange(low, high))


def _moment() -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=_random.random() * 2e8)


HARMLESS: Final[dict[str, Callable[[], str]]] = {
    "uuids": _uuid,
    "uuids in a text": lambda: f"order {_uuid()}-{_uuid()} shipped",
    "hexadecimal": lambda: _random.randbytes(32).hex(),
    "base64": lambda: base64.b64encode(_random.randbytes(48)).decode(),
    "base64url": lambda: f"v1.{base64.urlsafe_b64encode(_random.randbytes(32)).decode()}",
    "versions": lambda: ".".join(_number(0, 400) for _ in range(_random.randint(1, 3))),
    "versions of programs": lambda: f"App/{_number(1, 200)}.0.{_number(0, 200)}.{_number(0, 200)}",
    "timestamps": lambda: _moment().isoformat(),
    "timestamps with an offset": lambda: f"{_moment():%Y-%m-%d %H:%M:%S.%f}+02",
    "days": lambda: f"{_moment():%Y-%m-%d}",
    "seconds": lambda: str(int(_moment().timestamp())),
    "milliseconds": lambda: str(int(_moment().timestamp() * 1e3)),
    "microseconds": lambda: str(int(_moment().timestamp() * 1e6)),
    "nanoseconds": lambda: str(int(_moment().timestamp() * 1e9)),
    "integers": lambda: _number(-(10**12), 10**12),
    "order numbers": lambda: _number(10**15, 10**16),
    "order numbers in a row": lambda: str(4_000_000_000_000_000 + next(_serial)),
    "64-bit ids": lambda: _number(0, 2**63),
    "signed 64-bit ids": lambda: _number(-(2**63), 2**63),
    "negative 64-bit ids": lambda: _number(-(2**63), 0),
    "amounts": lambda: f"{_random.uniform(-1e15, 1e15):,.2f}",
    "amounts in Swiss francs": lambda: f"{_random.uniform(0, 1e12):,.2f}".replace(",", " "),
    "amounts in euros": lambda: f"{_random.uniform(0, 1e9):,.2f}".translate(SWAPPED),
    "whole amounts": lambda: f"EUR {_number(0, 10**12)},{_number(10, 100)}",
    "grouped order numbers": lambda: (
        f"{_number(100, 999)}-{_number(10**6, 10**7)}-{_number(10, 99)}"
    ),
    "decimals": lambda: repr(_random.uniform(-1e6, 1e6)),
    "coordinates": lambda: f"{_random.uniform(-90, 90):+.4f}{_random.uniform(-180, 180):+.4f}",
    "locales": lambda: f"{''.join(_random.choices(string.ascii_lowercase, k=2))}-BR",
    "MAC addresses": lambda: _random.randbytes(6).hex(":"),
    "fingerprints": lambda: _random.randbytes(20).hex(":"),
    "times": lambda: f"{_moment():%H:%M:%S}",
}


@pytest.mark.parametrize(("kind", "text"), REAL)
def test_a_value_is_found_alone_and_inside_a_longer_text(kind: Kind, text: str) -> None:
    others = EVERYWHERE - {kind}
    for before, after in (("", ""), ("he said ", ", then left"), ('{"a": "', '"}'), ("x=", ";")):
        whole = f"{before}{text}{after}"
        places = {(start, end) for _, start, end in find(whole, {kind})}
        assert any(whole[start:end] in text for start, end in places)
        assert scan({whole: 3}, EVERYWHERE | {kind})[kind] == 3
        if kind in EVERYWHERE:
            assert not scan({whole: 1}, others)


@pytest.mark.parametrize(("kind", "text"), WRONG)
def test_what_only_resembles_a_value_is_left_alone(kind: Kind, text: str) -> None:
    assert not scan({text: 1, f"it is {text} today": 1}, {kind})


@pytest.mark.parametrize("name", HARMLESS)
def test_thousands_of_harmless_values_raise_no_alarm(name: str) -> None:
    assert not scan({HARMLESS[name](): 1 for _ in range(EACH)}, EVERYWHERE)


@pytest.mark.parametrize("name", ["uuids", "base64", "versions", "timestamps", "days", "locales"])
def test_nor_where_every_national_id_is_asked_for(name: str) -> None:
    assert not scan({HARMLESS[name](): 1 for _ in range(EACH)}, frozenset(Kind))


def test_one_value_among_thousands_of_harmless_ones_is_found() -> None:
    for kind, text in REAL:
        rows = {HARMLESS["uuids"](): 1 for _ in range(100)} | {f"see {text}": 2}
        assert scan(rows, EVERYWHERE | {kind})[kind] == 2


def test_a_column_of_cards_is_told_from_one_of_order_numbers() -> None:
    cards = {with_luhn(f"4{_number(10**13, 10**14)}"): 1 for _ in range(EACH)}
    assert scan(cards, EVERYWHERE) == {Kind.CARD: len(cards)}
    orders = {HARMLESS["order numbers"](): 1 for _ in range(EACH)}
    assert scan(orders | {"paid with 4111 1111 1111 1111": 5}, EVERYWHERE) == {Kind.CARD: 5}


def test_rows_are_counted_once_for_each_kind_that_their_value_holds() -> None:
    rows = {"ann@example.org or bob@example.org, 203.0.113.77": 4, "ann@example.org": 2, "": 9}
    assert scan(rows, EVERYWHERE) == {Kind.EMAIL: 6, Kind.ADDRESS: 4}


def test_neighbouring_values_do_not_run_into_each_other() -> None:
    assert not scan({"4111 1111": 1, "1111 1111": 1, "ann@": 1, "example.org": 1}, EVERYWHERE)


def test_a_number_that_is_none_does_not_hide_one_behind_it() -> None:
    text = "12345 4111-1111-1111-1111 and 1234 4111 1111 1111 1111"
    assert {text[start:end] for _, start, end in find(text, {Kind.CARD})} == {
        "4111-1111-1111-1111",
        "4111 1111 1111 1111",
    }


def test_nothing_is_found_where_nothing_is_asked_for() -> None:
    assert not scan({"ann@example.org": 1}, ())


def test_text_that_no_encoding_takes_is_scanned_as_well() -> None:
    assert scan({"\ud800 ann@example.org": 1, "\0": 1}, EVERYWHERE) == {Kind.EMAIL: 1}


def test_every_kind_has_an_example_here() -> None:
    assert {kind for kind, _ in REAL} == {kind for kind, _ in WRONG} == EVERYWHERE | NATIONAL_IDS


def scan(rows: Mapping[str, int], kinds: Collection[Kind]) -> Counter[Kind]:
    """What is found in a column, given as values with their numbers of rows."""
    return leaks.scan(rows.items(), kinds)


def with_luhn(number: str) -> str:
    """The number and its check digit."""
    total = 0
    for place, letter in enumerate(reversed(number)):
        doubled = int(letter) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return f"{number}{-total % 10}"
