"""The rate limit: never more than the bucket and the rate together, and never a wait too long."""

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pipeline.produce.rest.rate import BURST_SECONDS, Rates
from pipeline.produce.rest.senders import Sender
from pipeline_tests.queue_fixtures import Clock
from pipeline_tests.samples import quickly

A_HAIR = 1e-3  # records: what floats and the tolerance may give away


@dataclass(frozen=True)
class Request:
    """Some records, so many seconds after the request before."""

    after: float
    count: int


requests = st.lists(
    st.builds(Request, st.floats(0, 30), st.integers(1, 1_000)), min_size=1, max_size=60
)
rates = st.floats(0.001, 1_000_000)


def sender(per_second: float, name: str = "acme") -> Sender:
    return Sender(name, None, per_second)


@quickly
@given(requests, rates)
def test_within_any_span_no_more_passes_than_bucket_and_rate_allow(
    asked: list[Request], per_second: float
) -> None:
    clock = Clock()
    limit, acme = Rates(clock=clock), sender(per_second)
    passed: list[tuple[float, int]] = []
    for each in asked:
        clock.now += each.after
        if limit.take(acme, each.count) == 0.0:
            passed.append((clock.now, each.count))
    bucket = BURST_SECONDS * per_second
    for first, (begin, _) in enumerate(passed):
        for last in range(first, len(passed)):
            # The last one of a span may leave a debt, which what follows pays.
            before = sum(count for _, count in passed[first:last])
            refilled = (passed[last][0] - begin) * per_second
            room = bucket + refilled - before
            needed = min(passed[last][1], bucket)
            assert needed <= room + A_HAIR * max(1.0, per_second)


@quickly
@given(requests, rates)
def test_who_waits_as_told_passes_and_who_comes_earlier_does_not(
    asked: list[Request], per_second: float
) -> None:
    clock = Clock()
    limit, acme = Rates(clock=clock), sender(per_second)
    for each in asked:
        clock.now += each.after
        wait = limit.take(acme, each.count)
        if wait > 1.0:
            clock.now += wait - 0.5
            assert limit.take(acme, each.count) > 0.0
            wait = 0.5
        if wait:
            clock.now += wait
            assert limit.take(acme, each.count) == 0.0


@quickly
@given(requests, rates)
def test_what_is_refused_takes_nothing(asked: list[Request], per_second: float) -> None:
    clock = Clock()
    limit, acme = Rates(clock=clock), sender(per_second)
    for each in asked:
        clock.now += each.after
        wait = limit.take(acme, each.count)
        if wait:
            assert limit.take(acme, each.count) == wait


def test_a_steady_sender_gets_its_rate() -> None:
    clock = Clock()
    limit, acme = Rates(clock=clock), sender(10.0)
    passed = 0
    for _ in range(6_000):  # ten minutes, at ten times what it may
        clock.now += 0.01
        passed += limit.take(acme, 1) == 0.0
    assert 60 * 10 + 100 - 2 <= passed <= 60 * 10 + 100 + 2


def test_a_batch_larger_than_the_bucket_passes_and_is_paid_for() -> None:
    clock = Clock()
    limit, acme = Rates(clock=clock), sender(10.0)
    assert limit.take(acme, 1_000) == 0.0
    assert limit.take(acme, 1) > 89
    clock.now += 90.2
    assert limit.take(acme, 1) == 0.0


def test_a_batch_larger_than_the_bucket_passes_behind_its_own_first_record() -> None:
    limit, acme = Rates(clock=Clock()), sender(50.0)
    assert limit.take(acme, 1) == 0.0
    assert limit.take(acme, 599, taken=1) == 0.0


@quickly
@given(st.integers(2, 150), st.integers(-2, 2))
def test_a_batch_passes_in_two_parts_where_it_passes_as_a_whole(count: int, beyond: int) -> None:
    acme = sender(10.0)  # a bucket of a hundred
    whole, parts = Rates(clock=Clock()), Rates(clock=Clock())
    for each in (whole, parts):
        each.take(acme, max(100 - count + beyond, 1))
    passes = whole.take(acme, count) == 0.0
    in_parts = parts.take(acme, 1) == 0.0 and parts.take(acme, count - 1, taken=1) == 0.0
    assert in_parts == passes


def test_a_batch_that_waits_as_told_passes_unless_another_request_came_between() -> None:
    clock = Clock()
    limit, acme = Rates(clock=clock), sender(1.0)
    for count in (1, 1):
        assert limit.take(acme, count) == 0.0
    wait = limit.take(acme, 599, taken=1)
    assert wait > 0.0
    clock.now += wait
    assert limit.take(acme, 1) == 0.0
    assert limit.take(acme, 599, taken=1) == 0.0


def test_a_slow_sender_may_send_one_and_then_waits() -> None:
    clock = Clock()
    limit, acme = Rates(clock=clock), sender(0.001)
    assert limit.take(acme, 1) == 0.0
    assert 999 < limit.take(acme, 1) <= 1_000


def test_one_sender_does_not_pay_for_another() -> None:
    limit = Rates(clock=Clock())
    assert limit.take(sender(1.0), 1_000) == 0.0
    assert limit.take(sender(1.0), 1) > 0.0
    assert limit.take(sender(1.0, "umbrella"), 1) == 0.0


def test_a_new_rate_holds_at_once() -> None:
    clock = Clock()
    limit = Rates(clock=clock)
    assert limit.take(sender(1.0), 10) == 0.0
    clock.now += 1.0
    assert limit.take(sender(1.0), 2) > 0.0
    assert limit.take(sender(100.0), 2) == 0.0


def test_buckets_that_are_full_again_are_forgotten() -> None:
    clock = Clock()
    limit = Rates(clock=clock)

    def come(first: int) -> None:
        for number in range(first, first + 11_000):
            limit.take(sender(100.0, f"sender-{number}"), 1)
            clock.now += 0.001

    def grown(act: Callable[[int], None], first: int) -> int:
        before = tracemalloc.get_traced_memory()[0]
        act(first)
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        come(0)
        assert grown(come, 11_000) + grown(come, 22_000) < 500_000
    finally:
        tracemalloc.stop()
