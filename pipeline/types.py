"""What a field's value may be: each type reads a decoded JSON value and names its SQL type."""

import ipaddress
import math
import re
import socket
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Protocol

import msgspec

from pipeline.reasons import Reason, Refused

Scalar = str | int | float | bool | date | datetime | list[str]

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)
_MAPPED_IPV4 = bytes(10) + b"\xff\xff"  # RFC 4291, section 2.5.5.2
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+){0,2}", re.ASCII)
_VERSION_SCHEMA = r"^[0-9]+(\.[0-9]+){0,2}$"  # as JSON Schema's dialect of patterns has it
_VARCHAR_LIMIT = 10_485_760  # Postgres's largest varchar(n)
_AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]


class FieldType(Protocol):
    """What every type offers."""

    @property
    def sql(self) -> str:
        """The SQL type of a column that keeps the value."""

    def read(self, value: object) -> Scalar:
        """The value in canonical form; raises `Refused` where a rule is broken."""

    def problem(self) -> str | None:
        """What is wrong with the declaration itself, or None."""

    def json_schema(self) -> dict[str, object]:
        """What a producer may send, as JSON Schema (draft 2020-12) can say it.

        Where it cannot say a rule, as for a number of bytes, it is wider than `read`.
        """


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
        return {"type": "string", "maxLength": self.max_length, "pattern": "^[^\\u0000]*$"}


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number, exact: `1.0` and `true` are refused."""

    minimum: int = _INT64.start
    maximum: int = _INT64.stop - 1

    @property
    def sql(self) -> str:
        """Integer where the range fits into 32 bits, else bigint."""
        return "integer" if self.minimum in _INT32 and self.maximum in _INT32 else "bigint"

    def read(self, value: object) -> int:
        """The number itself."""
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


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A moment: RFC 3339 with an offset (a naive time names no moment and is refused)."""

    @property
    def sql(self) -> str:
        """Timestamptz."""
        return "timestamptz"

    def read(self, value: object) -> datetime:
        """The moment in UTC."""
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        if not isinstance(value, str):
            raise Refused(Reason.WRONG_TYPE)
        try:
            return msgspec.convert(value, _AwareDatetime).astimezone(UTC)
        except (msgspec.ValidationError, OverflowError):
            raise Refused(Reason.BAD_TIMESTAMP) from None

    def problem(self) -> str | None:
        """Nothing can be wrong."""
        return None

    def json_schema(self) -> dict[str, object]:
        """A string with date, time and offset."""
        return {"type": "string", "format": "date-time"}


@dataclass(frozen=True, slots=True)
class Date:
    """A calendar day: `YYYY-MM-DD`, or the UTC day of a moment that the envelope carries."""

    @property
    def sql(self) -> str:
        """Date."""
        return "date"

    def read(self, value: object) -> date:
        """The day."""
        if isinstance(value, datetime):
            return value.astimezone(UTC).date()
        if not isinstance(value, str):
            raise Refused(Reason.WRONG_TYPE)
        try:
            return msgspec.convert(value, date)
        except msgspec.ValidationError:
            raise Refused(Reason.BAD_DATE) from None

    def problem(self) -> str | None:
        """Nothing can be wrong."""
        return None

    def json_schema(self) -> dict[str, object]:
        """A string with a day."""
        return {"type": "string", "format": "date"}


@dataclass(frozen=True, slots=True)
class Version:
    """A version of one to three numeric parts, packed into one integer that keeps their order.

    With two digits a part, `2.3.0` becomes 20300 and `9.10` becomes 91000. A part that needs
    more digits is refused, because it would run into its neighbour; see
    docs/decisions/0005-version-packing.md.

    Attributes:
        digits: Decimal digits for each of the minor and the patch part: 1 to 4.
    """

    digits: int = 2

    @property
    def sql(self) -> str:
        """Integer where three parts fit into 32 bits, else bigint."""
        return "integer" if 10 ** (3 * self.digits) - 1 in _INT32 else "bigint"

    def read(self, value: object) -> int:
        """The packed integer."""
        if not isinstance(value, str):
            raise Refused(Reason.WRONG_TYPE)
        if not _VERSION.fullmatch(value):
            raise Refused(Reason.BAD_VERSION)
        packed = 0
        parts = value.split(".")
        for part in (*parts, *("0",) * (3 - len(parts))):
            significant = part.lstrip("0")
            if len(significant) > self.digits:
                raise Refused(Reason.VERSION_PART_TOO_LARGE)
            packed = packed * 10**self.digits + int(significant or "0")
        return packed

    def problem(self) -> str | None:
        """A number of digits that no bigint has room for."""
        return None if self.digits in range(1, 5) else "digits must be between 1 and 4"

    def json_schema(self) -> dict[str, object]:
        """A string of one to three numbers."""
        return {"type": "string", "pattern": _VERSION_SCHEMA}


@dataclass(frozen=True, slots=True)
class IpAddress:
    """An IPv4 or IPv6 address, in any spelling; private and reserved ones too.

    Canonical form: dotted quad for IPv4 and for IPv4 mapped into IPv6, RFC 5952 for IPv6, so
    that two spellings of one address end in one pseudonym.
    """

    @property
    def sql(self) -> str:
        """Wide enough for the longest spelling of an IPv6 address."""
        return "varchar(45)"

    def read(self, value: object) -> str:
        """The address in canonical form."""
        if not isinstance(value, str):
            raise Refused(Reason.WRONG_TYPE)
        try:
            # inet_pton accepts the dotted quad only as it is canonically spelt.
            socket.inet_pton(socket.AF_INET, value)
        except (OSError, ValueError):
            return _canonical_ipv6(value)
        return value

    def problem(self) -> str | None:
        """Nothing can be wrong."""
        return None

    def json_schema(self) -> dict[str, object]:
        """A string that is an address of either kind."""
        return {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}


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


@dataclass(frozen=True, slots=True)
class JsonObject:
    """Any JSON object, as a whole: for envelopes whose contents only their reader knows.

    Its canonical form is its text, without white space and with each object's keys in order, so
    that two spellings of one object end in one pseudonym.

    Attributes:
        max_bytes: Of the canonical form, in UTF-8.
    """

    max_bytes: int

    @property
    def sql(self) -> str:
        """Jsonb."""
        return "jsonb"

    def read(self, value: object) -> str:
        """The canonical form."""
        if not isinstance(value, dict):
            raise Refused(Reason.WRONG_TYPE)
        encoded = msgspec.json.encode(value, order="deterministic")
        if len(encoded) > self.max_bytes:
            raise Refused(Reason.TOO_LONG)
        if b"\\u0000" in encoded and _holds_nul(value):
            raise Refused(Reason.NUL_CHARACTER)
        return encoded.decode()

    def problem(self) -> str | None:
        """No room for any object."""
        return None if self.max_bytes > 1 else "max_bytes must be at least 2"

    def json_schema(self) -> dict[str, object]:
        """An object."""
        return {"type": "object"}


def _bytes_in_nfc(value: str) -> int:
    return len(value) if value.isascii() else len(unicodedata.normalize("NFC", value).encode())


def _holds_nul(value: object) -> bool:
    """Whether a key or a string in it holds U+0000, which no text of Postgres does."""
    if isinstance(value, dict):
        return any(_holds_nul(each) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return any(_holds_nul(each) for each in value)
    return isinstance(value, str) and "\0" in value


def _canonical_ipv6(value: str) -> str:
    try:
        packed = socket.inet_pton(socket.AF_INET6, value)
    except (OSError, ValueError):
        raise Refused(Reason.BAD_ADDRESS) from None
    if packed.startswith(_MAPPED_IPV4):
        return socket.inet_ntop(socket.AF_INET, packed[len(_MAPPED_IPV4) :])
    return str(ipaddress.IPv6Address(packed))
