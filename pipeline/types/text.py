"""Strings, and lists of them."""

import unicodedata
from dataclasses import dataclass

from pipeline.reasons import Reason, Refused

_VARCHAR_LIMIT = 10_485_760  # Postgres's largest varchar(n)


@dataclass(frozen=True, slots=True)
class Text:
    """A string.

    Attributes:
        max_length: In characters, as Postgres counts varchar(n).
        max_bytes: In UTF-8 and Unicode's normal form C, where a column of tokens sets a limit.
        allowed: The only values that are accepted; empty for any.
        samples: Realistic values, for the seed job; they constrain nothing.
        shape: A pattern of realistic values, for the seed job: `9` stands for a digit, `x` for a
            hexadecimal digit, anything else for itself.
    """

    max_length: int
    max_bytes: int | None = None
    allowed: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    shape: str = ""

    @property
    def sql(self) -> str:
        """A varchar of the declared length."""
        return f"varchar({self.max_length})"

    def read(self, value: object) -> str:
        """The string itself."""
        if not isinstance(value, str):
            raise Refused(Reason.WRONG_TYPE)
        if len(value) > self.max_length:
            raise Refused(Reason.TOO_LONG)
        if "\0" in value:  # valid JSON, but no text column of Postgres takes it
            raise Refused(Reason.NUL_CHARACTER)
        if self.max_bytes is not None and _bytes_in_nfc(value) > self.max_bytes:
            raise Refused(Reason.TOO_LONG)
        if self.allowed and value not in self.allowed:
            raise Refused(Reason.NOT_ALLOWED)
        return value

    def problem(self) -> str | None:
        """A length that no column can have, or sample values that break the type's own rules."""
        if not 1 <= self.max_length <= _VARCHAR_LIMIT:
            return f"max_length must be between 1 and {_VARCHAR_LIMIT}"
        if self.max_bytes is not None and self.max_bytes < 1:
            return "max_bytes must be positive"
        if any(len(value) > self.max_length for value in (*self.allowed, *self.samples)):
            return "an allowed or sample value is longer than max_length"
        most = self.max_bytes
        if most and any(_bytes_in_nfc(value) > most for value in (*self.allowed, *self.samples)):
            return "an allowed or sample value has more than max_bytes"
        if len(self.shape) > self.max_length:
            return "the shape is longer than max_length"
        return None

    def json_schema(self) -> dict[str, object]:
        """A string of bounded length; one of a list where the contract has one."""
        if self.allowed:
            return {"type": "string", "enum": list(self.allowed)}
        most = min(self.max_length, self.max_bytes or self.max_length)
        told: dict[str, object] = {"type": "string", "maxLength": most, "pattern": "^[^\\u0000]*$"}
        if self.max_bytes is not None:
            told["description"] = f"At most {self.max_bytes} bytes in UTF-8."
        return told


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of strings, kept in a column of their array: it may be kept or dropped, not masked.

    Attributes:
        each: What each string may be.
        max_items: How many there may be.
    """

    each: Text
    max_items: int

    @property
    def sql(self) -> str:
        """An array of text: Postgres would not hold an array to a length."""
        return "text[]"

    def read(self, value: object) -> list[str]:
        """The strings themselves."""
        if not isinstance(value, list):
            raise Refused(Reason.WRONG_TYPE)
        if len(value) > self.max_items:
            raise Refused(Reason.TOO_LONG)
        return [self.each.read(item) for item in value]

    def problem(self) -> str | None:
        """No room for any string, or what is wrong with the strings' type."""
        return "max_items must be positive" if self.max_items < 1 else self.each.problem()

    def json_schema(self) -> dict[str, object]:
        """An array of strings."""
        return {"type": "array", "maxItems": self.max_items, "items": self.each.json_schema()}


def _bytes_in_nfc(value: str) -> int:
    return len(value) if value.isascii() else len(unicodedata.normalize("NFC", value).encode())
