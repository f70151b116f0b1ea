"""Values of which little is left: a constant, a last few characters, a month, a bucket."""

import math
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import ClassVar, Literal

from pipeline.masking.keyring import FieldKeys
from pipeline.types import Date, FieldType, Integer, Number, Text, Timestamp

_REDACTED = "[redacted]"
_HIDDEN = "****"  # however long the value is
_MOST = 8  # characters that Last may show
_SMALLEST_INTEGER = -(2**63)  # that bigint holds
_SMALLEST_NUMBER = Fraction(-sys.float_info.max)


@dataclass(frozen=True, slots=True)
class Redact:
    """The value becomes a constant: all that shows is that there was one."""

    name: ClassVar[str] = "redact"
    pattern: ClassVar[str] = r"\[redacted\]"

    def sql(self, kind: FieldType) -> str:  # noqa: ARG002 - one constant for all
        """A varchar that holds the constant."""
        return f"varchar({len(_REDACTED)})"

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:  # noqa: ARG002 - needs neither
        """The constant, as often."""
        return [_REDACTED] * len(values)

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:  # noqa: ARG002 - right for any field
        """Nothing can be wrong."""
        return None


@dataclass(frozen=True, slots=True)
class Last:
    """The last characters of a text stay, as on a receipt: `****5928`.

    Never more than half of the value shows, and the stars do not tell its length.

    Attributes:
        count: How many characters at most.
    """

    count: int = 4
    name: ClassVar[str] = "last"

    @property
    def pattern(self) -> str:
        """Four stars and what may stay."""
        return rf"\*{{4}}(.|\n){{0,{self.count}}}"

    def sql(self, kind: FieldType) -> str:  # noqa: ARG002 - texts only
        """A varchar of that many characters and the stars."""
        return f"varchar({len(_HIDDEN) + self.count})"

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:  # noqa: ARG002 - needs neither
        """The end of each text."""
        return [self._end(unicodedata.normalize("NFC", str(value))) for value in values]

    def _end(self, text: str) -> str:
        return _HIDDEN + text[len(text) - min(self.count, len(text) // 2) :]

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:  # noqa: ARG002 - right for any text
        """Not a text, or a count that hides nothing."""
        if not isinstance(kind, Text):
            return "policy: for the type Text"
        return None if 1 <= self.count <= _MOST else f"policy: count is between 1 and {_MOST}"


@dataclass(frozen=True, slots=True)
class Generalize:
    """The value becomes the month, the year or the bucket that it falls into.

    Attributes:
        to: `"month"` or `"year"` for dates and timestamps (by UTC), which become the first day of
            it; for numbers the width of a bucket, of which the lower bound stays.
    """

    to: Literal["month", "year"] | float
    name: ClassVar[str] = "generalize"

    @property
    def pattern(self) -> str | None:
        """The first day of a month or a year; of a bucket any number may be the bound."""
        days = {"month": "01", "year": "01-01"}
        return f"[0-9]{{4,}}(-[0-9]{{2}})?-{days[self.to]}" if isinstance(self.to, str) else None

    def sql(self, kind: FieldType) -> str:
        """Date for dates; for numbers the widest of their kind."""
        if isinstance(self.to, str):
            return "date"
        return "bigint" if isinstance(kind, Integer) else "double precision"

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:  # noqa: ARG002 - needs no key
        """The first day or the lower bound of each value."""
        if isinstance(self.to, str):
            return [self._first_day(value) for value in values]
        width = Fraction(str(self.to))
        return [_lower_bound(value, width) for value in values]

    def _first_day(self, value: object) -> date:
        assert isinstance(value, date)  # noqa: S101 - the contract has no months of others
        return date(value.year, value.month if self.to == "month" else 1, 1)

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:  # noqa: ARG002 - right for any of these types
        """A step that does not fit the type."""
        match kind:
            case Date() | Timestamp():
                fits = self.to in {"month", "year"}
                return None if fits else 'policy: a date is generalised to "month" or "year"'
            case Integer():
                whole = not isinstance(self.to, str) and self.to > 1 and self.to % 1 == 0
                rule = "policy: a bucket of whole numbers has a whole width of at least 2"
                return None if whole else rule
            case Number():
                wide = not isinstance(self.to, str) and self.to > 0 and math.isfinite(self.to)
                return None if wide else "policy: the width of a bucket is a positive number"
        return "policy: for dates, timestamps, integers and numbers"


def _lower_bound(value: object, width: Fraction) -> int | float:
    # Exactly as it is written: in binary 0.5 falls into the bucket of 0.4 by tenths.
    bound = Fraction(str(value)) // width * width
    if isinstance(value, int):
        return max(int(bound), _SMALLEST_INTEGER)
    return float(max(bound, _SMALLEST_NUMBER))
