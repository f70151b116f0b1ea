"""Calls of a client that makes one at a time, several of them under way: a thread for each."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, Generic

from pipeline.messages import Ask, Outcome

_LOOK: Final = 0.2  # seconds: a thread that waits does not notice a signal that another one took


class ThreadedCalls(Generic[Ask, Outcome]):
    """As `pipeline.messages.Calls`.

    Args:
        make: Makes one call.
        at_once: How many may be under way.
    """

    def __init__(self, make: Callable[[Ask], Outcome], at_once: int) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="call")
        self._asks: dict[Future[Outcome], Ask] = {}

    @property
    def under_way(self) -> int:
        """As the port says."""
        return len(self._asks)

    def begin(self, ask: Ask) -> None:
        """As the port says."""
        self._asks[self._pool.submit(self._make, ask)] = ask

    def ended(self, seconds: float = _LOOK) -> list[tuple[Ask, Outcome | Exception]]:
        """As the port says."""
        done, _ = wait(self._asks, timeout=seconds, return_when=FIRST_COMPLETED)
        return [(self._asks.pop(future), self._outcome(future)) for future in done]

    def close(self) -> None:
        """As the port says."""
        self._pool.shutdown()

    def _outcome(self, future: Future[Outcome]) -> Outcome | Exception:
        try:
            return future.result()
        except Exception as error:  # noqa: BLE001 - whoever began the call decides
            return error
