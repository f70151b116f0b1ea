"""What every type of a field offers."""

from datetime import date, datetime
from typing import Protocol

Scalar = str | int | float | bool | date | datetime | list[str]
"""A value in canonical form."""


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
