"""A signal ends what the loop runs, in order, and then reaches whoever handles it."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from pipeline.produce.fetch.event_loop import run

NEVER = 10.0  # seconds: nobody waits so long where a signal ends it


class Interrupted(BaseException):
    """What a handler raises, as Dagster's does."""


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal whose handler raises."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    asked: signal.Signals = request.param
    before = signal.signal(asked, interrupt)
    yield asked
    signal.signal(asked, before)


def test_the_result_is_that_of_the_coroutine() -> None:
    async def main() -> int:
        await asyncio.sleep(0)
        return 7

    assert run(main()) == 7


def test_an_error_is_that_of_the_coroutine() -> None:
    async def main() -> None:
        raise EOFError

    with pytest.raises(EOFError):
        run(main())


def test_a_signal_in_a_callback_ends_it_in_order(number: signal.Signals) -> None:
    """Where asyncio would log what the handler raises, and go on."""
    ended = False

    async def main() -> None:
        nonlocal ended
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
        try:
            await asyncio.sleep(NEVER)
        finally:
            await asyncio.sleep(0)  # there is time to tidy up
            ended = True

    handler = signal.getsignal(number)
    with pytest.raises(Interrupted):
        run(main())
    assert ended
    assert signal.getsignal(number) is handler


def test_what_is_cancelled_by_itself_is_no_signal() -> None:
    async def main() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(main())


def test_in_another_thread_it_runs_without_that_care() -> None:
    found: list[int] = []

    async def main() -> int:
        return 7

    thread = threading.Thread(target=lambda: found.append(run(main())))
    thread.start()
    thread.join()
    assert found == [7]
