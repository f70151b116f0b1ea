"""Finds values that look personal in columns kept in the clear, and in lines of a log.

One RE2 alternation runs over all values at once, in time linear to their length, and picks out
those that may hold something; only these are looked at closely, kind by kind. The rules prefer
to pass over an odd spelling than to cry at version numbers: an alarm that is often false is
soon ignored.
"""

import bisect
import ipaddress
import itertools
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final, NamedTuple

import re2  # type: ignore[import-untyped]  # it ships no types

from pipeline.masking import check_digits


class Kind(StrEnum):
    """What a value looks like."""

    ADDRESS = "address"
    EMAIL = "email"
    CARD = "card"
    PHONE = "phone"
    US_SSN = "us_ssn"
    UK_NINO = "uk_nino"
    BR_CPF = "br_cpf"
    FR_NIR = "fr_nir"
    ES_DNI = "es_dni"
    IN_AADHAAR = "in_aadhaar"
    DE_TAX_ID = "de_tax_id"


EVERYWHERE: Final = frozenset({Kind.ADDRESS, Kind.EMAIL, Kind.CARD, Kind.PHONE})
"""The kinds that are always looked for."""

NATIONAL_IDS: Final = frozenset(Kind) - EVERYWHERE
"""The kinds that are looked for where a feed asks: to others their digits look like any."""


class Found(NamedTuple):
    """A value in a text: what it looks like, and where it stands."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Shape:
    """One spelling of a kind.

    Attributes:
        kind: The kind.
        pattern: The spelling, in what RE2 and `re` both understand, bounded in length.
        valid: Whether a text of that spelling is one, by its check digits or ranges.
        before: What may not stand before it.
        after: What may not stand after it.
        hint: A quicker pattern, for RE2, that every text with this spelling matches.
    """

    kind: Kind
    pattern: str
    valid: Callable[[str], bool]
    before: str = r"(?<![0-9A-Za-z])(?<![0-9][.,])"
    after: str = r"(?![0-9A-Za-z]|[.,][0-9])"
    hint: str = ""


# Of a decimal or a pair of coordinates, as in +37.7749-122.4194 (ISO 6709).
_DECIMAL: Final = re.compile(r"(?:\+|%2B)[0-9]{1,3}\.[0-9]+(?:[+-][0-9]{1,3}\.[0-9]+)?")
_FILES: Final = ("css", "gif", "gz", "jpeg", "jpg", "js", "png", "svg", "tgz", "webp", "zip")
_LONG_GROUP: Final = 3


def _is_ipv4(text: str) -> bool:
    """A host's address; this machine (0, 127), masks (255) and versions (1.0.0.0) are none."""
    octets = text.split(".")
    return (
        all(int(octet) < 256 and str(int(octet)) == octet for octet in octets)  # noqa: PLR2004 - of a byte
        and octets[0] not in {"0", "127", "255"}
        and octets[2:] != ["0", "0"]
    )


def _is_ipv6(text: str) -> bool:
    """A host's address; `::1`, `a::b` of a program, and pairs as in EUI-64 are none."""
    groups = [group for group in text.split(":") if group]
    if not any(len(group) >= _LONG_GROUP for group in groups):
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return any(letter.isdigit() for letter in text)


def _is_email(text: str) -> bool:
    """An e-mail address; `icon@2x.png` is none."""
    return not text.lower().endswith(_FILES)


def _is_international(text: str) -> bool:
    """A number with its country; a decimal with a sign is none."""
    return not _DECIMAL.fullmatch(text)


def _is_american(text: str) -> bool:
    """A number of the North American plan: N11 is no area, and dots come in pairs."""
    return check_digits.digits(text)[-9:-7] != "11" and text.count(".") != 1


_PLUS: Final = r"(?:\+|%2B)"
_AREA: Final = "[2-9][0-9]{2}"
_IN_A_ROW: Final = r"(?<![0-9A-Za-z])(?<![0-9][.,-])"
_NOT_IN_A_ROW: Final = r"(?![0-9A-Za-z]|[.,-][0-9])"
_HEX: Final = "[0-9A-Fa-f]{1,4}"
_LETTER: Final = r"[0-9A-Za-z]|[^\x00-\x7f]"

_SHAPES: Final = (
    _Shape(
        Kind.ADDRESS,
        r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}",
        _is_ipv4,
        # A letter and a slash, as in Chrome/120.0.6099.1, lead to a version.
        before=r"(?<![0-9A-Za-z])(?<![0-9]\.)(?<![A-Za-z]/)",
        after=r"(?![0-9A-Za-z]|\.[0-9])",
    ),
    _Shape(
        Kind.ADDRESS,
        f"(?:{_HEX}(?::{_HEX}){{0,6}})?::(?:{_HEX}(?::{_HEX}){{0,6}})?|{_HEX}(?::{_HEX}){{7}}",
        _is_ipv6,
        before="(?<![0-9A-Za-z])(?<![0-9A-Fa-f:]:)",
        after=r"(?![0-9A-Za-z]|:[0-9A-Za-z:]|\.[0-9])",
    ),
    _Shape(
        Kind.EMAIL,
        rf"(?:[._+-]|{_LETTER}){{1,64}}(?:@|%40)"
        rf"(?:(?:-|{_LETTER}){{1,63}}\.){{1,8}}(?:[A-Za-z]|[^\x00-\x7f]){{2,24}}",
        _is_email,
        before="(?<![0-9A-Za-z._+-])",
        after="(?![0-9A-Za-z])",
        hint=r"[^\s@](?:@|%40)[^\s@]",
    ),
    _Shape(Kind.CARD, "[0-9]{13,19}", check_digits.is_card),
    _Shape(Kind.CARD, "[0-9]{4}(?:[ .-][0-9]{4}){3}", check_digits.is_card),
    _Shape(Kind.CARD, "[0-9]{4}(?:[ .-][0-9]{4}){3}[ .-][0-9]{3}", check_digits.is_card),
    _Shape(Kind.CARD, "3[0-9]{3}[ .-][0-9]{6}[ .-][0-9]{4,5}", check_digits.is_card),
    _Shape(
        Kind.PHONE,
        rf"{_PLUS}1[ .-]{{0,2}}\(?{_AREA}\)?[ .-]{{0,2}}{_AREA}[ .-]{{0,2}}[0-9]{{4}}",
        _is_american,
        before="(?<![0-9A-Za-z+/])",
        after="(?![0-9A-Za-z+/=])",
    ),
    _Shape(
        Kind.PHONE,
        rf"{_PLUS}[2-9](?:[ ./()-]{{0,2}}[0-9]){{7,14}}",
        _is_international,
        before="(?<![0-9A-Za-z+/])",
        after="(?![0-9A-Za-z+/=])",
    ),
    _Shape(
        Kind.PHONE,
        rf"(?:1[ .-])?(?:\({_AREA}\) ?|{_AREA}[ .-]){_AREA}[ .-][0-9]{{4}}",
        _is_american,
        before=_IN_A_ROW,
        after=_NOT_IN_A_ROW,
    ),
    _Shape(
        Kind.US_SSN,
        "[0-9]{3}-[0-9]{2}-[0-9]{4}|[0-9]{3} [0-9]{2} [0-9]{4}",
        check_digits.is_ssn,
        before=_IN_A_ROW,
        after=_NOT_IN_A_ROW,
    ),
    _Shape(Kind.UK_NINO, "[A-Za-z]{2}(?: ?[0-9]{2}){3} ?[A-Da-d]", check_digits.is_nino),
    _Shape(Kind.BR_CPF, r"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}-?[0-9]{2}", check_digits.is_cpf),
    _Shape(
        Kind.FR_NIR,
        "[1-478](?: ?[0-9]{2}){2} ?(?:[0-9]{2}|2[ABab])(?: ?[0-9]{3}){2} ?[0-9]{2}",
        check_digits.is_nir,
    ),
    _Shape(Kind.ES_DNI, "[XYZxyz0-9][0-9]{7}-?[A-Za-z]", check_digits.is_dni),
    _Shape(
        Kind.IN_AADHAAR,
        "[2-9][0-9]{3}(?:[ -]?[0-9]{4}){2}",
        check_digits.is_aadhaar,
        before=r"(?<![0-9A-Za-z])(?<![0-9][ .,-])",
        after=r"(?![0-9A-Za-z]|[ .,-][0-9])",
    ),
    _Shape(Kind.DE_TAX_ID, "[1-9][0-9](?: ?[0-9]{3}){3}", check_digits.is_tax_id),
)
# Digits of a UUID are drawn by lot, and sometimes look like something.
_UUID: Final = re.compile("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_BATCH: Final = 10_000  # values that are searched at once


def find(text: str, kinds: Collection[Kind]) -> Iterator[Found]:
    """Each value of those kinds in a text; two spellings may overlap."""
    plain = _UUID.sub(lambda match: "x" * len(match[0]), text)
    for shape, close in _close(frozenset(kinds)):
        for match in close.finditer(plain):
            if shape.valid(match[1]):
                yield Found(shape.kind, match.start(1), match.end(1))


def may_hold(text: str, kinds: Collection[Kind]) -> bool:
    """Whether it is worth looking into a text: quick, and true more often than `find` finds."""
    return _quick(frozenset(kinds)).search(text.encode(errors="replace")) is not None


def scan(rows: Mapping[str, int], kinds: Collection[Kind]) -> Counter[Kind]:
    """Counts the rows that hold a value of each kind.

    Args:
        rows: How many rows hold each of the distinct values of a column.
        kinds: What to look for.
    """
    counted: Counter[Kind] = Counter()
    if not kinds:
        return counted
    values = iter(rows)
    while batch := list(itertools.islice(values, _BATCH)):
        for value in _worth_a_look(batch, _quick(frozenset(kinds))):
            for kind in {found.kind for found in find(value, kinds)}:
                counted[kind] += rows[value]
    return counted


def _worth_a_look(values: Iterable[str], quick: Any) -> Iterator[str]:  # noqa: ANN401 - re2 ships no types
    """The values in which RE2 sees something, from one search over all of them."""
    values = list(values)
    encoded = [value.encode(errors="replace") for value in values]
    ends = list(itertools.accumulate(len(each) + 1 for each in encoded))
    text = b"\0".join(encoded)  # no spelling holds it, and no text of Postgres
    position = 0
    while match := quick.search(text, position):
        place = bisect.bisect_right(ends, match.start())
        yield values[place]
        position = ends[place]


@cache
def _quick(kinds: frozenset[Kind]) -> Any:  # noqa: ANN401 - re2 ships no types
    shapes = [shape for shape in _SHAPES if shape.kind in kinds]
    return re2.compile("|".join(f"(?:{shape.hint or shape.pattern})" for shape in shapes))


@cache
def _close(kinds: frozenset[Kind]) -> list[tuple[_Shape, re.Pattern[str]]]:
    """The shapes, compiled so that one candidate does not hide another that begins inside it."""
    return [
        (shape, re.compile(f"{shape.before}(?=({shape.pattern}){shape.after})", re.ASCII))
        for shape in _SHAPES
        if shape.kind in kinds
    ]
