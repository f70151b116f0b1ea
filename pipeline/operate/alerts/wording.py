"""What may be told of a failure that Dagster has stored: this project's own texts, else a type."""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from dagster_shared.error import SerializableErrorInfo

from pipeline.errors import PipelineError
from pipeline.scrubbing import scrub

_LONGEST: Final = 600  # letters
_FEED: Final = re.compile(r"\(feed '([a-z0-9_]+)'")
_TYPE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")
_BUG: Final = "Look at the run: an error that nobody foresaw tells only its type here"


class Told(NamedTuple):
    """What may be told of an error.

    Attributes:
        code: Its code.
        what: What happened.
        remedy: What to do.
        feed: The feed, where its text names one.
    """

    code: str
    what: str
    remedy: str
    feed: str | None = None


class End(Enum):
    """How a run ended that did not end by itself: what happened, and what to do."""

    GONE = (
        "the run ended from outside: its process is gone, or somebody ended it",
        "What it had not committed comes again. Look at memory and restarts of its machine",
    )
    LATE = (
        "the run took longer than it may, and Dagster ended it",
        "What it had not committed comes again. Look at what it waited for, and at its max_runtime",
    )
    NO_START = (
        "the run did not start in time",
        "Nothing was received. Look at the code server, the run launcher and the machine's memory",
    )


def tell_end(end: End) -> Told:
    """What is told of a run that has no error of its own."""
    return Told("E_UNEXPECTED", *end.value)


def tell_error(error: SerializableErrorInfo | None, otherwise: str) -> Told:
    """What may be told of an error, by the innermost one that led to it.

    Args:
        error: As Dagster stores it.
        otherwise: What is told where there is none.
    """
    if error is None:
        return Told("E_UNEXPECTED", otherwise, _BUG)
    while error.cause is not None:
        error = error.cause
    kind = error.cls_name or ""
    for known in _tree(PipelineError):
        start = f"{known.__module__}.{known.__qualname__}: {known.code}: "
        if kind == known.__name__ and error.message.startswith(start):
            return _own(known.code, error.message.removeprefix(start).strip())
    return Told("E_UNEXPECTED", kind if _TYPE.fullmatch(kind) else "an error", _BUG)


def tell_text(text: str) -> str:
    """A text of this project, once more looked at for values, and not longer than is read."""
    clean = scrub(" ".join(text.split()))
    return clean if len(clean) <= _LONGEST else f"{clean[:_LONGEST]} …"


def _own(code: str, text: str) -> Told:
    """The first sentence of our own errors says what happened, the others what to do."""
    what, _, remedy = tell_text(text).partition(". ")
    named = _FEED.search(what)
    return Told(code, what, remedy or "Look at the run", named and named[1])


def _tree(kind: type[PipelineError]) -> Iterator[type[PipelineError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _tree(each)
