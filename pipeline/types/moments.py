"""Moments and calendar days."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated

import msgspec

from pipeline.reasons import Reason, Refused

_AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A moment: RFC 3339 with an offset (a naive time names no moment and is refused).

    A blank may stand for the T, as RFC 3339 allows in section 5.6.
    """

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
