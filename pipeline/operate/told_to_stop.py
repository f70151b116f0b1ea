"""How a service hears that it is to end: the first signal is a request, the second an order."""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from types import FrameType
from typing import Final, Self, TypeVar

# The system may give a signal to any thread; only the main one acts on it, once it wakes.
_SLICE: Final = 0.1  # seconds
_Result = TypeVar("_Result")


class TooLate(Exception):
    """The work did not end in its time of grace."""


class ToldToStop:
    """Tells the work of a process that SIGTERM or SIGINT has come; a second one ends all at once.

    Attributes:
        stop: Set once a signal has come.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._signals = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type] # as it was given

    def until(self, work: Callable[[], _Result], grace: float = float("inf")) -> _Result:
        """What some work comes to, in a thread: Dagster takes the signals of the main thread.

        Raises:
            TooLate: It did not end within `grace` seconds of being told to.
        """
        future = ThreadPoolExecutor(1, thread_name_prefix="work").submit(work)
        last = float("inf")
        while not wait([future], timeout=_SLICE).done:
            if self._signals and not self.stop.is_set():
                self.stop.set()
                last = time.monotonic() + grace
            if time.monotonic() > last:
                raise TooLate
        return future.result()

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        # Not an event: this thread may hold its lock at this moment.
        self._signals += 1
        if self._signals > 1:
            os._exit(128 + number)  # as a shell tells it; process 1 of a container has no default
