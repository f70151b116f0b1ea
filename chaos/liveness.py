"""Whether the code server still answers: one that hangs is started anew, as a probe has it done."""

import threading
import time
from collections.abc import Callable
from typing import Final

from dagster._core.errors import DagsterUserCodeUnreachableError

PATIENCE: Final = 120.0
"""Seconds without an answer: a cold start on a busy machine takes a minute."""

_EACH: Final = 5.0


class Liveness:
    """Asks again and again, in a thread of its own; an answer may take as long as it likes.

    Dagster's code server shares a lock with each of its run workers. One that dies with it has it,
    and whoever cancels that run then waits for ever, within the lock that starts runs.

    Args:
        ask: Asks for an answer.
        now: Seconds, from whenever.
    """

    def __init__(
        self, ask: Callable[[], object], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask, self._now = ask, now
        self._heard_at = now()
        self._stop = threading.Event()

    def start(self) -> None:
        """Begins to ask."""
        self.begin_anew()
        # Nobody waits for it in the end: it may be waiting for an answer itself.
        threading.Thread(target=self._listen, name="liveness", daemon=True).start()

    def stop(self) -> None:
        """Asks no more."""
        self._stop.set()

    def begin_anew(self) -> None:
        """Waits as long as at the beginning: it was started again."""
        self._heard_at = self._now()

    def is_silent(self) -> bool:
        """Whether it has not answered for too long."""
        return self._now() - self._heard_at > PATIENCE

    def listen(self) -> None:
        """Asks once."""
        try:
            self._ask()
        except DagsterUserCodeUnreachableError:
            return
        self._heard_at = self._now()

    def _listen(self) -> None:
        while not self._stop.wait(_EACH):
            self.listen()
