"""What becomes of a field's values on their way into the table.

A policy works on the distinct values of a column; `pipeline.masking.mask` finds them and puts
the results back in place, so that each policy stays a plain loop over what differs.
"""

import base64
import hashlib
import hmac
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from pipeline.masking.keyring import FieldKey


class Policy(Protocol):
    """What every policy offers."""

    @property
    def name(self) -> str:
        """The word for it in documents and metadata."""

    @property
    def pattern(self) -> str | None:
        """A regular expression (Postgres and Python) that every masked value matches in full.

        None where values are kept and look like anything.
        """

    def sql(self, kept: str) -> str:
        """The SQL type of the column, given the type that the kept value would have."""

    def mask(self, values: Sequence[object], key: FieldKey) -> list[object]:
        """The masked form of each value; none of `values` is null."""

    def problem(self, *, personal: bool) -> str | None:
        """What is wrong with the declaration, or None."""


@dataclass(frozen=True, slots=True)
class Keep:
    """The value goes into the table as it is.

    Attributes:
        reason: Why a personal field may be kept; required for one, for the next reader.
    """

    reason: str = ""
    name: ClassVar[str] = "keep"
    pattern: ClassVar[None] = None

    def sql(self, kept: str) -> str:
        """The type of the value itself."""
        return kept

    def mask(self, values: Sequence[object], key: FieldKey) -> list[object]:  # noqa: ARG002 - needs no key
        """The values themselves."""
        return list(values)

    def problem(self, *, personal: bool) -> str | None:
        """A personal field that is kept without a word of why."""
        if personal and not self.reason:
            return "a personal field may be kept only with a reason: Keep(reason=...)"
        return None


@dataclass(frozen=True, slots=True)
class Pseudonymize:
    """The value becomes a keyed, deterministic, one-way pseudonym.

    HMAC-SHA256 (RFC 2104) under a key of the feed and field, 256 bits in base64url, behind the
    key version: `v1.` and 43 characters. Equal values get equal pseudonyms, so analysts can
    join and count. Text is normalised to Unicode NFC first: one person, one pseudonym.
    """

    name: ClassVar[str] = "pseudonymize"
    pattern: ClassVar[str] = r"v[0-9]+\.[A-Za-z0-9_-]{43}"

    def sql(self, kept: str) -> str:  # noqa: ARG002 - a pseudonym has one shape
        """Wide enough for any key version, and for a longer token later."""
        return "varchar(256)"

    def mask(self, values: Sequence[object], key: FieldKey) -> list[object]:
        """The pseudonym of each value."""
        prefix = f"v{key.version}."
        # A copy of the keyed state saves two of the four hash blocks a value.
        keyed = hmac.new(key.secret, digestmod=hashlib.sha256)
        tokens: list[object] = []
        for value in values:
            state = keyed.copy()
            state.update(unicodedata.normalize("NFC", str(value)).encode())
            token = base64.urlsafe_b64encode(state.digest())
            tokens.append(prefix + token.rstrip(b"=").decode())
        return tokens

    def problem(self, *, personal: bool) -> str | None:  # noqa: ARG002 - right for any field
        """Nothing can be wrong."""
        return None


@dataclass(frozen=True, slots=True)
class Undeclared:
    """What a field has whose contract names no policy: the contract is refused for it."""

    name: ClassVar[str] = "undeclared"
    pattern: ClassVar[str] = ""

    def sql(self, kept: str) -> str:
        """The type of the value itself."""
        return kept

    def mask(self, values: Sequence[object], key: FieldKey) -> list[object]:  # noqa: ARG002 - needs no key
        """Nothing of the values: should the check ever be passed by, nobody is revealed."""
        return [None] * len(values)

    def problem(self, *, personal: bool) -> str | None:  # noqa: ARG002 - wrong for any field
        """Always: there is no default."""
        return "policy: every field has one, there is no default"


UNDECLARED = Undeclared()
