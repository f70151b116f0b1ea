"""Which feed, run, batch and request a line of the log is about, wherever it is written.

They are bound once, where the work begins, and go with it through coroutines. A pool of threads
takes them along where it is made with `adopt`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_NONE: Final[Mapping[str, str]] = {}
_bound: Final[ContextVar[Mapping[str, str]]] = ContextVar("log_ids", default=_NONE)


def current() -> Mapping[str, str]:
    """Those that are known, by name: `feed`, `run_id`, `batch`, `request_id`, `trace_id`."""
    return _bound.get()


@contextmanager
def bound(**ids: str | None) -> Iterator[None]:
    """Adds ids to those of the lines that the block writes; None leaves one as it is."""
    known = {name: value for name, value in ids.items() if value is not None}
    token = _bound.set({**_bound.get(), **known})
    try:
        yield
    finally:
        _bound.reset(token)


def adopt(ids: Mapping[str, str]) -> None:
    """Takes ids over for the rest of this thread, as the initializer of a pool does."""
    _bound.set(ids)
