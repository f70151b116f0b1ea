"""Versions of software."""

import re
from dataclasses import dataclass

from pipeline.reasons import Reason, Refused

_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+){0,2}", re.ASCII)
_LARGEST = 2**31 - 1  # of an integer column


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
        return "integer" if 10 ** (3 * self.digits) - 1 <= _LARGEST else "bigint"

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
        """A string of one to three numbers, each with its digits."""
        part = rf"0*[0-9]{{1,{self.digits}}}"
        return {"type": "string", "pattern": rf"^{part}(\.{part}){{0,2}}$"}
