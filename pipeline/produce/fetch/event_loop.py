"""Runs a coroutine so that a signal ends it in order, whoever handles signals in this process."""

import asyncio
import signal
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
_ENDINGS = (signal.SIGINT, signal.SIGTERM)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Runs it as `asyncio.run` does; a signal cancels it first, and is raised again afterwards.

    Dagster's handlers raise wherever the process just is. In a callback of the loop that is
    logged and forgotten, so that a run that somebody cancels would go on.

    Args:
        main: What to run, in the main thread or, without that care, in another.
    """
    if threading.current_thread() is not threading.main_thread():
        return asyncio.run(main)
    came: list[int] = []
    try:
        return asyncio.run(_cancelled_by_signals(main, came))
    except asyncio.CancelledError:
        for number in came:
            signal.raise_signal(number)
        raise


async def _cancelled_by_signals(main: Coroutine[Any, Any, Result], came: list[int]) -> Result:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(main)

    def end(number: int) -> None:
        came.append(number)
        task.cancel()

    before = {number: signal.getsignal(number) for number in _ENDINGS}
    for number in before:
        loop.add_signal_handler(number, end, number)
    try:
        return await task
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
