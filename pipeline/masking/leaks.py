"""Finds values that look personal in columns kept in the clear, and in lines of a log.

One RE2 alternation runs over all values at once, in time linear to their length, and picks out
those that may hold something; only these are looked at closely, kind by kind. The rules prefer
to pass over an odd spelling than to cry at version numbers: an alarm that is often false is
soon ignored.
"""

import bisect
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final, NamedTuple

import re2  # type: ignore[import-untyped]  # it ships no types

from pipeline.masking import plausible


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
    before: str = r"(?<![0-9A-Za-z])(?<![0-9]\.)"
    after: str = r"(?![0-9A-Za-z]|\.[0-9])"
    hint: str = ""


_PLUS: Final = r"(?:\+|%2B)"
_IN_A_ROW: Final = r"(?<![0-9A-Za-z])(?<![0-9][.-])"
_NOT_IN_A_ROW: Final = r"(?![0-9A-Za-z]|[.-][0-9])"
# Where groups are as in 12 345 678 901,50, a comma tells an amount.
_NO_AMOUNT: Final = r"(?<![0-9A-Za-z])(?<![0-9][.,])"
_TO_ITS_END: Final = r"(?![0-9A-Za-z]|[.,][0-9])"
_HEX: Final = "[0-9A-Fa-f]{1,4}"
_LETTER: Final = r"[0-9A-Za-z]|[^\x00-\x7f]"

_SHAPES: Final = (
    _Shape(
        Kind.ADDRESS,
        r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}",
        plausible.is_ipv4,
        # A letter and a slash, as in Chrome/120.0.6099.1, lead to a version.
        before=r"(?<![0-9A-Za-z])(?<![0-9]\.)(?<![A-Za-z]/)",
        after=r"(?![0-9A-Za-z]|\.[0-9])",
    ),
    _Shape(
        Kind.ADDRESS,
        f"(?:{_HEX}(?::{_HEX}){{0,6}})?::(?:{_HEX}(?::{_HEX}){{0,6}})?|{_HEX}(?::{_HEX}){{7}}",
        plausible.is_ipv6,
        hint="[0-9A-Fa-f]::|::[0-9A-Fa-f]|:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:",
        before="(?<![0-9A-Za-z])(?<![0-9A-Fa-f:]:)",
        after=r"(?![0-9A-Za-z]|:[0-9A-Za-z:]|\.[0-9])",
    ),
    _Shape(
        Kind.EMAIL,
        rf"(?:[._+-]|{_LETTER}){{1,64}}(?:@|%40)"
        rf"(?:(?:-|{_LETTER}){{1,63}}\.){{1,8}}(?:[A-Za-z]|[^\x00-\x7f]){{2,24}}",
        plausible.is_email,
        before="(?<![0-9A-Za-z._+-])",
        after="(?![0-9A-Za-z])",
        hint=r"[^\s@](?:@|%40)[^\s@]",
    ),
    _Shape(Kind.CARD, "(?:2[2-7]|3[04-9]|4[0-9]|5[0-8]|6[0-9]|81)[0-9]{11,17}", plausible.is_card),
    _Shape(Kind.CARD, "[0-9]{4}(?:[ .-][0-9]{4}){3}", plausible.is_card),
    _Shape(Kind.CARD, "[0-9]{4}(?:[ .-][0-9]{4}){3}[ .-][0-9]{3}", plausible.is_card),
    _Shape(Kind.CARD, "[0-9]{4}[ .-][0-9]{6}[ .-][0-9]{4,5}", plausible.is_card),
    _Shape(
        Kind.PHONE,
        rf"{_PLUS}1[ .-]{{0,2}}\(?[0-9]{{3}}\)?[ .-]{{0,2}}[0-9]{{3}}[ .-]{{0,2}}[0-9]{{4}}",
        plausible.is_american,
        hint=rf"{_PLUS}1[0-9 .()-]{{7}}",
        before="(?<![0-9A-Za-z+/])",
        after="(?![0-9A-Za-z+/=])",
    ),
    _Shape(
        Kind.PHONE,
        rf"{_PLUS}[2-9](?:[ ./()-]{{0,2}}[0-9]){{7,14}}",
        plausible.is_international,
        hint=rf"{_PLUS}[2-9][0-9 ./()-]{{7}}",
        before="(?<![0-9A-Za-z+/])",
        after="(?![0-9A-Za-z+/=])",
    ),
    _Shape(
        Kind.PHONE,
        r"(?:1[ .-])?(?:\([0-9]{3}\) ?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}",
        plausible.is_american,
        before=_IN_A_ROW,
        after=_NOT_IN_A_ROW,
    ),
    _Shape(
        Kind.US_SSN,
        "[0-9]{3}-[0-9]{2}-[0-9]{4}|[0-9]{3} [0-9]{2} [0-9]{4}",
        plausible.is_ssn,
        before=_IN_A_ROW,
        after=_NOT_IN_A_ROW,
    ),
    _Shape(Kind.UK_NINO, "[A-Za-z]{2}(?: ?[0-9]{2}){3} ?[A-Da-d]", plausible.is_nino),
    _Shape(
        Kind.BR_CPF,
        r"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}-?[0-9]{2}",
        plausible.is_cpf,
        before=_NO_AMOUNT,
        after=_TO_ITS_END,
    ),
    _Shape(
        Kind.FR_NIR,
        "[0-9](?: ?[0-9]{2}){2} ?(?:[0-9]{2}|2[ABab])(?: ?[0-9]{3}){2} ?[0-9]{2}",
        plausible.is_nir,
        before=_NO_AMOUNT,
        after=_TO_ITS_END,
    ),
    _Shape(Kind.ES_DNI, "[XYZxyz0-9][0-9]{7}-?[A-Za-z]", plausible.is_dni),
    _Shape(
        Kind.IN_AADHAAR,
        "[0-9]{4}(?:[ -]?[0-9]{4}){2}",
        plausible.is_aadhaar,
        before=r"(?<![0-9A-Za-z])(?<![0-9][ .,-])",
        after=r"(?![0-9A-Za-z]|[ .,-][0-9])",
    ),
    _Shape(
        Kind.DE_TAX_ID,
        "[0-9]{2}(?: ?[0-9]{3}){3}",
        plausible.is_tax_id,
        before=_NO_AMOUNT,
        after=_TO_ITS_END,
    ),
)
# Digits of a UUID are drawn by lot, and sometimes look like something.
_UUID: Final = re.compile("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_MEMORY: Final = 2**26  # bytes; with RE2's usual 8 MiB it would fall back to its slow way
_BATCH: Final = 1_000  # values that are searched at once, and are in memory
# Of plain numbers every tenth has Luhn's digit by chance. A column of at least so many numbers,
# of which fewer than this share pass, holds order numbers.
_NUMBERS: Final = 10
_SHARE: Final = 0.2


def find(text: str, kinds: Collection[Kind]) -> Iterator[Found]:
    """Each value of those kinds in a text; two spellings may overlap."""
    if _quick(frozenset(kinds)).search(text.encode(errors="replace")):
        yield from _look(text, kinds)


def scan(column: Iterable[tuple[str, int]], kinds: Collection[Kind]) -> Counter[Kind]:
    """Counts the rows that hold a value of each kind.

    Args:
        column: The distinct values of a column, and how many rows hold each; read bit by bit.
        kinds: What to look for.
    """
    counted: Counter[Kind] = Counter()
    bare: dict[Kind, list[int]] = defaultdict(list)
    numbers = 0
    for value, rows in _worth_a_look(column, kinds):
        is_number = value.removeprefix("-").isdecimal()
        numbers += is_number
        for kind in {found.kind for found in _look(value, kinds)}:
            counted[kind] += rows
            if is_number:
                bare[kind].append(rows)
    for kind, passed in bare.items():
        if numbers >= _NUMBERS and len(passed) < numbers * _SHARE:
            counted[kind] -= sum(passed)
    return +counted


def _worth_a_look(
    column: Iterable[tuple[str, int]], kinds: Collection[Kind]
) -> Iterator[tuple[str, int]]:
    """The values in which RE2 sees something, from one search over thousands at a time."""
    if not kinds:
        return
    quick = _quick(frozenset(kinds))
    rest = iter(column)
    while batch := list(itertools.islice(rest, _BATCH)):
        encoded = [value.encode(errors="replace") for value, _ in batch]
        ends = list(itertools.accumulate(len(each) + 1 for each in encoded))
        text = b"\0".join(encoded)  # no spelling holds it, and no text of Postgres
        position = 0
        while match := quick.search(text, position):
            place = bisect.bisect_right(ends, match.start())
            yield batch[place]
            position = ends[place]


def _look(text: str, kinds: Collection[Kind]) -> Iterator[Found]:
    plain = _UUID.sub(lambda match: "x" * len(match[0]), text)
    for shape, close in _close(frozenset(kinds)):
        for match in close.finditer(plain):
            if shape.valid(match[1]):
                yield Found(shape.kind, match.start(1), match.end(1))


@cache
def _quick(kinds: frozenset[Kind]) -> Any:  # noqa: ANN401 - re2 ships no types
    shapes = [shape for shape in _SHAPES if shape.kind in kinds]
    options = re2.Options()
    options.max_mem = _MEMORY
    hints = "|".join(f"(?:{shape.hint or shape.pattern})" for shape in shapes)
    return re2.compile(hints, options)


@cache
def _close(kinds: frozenset[Kind]) -> list[tuple[_Shape, re.Pattern[str]]]:
    """The shapes, compiled so that one candidate does not hide another that begins inside it."""
    return [
        (shape, re.compile(f"{shape.before}(?=({shape.pattern}){shape.after})", re.ASCII))
        for shape in _SHAPES
        if shape.kind in kinds
    ]
