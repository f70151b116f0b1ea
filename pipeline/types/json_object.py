"""JSON objects that only their reader knows."""

from dataclasses import dataclass
from typing import Final

import msgspec

from pipeline.reasons import Reason, Refused

_ANY: Final = {"$ref": "#/$defs/Json"}
_WITHOUT_NUL: Final = {"pattern": "^[^\\u0000]*$"}

DEFINITIONS: Final[dict[str, object]] = {
    "Json": {
        "description": "Any JSON without U+0000.",
        "anyOf": [
            {"type": ["null", "boolean", "number"]},
            {"type": "string", **_WITHOUT_NUL},
            {"type": "array", "items": _ANY},
            {"type": "object", "propertyNames": _WITHOUT_NUL, "additionalProperties": _ANY},
        ],
    }
}
"""What a schema with a `JsonObject` in it has under `$defs`."""


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
        """An object, with a reference to `DEFINITIONS` for what is in it."""
        return {
            "type": "object",
            "propertyNames": _WITHOUT_NUL,
            "additionalProperties": _ANY,
            "description": f"At most {self.max_bytes} bytes in UTF-8, without white space.",
        }


def _holds_nul(value: object) -> bool:
    """Whether a key or a string in it holds U+0000, which no text of Postgres does."""
    if isinstance(value, dict):
        return any(_holds_nul(each) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return any(_holds_nul(each) for each in value)
    return isinstance(value, str) and "\0" in value
