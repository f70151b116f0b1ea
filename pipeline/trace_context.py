"""The context of a trace as it travels: the value of `traceparent` (W3C Trace Context, level 1)."""

import re
from dataclasses import dataclass
from typing import Final

NAME: Final = "traceparent"
"""The HTTP header and the message attribute; both hold the same text."""

# Of version 00 only, to the letter: 55 characters that name two ids and tell nothing else.
_FORM: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED: Final = 0x01
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Which span comes before, in whatever process.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        sampled: Whether that process keeps its spans of this trace.
    """

    trace_id: str
    span_id: str
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.sampled else 0:02x}"


def read(text: str | None) -> TraceContext | None:
    """The context that a text tells; None where it is not exactly one."""
    found = None if text is None else _FORM.fullmatch(text)
    if found is None:
        return None
    trace_id, span_id, flags = found.groups()
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceContext(trace_id, span_id, sampled=bool(int(flags, 16) & _SAMPLED))
