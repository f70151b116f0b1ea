"""A source that is asked within a time: one that hangs keeps nobody from the others' figures."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from pipeline.errors import PipelineError, UnexpectedError

_Reading = TypeVar("_Reading")

TOO_SLOW: Final = "too_slow"
"""The code of a source that has not answered in time."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[_Reading]):
    """What came of asking.

    Attributes:
        reading: What was read; None where nothing was.
        error: Why not, as a code.
        seconds: How long it took, or has taken by now.
    """

    reading: _Reading | None
    error: str | None
    seconds: float


class _Asking(Generic[_Reading]):
    """One reading in a thread of its own, which nobody has to wait for."""

    def __init__(self, read: Callable[[], _Reading]) -> None:
        self._read = read
        self._over = threading.Event()
        self._reading: _Reading | None = None
        self._error: str | None = None
        self._began = time.monotonic()
        self._seconds: float | None = None
        # A daemon: a process that is to end does not wait for it.
        threading.Thread(target=self._run, name="scrape", daemon=True).start()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def answer(self, until: float) -> Answer[_Reading]:
        if self._over.wait(max(0.0, until - time.monotonic())):
            return Answer(self._reading, self._error, self._seconds or 0.0)
        return Answer(None, TOO_SLOW, time.monotonic() - self._began)

    def _run(self) -> None:
        try:
            self._reading = self._read()
        except PipelineError as error:
            self._error = error.code
        except Exception:  # noqa: BLE001 - a bug in one source is not to empty the others
            self._error = UnexpectedError.code
        finally:
            self._seconds = time.monotonic() - self._began
            self._over.set()


class Source(Generic[_Reading]):
    """One thing that is read at each scrape, by one thread at a time.

    Args:
        name: As the label `source` has it.
        read: Reads it.
    """

    def __init__(self, name: str, read: Callable[[], _Reading]) -> None:
        self.name = name
        self._read = read
        self._asking: _Asking[_Reading] | None = None

    def begin(self) -> None:
        """Has it read, unless the reading of an earlier scrape still hangs."""
        if self._asking is None or self._asking.is_over:
            self._asking = _Asking(self._read)

    def end(self, until: float) -> Answer[_Reading]:
        """What came of it, waited for until then by the monotonic clock."""
        assert self._asking is not None  # noqa: S101 - `begin` comes first
        return self._asking.answer(until)
