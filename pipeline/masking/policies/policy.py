"""What every policy offers."""

from collections.abc import Sequence
from typing import Protocol

from pipeline.masking.keyring import FieldKeys
from pipeline.types import FieldType


class Policy(Protocol):
    """What becomes of a field's values on their way into the table."""

    @property
    def name(self) -> str:
        """The word for it in documents and metadata."""

    @property
    def pattern(self) -> str | None:
        """A regular expression (Postgres and Python) that every masked value matches in full.

        It is matched against the value as text. None where values may look like anything.
        """

    def sql(self, kind: FieldType) -> str:
        """The SQL type of the column, given the field's type."""

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:
        """The masked form of each value.

        Args:
            values: In the canonical form of their type, distinct, none of them null.
            kind: The field's type.
            keys: The field's keys.
        """

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:
        """What is wrong with the declaration for a field of that type, or None."""
