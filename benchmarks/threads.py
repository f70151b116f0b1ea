"""A step repeated by some threads until so many messages are through."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

_TEN: Final = 10  # messages of one call


def in_threads(step: Callable[[int], int], *, messages: int, threads: int) -> None:
    """Repeats a step; no thread asks for what another one has asked for already.

    So none waits at the end for messages that others hold, as those do who wait for an empty
    answer.

    Args:
        step: Asks for up to so many messages, and says how many it got.
        messages: In all.
        threads: That repeat it.
    """
    left = messages
    lock = threading.Lock()

    def reserve() -> int:
        nonlocal left
        with lock:
            count = min(_TEN, left)
            left -= count
            return count

    def give_back(count: int) -> None:
        nonlocal left
        with lock:
            left += count

    def work() -> None:
        while count := reserve():
            give_back(count - step(count))

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(work) for _ in range(threads)]:
            future.result()
