"""The embedded queue on a clock that is moved by hand: whoever is due wakes, nobody sleeps."""

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable

import pytest

from pipeline.local.queue.clock import ManualClock, call_at
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import create_app
from pipeline_tests import queue_caller
from pipeline_tests.queue_caller import Caller, settled
from pipeline_tests.queue_fixtures import counts, seeded_queues, send

START = 1_700_000_000.0


@pytest.fixture
def manual() -> ManualClock:
    """A clock that stands still until it is advanced."""
    return ManualClock(START)


@pytest.fixture
def queues(manual: ManualClock) -> Queues:
    """Queues on that clock, with one empty queue `q`."""
    return seeded_queues(manual)


def play(queues: Queues, scenario: Callable[[Caller], Awaitable[None]]) -> None:
    queue_caller.run(create_app(queues), scenario)


def test_it_goes_where_it_is_moved_and_never_back(manual: ManualClock) -> None:
    manual.advance(1.5)
    assert manual() == START + 1.5
    manual.set(START + 10)
    assert manual() == START + 10
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="turned back"):
            manual.advance(wrong)
    with pytest.raises(ValueError, match="turned back"):
        manual.set(START)


def test_it_runs_ahead_of_the_clock_that_it_is_based_on() -> None:
    times = iter([100.0, 101.0, 105.0])
    ahead = ManualClock(lambda: next(times))
    assert ahead() == 100
    ahead.advance(60)
    assert [ahead(), ahead()] == [161, 165]


def test_a_long_poll_ends_when_the_clock_says_so(queues: Queues, manual: ManualClock) -> None:
    async def scenario(caller: Caller) -> None:
        (poll,) = await caller.waiting(1, seconds=20)
        manual.advance(19.9)
        await settled()
        assert not poll.done()
        manual.advance(0.1)
        assert await asyncio.wait_for(poll, 5) == {}

    play(queues, scenario)


@pytest.mark.parametrize("due", ["visibility", "delay"])
def test_a_message_that_becomes_visible_wakes_a_receiver(
    queues: Queues, manual: ManualClock, due: str
) -> None:
    if due == "visibility":
        send(queues, "a")
        queues.receive("q", most=1, visibility=10)
    else:
        queues.send("q", "a", attributes={}, delay=10)

    async def scenario(caller: Caller) -> None:
        (poll,) = await caller.waiting(1)
        manual.advance(9.9)
        await settled()
        assert not poll.done()
        manual.advance(0.1)
        assert len((await asyncio.wait_for(poll, 5))["Messages"]) == 1

    play(queues, scenario)


def test_a_move_goes_on_and_wakes_a_receiver_at_each_step(
    queues: Queues, manual: ManualClock
) -> None:
    queues.create("dead", {}, {})
    arn = queues.get("dead").state.arn
    policy = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 1}}'
    queues.change_settings("q", {"RedrivePolicy": policy, "VisibilityTimeout": "0"})
    send(queues, *"abc")
    for _ in range(2):
        queues.receive("q", most=10)

    async def scenario(caller: Caller) -> None:
        polls = await caller.waiting(3)
        task = {"SourceArn": arn, "MaxNumberOfMessagesPerSecond": 1}
        await caller.post("AmazonSQS.StartMessageMoveTask", task)
        for done in (1, 2, 3):
            await settled()
            assert sum(poll.done() for poll in polls) == done
            manual.advance(1)

    # What is received goes back at once, and would wake the next: so it is hidden.
    queues.change_settings("q", {"VisibilityTimeout": "30"})
    play(queues, scenario)


def test_retention_follows_it(queues: Queues, manual: ManualClock) -> None:
    send(queues, "a")
    manual.advance(4 * 86_400)
    assert counts(queues) == (0, 0, 0)


def test_it_may_be_moved_from_another_thread(queues: Queues, manual: ManualClock) -> None:
    queues.send("q", "a", attributes={}, delay=10)

    async def scenario(caller: Caller) -> None:
        # Debugging, a loop refuses what another thread does to it unasked.
        asyncio.get_running_loop().set_debug(True)
        (poll,) = await caller.waiting(1, seconds=20)
        other = threading.Thread(target=manual.advance, args=[10])
        other.start()
        await asyncio.to_thread(other.join)
        assert len((await asyncio.wait_for(poll, 5))["Messages"]) == 1

    play(queues, scenario)


def test_what_is_cancelled_does_not_happen_and_leaves_nothing_behind(manual: ManualClock) -> None:
    rung: list[str] = []

    async def scenario() -> None:
        for when, name in ((10, "first"), (20, "second")):
            alarm = call_at(manual, START + when, functools.partial(rung.append, name))
            if name == "first":
                alarm.cancel()
        manual.advance(30)
        await settled()
        manual.advance(30)
        await settled()

    asyncio.run(scenario())
    assert rung == ["second"]
    # Its loop is gone; a further advance has nobody to wake.
    manual.advance(30)
