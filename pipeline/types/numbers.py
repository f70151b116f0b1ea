"""Numbers and truth values."""

import math
from dataclasses import dataclass

from pipeline.reasons import Reason, Refused

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)
_EXACT = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number, exact. `83.0` is one too, as in JSON Schema; `true` is none."""

    minimum: int = _INT64.start
    maximum: int = _INT64.stop - 1

    @property
    def sql(self) -> str:
        """Integer where the range fits into 32 bits, else bigint."""
        return "integer" if self.minimum in _INT32 and self.maximum in _INT32 else "bigint"

    def read(self, value: object) -> int:
        """The number itself."""
        # Beyond, a float may be another number than the one that was written.
        if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise Refused(Reason.WRONG_TYPE)
        if not self.minimum <= value <= self.maximum:
            raise Refused(Reason.OUT_OF_RANGE)
        return value

    def problem(self) -> str | None:
        """An empty range, or one that bigint cannot hold."""
        if self.minimum > self.maximum:
            return "minimum is above maximum"
        if self.minimum not in _INT64 or self.maximum not in _INT64:
            return "the range does not fit into 64 bits"
        return None

    def json_schema(self) -> dict[str, object]:
        """A whole number in its range."""
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Number:
    """A number with a fractional part, kept in double precision. Not for identifiers."""

    minimum: float = -math.inf
    maximum: float = math.inf

    @property
    def sql(self) -> str:
        """Double precision."""
        return "double precision"

    def read(self, value: object) -> float:
        """The number as a float."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise Refused(Reason.WRONG_TYPE)
        try:
            number = float(value)
        except OverflowError:
            raise Refused(Reason.OUT_OF_RANGE) from None
        if not self.minimum <= number <= self.maximum:
            raise Refused(Reason.OUT_OF_RANGE)
        return number + 0.0  # -0.0 becomes 0.0: equal numbers get equal pseudonyms

    def problem(self) -> str | None:
        """An empty range."""
        return None if self.minimum <= self.maximum else "minimum is above maximum"

    def json_schema(self) -> dict[str, object]:
        """A number in its range."""
        bounds = {"minimum": self.minimum, "maximum": self.maximum}
        finite = {name: bound for name, bound in bounds.items() if math.isfinite(bound)}
        return {"type": "number", **finite}


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false; neither 0 and 1 nor "yes" and "no"."""

    @property
    def sql(self) -> str:
        """Boolean."""
        return "boolean"

    def read(self, value: object) -> bool:
        """The truth value itself."""
        if not isinstance(value, bool):
            raise Refused(Reason.WRONG_TYPE)
        return value

    def problem(self) -> str | None:
        """Nothing can be wrong."""
        return None

    def json_schema(self) -> dict[str, object]:
        """A truth value."""
        return {"type": "boolean"}
