"""What the embedded queue's calls cost: the same whatever the backlog and the history."""

import functools
import sys
from collections.abc import Callable
from types import FrameType

from pipeline.local.queue.queues import Queues
from pipeline_tests.queue_fixtures import Clock, seeded_queues, send

DAY = 86_400.0


def calls_made(act: Callable[[], object]) -> int:
    """How many Python and C functions an action calls."""
    made = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal made
        made += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return made


def test_receiving_costs_the_same_whatever_the_backlog(clock: Clock) -> None:
    costs = []
    for backlog in (20, 5_000):
        queues = seeded_queues(clock)
        send(queues, *map(str, range(backlog)))
        costs.append(calls_made(functools.partial(queues.receive, "q", most=10)))
    assert costs[0] == costs[1]


def test_deletes_and_heartbeats_leave_nothing_behind_that_grows(
    queues: Queues, clock: Clock
) -> None:
    send(queues, "held")
    receipt = queues.receive("q", most=1)[0].receipt
    for _ in range(1_000):
        clock.now += 1
        queues.change_visibility("q", receipt, 3_600)
        send(queues, "a")
        queues.acknowledge("q", queues.receive("q", most=1)[0].receipt)
    assert calls_made(lambda: queues.get("q").settle(clock.now + 10 * DAY)) < 2_000


def test_an_expired_backlog_is_not_searched_again(queues: Queues, clock: Clock) -> None:
    send(queues, *map(str, range(1_000)))
    clock.now += 5 * DAY
    send(queues, "a")
    assert calls_made(lambda: queues.receive("q", most=1)) < 100
