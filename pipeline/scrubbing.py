"""Takes personal values out of whatever is about to be written down: texts and exceptions.

This is the second wall. The first, `values_kept_out` and the translation of the driver's errors,
lets no value reach a log; this one catches what looks personal if a line gets past it.
"""

import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from pipeline.errors import PipelineError
from pipeline.masking import leaks

# Ids of twelve digits stay: AWS accounts have such numbers, and one in ten would pass for one.
_KINDS: Final = frozenset(leaks.Kind) - {leaks.Kind.IN_AADHAAR}


class Withheld(Exception):
    """Stands for an exception in a log: its types and places, and the text of our own only."""


def scrub(text: str) -> str:
    """The text with `[email]`, `[address]` and so on where values of those kinds stood.

    Addresses of this machine (127.0.0.1, ::1) stay: they are servers.
    """
    parts: list[str] = []
    position = 0
    found = sorted(leaks.find(text, _KINDS), key=lambda each: (each.start, -each.end))
    for kind, start, end in found:
        if start >= position:
            parts += [text[position:start], f"[{kind}]"]
        position = max(position, end)
    return "".join([*parts, text[position:]]) if found else text


def withhold(error: BaseException, trace: TracebackType | None = None) -> Withheld:
    """What may be written down of an exception, and of those that led to it.

    Args:
        error: The exception; its notes are left out as well.
        trace: Where it was raised, if the exception itself does not know.
    """
    if isinstance(error, Withheld):
        return error
    return Withheld("\n".join(_lines(error, trace or error.__traceback__, seen=set())))


def _lines(error: BaseException, trace: TracebackType | None, *, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    if isinstance(error, PipelineError):
        yield scrub(str(error))
    else:
        yield f"{_name(type(error))} (its text is withheld)"
    for frame in traceback.extract_tb(trace):
        yield f"  at {frame.filename}:{frame.lineno}, in {frame.name}"
    led = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for how, other in (("after", led), *(("with", each) for each in inner)):
        if other is not None and id(other) not in seen:
            first, *rest = _lines(other, other.__traceback__, seen=seen)
            yield f"{how} {first}"
            yield from rest


def _name(kind: type[BaseException]) -> str:
    known = kind.__module__ == "builtins"
    return kind.__qualname__ if known else f"{kind.__module__}.{kind.__qualname__}"
