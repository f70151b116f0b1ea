"""Values that are stored as they are, or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.masking.keyring import FieldKeys
from pipeline.masking.leaks import Kind
from pipeline.types import FieldType


@dataclass(frozen=True, slots=True)
class Keep:
    """The value goes into the table as it is.

    Attributes:
        reason: Why a personal field may be kept; required for one, for the next reader.
        holds: What the values are known to look like: the leak scan does not report it.
    """

    reason: str = ""
    holds: tuple[Kind, ...] = ()
    name: ClassVar[str] = "keep"
    pattern: ClassVar[None] = None

    def sql(self, kind: FieldType) -> str:
        """The type of the value itself."""
        return kind.sql

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:  # noqa: ARG002 - needs no key
        """The values themselves."""
        return list(values)

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:  # noqa: ARG002 - right for any type
        """A personal field that is kept without a word of why."""
        if personal and not self.reason.strip():
            return "a personal field may be kept only with a reason: Keep(reason=...)"
        if self.holds and not personal:
            return "policy: a field that holds such values is personal"
        return None


@dataclass(frozen=True, slots=True)
class Drop:
    """The value is checked against its type, and then dropped: it has no column."""

    name: ClassVar[str] = "drop"
    pattern: ClassVar[str] = ""

    def sql(self, kind: FieldType) -> str:
        """The type of the value itself, for want of a column."""
        return kind.sql

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:  # noqa: ARG002 - needs no key
        """Nothing of the values."""
        return [None] * len(values)

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:  # noqa: ARG002 - right for any field
        """Nothing can be wrong."""
        return None


@dataclass(frozen=True, slots=True)
class Undeclared:
    """What a field has whose contract names no policy: the contract is refused for it."""

    name: ClassVar[str] = "undeclared"
    pattern: ClassVar[str] = ""

    def sql(self, kind: FieldType) -> str:
        """The type of the value itself."""
        return kind.sql

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:  # noqa: ARG002 - needs no key
        """Nothing of the values: should the check ever be passed by, nobody is revealed."""
        return [None] * len(values)

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:  # noqa: ARG002 - wrong for any field
        """Always: there is no default."""
        return "policy: every field has one, there is no default"


UNDECLARED = Undeclared()
