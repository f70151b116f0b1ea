"""How many runs a tick asks for: enough, never too many, and fewer after failures."""

import itertools
import math
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.consume.plan import Decision, Seen, decide
from pipeline.contract import Limits
from pipeline_tests.samples import quickly

NOW: Final = 1_700_000_000.0
TICK: Final = 5.0
LIMITS: Final = Limits(
    batch_messages=50, run_messages=100, linger_messages=10, linger_seconds=20.0, max_runs=3
)


def seen(depth: int, active: int = 0, **changes: float | None) -> Seen:
    tick = Seen(now=NOW, depth=depth, active=active, receiving=active)
    return replace(tick, **changes)  # type: ignore[arg-type]


def runs(depth: int, active: int = 0, **changes: float | None) -> int:
    return decide(seen(depth, active, **changes), LIMITS).runs


def test_every_depth_gets_the_runs_it_asks_for_within_the_limit() -> None:
    for depth, active in itertools.product([0, 10, 99, 100, 101, 200, 201, 300, 10**6], range(6)):
        asked = math.ceil(depth / 100) - active
        assert runs(depth, active) == max(0, min(asked, 3 - active)), (depth, active)


def test_an_empty_queue_asks_for_nothing_and_forgets_what_waited() -> None:
    decision = decide(seen(0, waiting_since=NOW - 100, failures=3, failed_at=NOW), LIMITS)
    assert decision == Decision(0, "the queue is empty", None)


def test_a_small_depth_waits_for_company_up_to_the_linger() -> None:
    first = decide(seen(9), LIMITS)
    assert (first.runs, first.waiting_since) == (0, NOW)
    assert first.reason == "9 waiting; up to 20 s more for others to travel with"
    almost = decide(seen(9, waiting_since=NOW - 19.9), LIMITS)
    assert (almost.runs, almost.waiting_since) == (0, NOW - 19.9)
    assert decide(seen(1, waiting_since=NOW - 20), LIMITS) == Decision(
        1, "1 waiting; requesting 1 run", None
    )


def test_a_depth_that_has_grown_waits_no_longer() -> None:
    assert runs(10, waiting_since=NOW) == 1


def test_a_feed_may_do_without_a_linger() -> None:
    assert decide(seen(1), replace(LIMITS, linger_seconds=0)).runs == 1


@pytest.mark.parametrize("back", [1, 3_600, 10**9])
def test_a_clock_that_went_back_makes_nobody_wait_longer_than_the_linger(back: float) -> None:
    """Fault 71."""
    first = decide(seen(1, waiting_since=NOW + back), LIMITS)
    assert (first.runs, first.waiting_since) == (0, NOW)
    assert runs(1, waiting_since=first.waiting_since, now=NOW + 20) == 1


def test_after_failures_a_tick_waits_twice_as_long_each_time() -> None:
    pauses = [
        next(s for s in range(2_000) if runs(500, failures=failures, failed_at=NOW - s))
        for failures in range(1, 10)
    ]
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600]


def test_a_pause_says_why_and_keeps_what_waited() -> None:
    decision = decide(seen(9, failures=2, failed_at=NOW - 5, waiting_since=NOW - 7), LIMITS)
    assert decision == Decision(
        0, "9 waiting; the last 2 runs failed, trying again in 15 s", NOW - 7
    )
    assert "the last 1 run failed" in decide(seen(9, failures=1, failed_at=NOW), LIMITS).reason


def test_a_clock_that_runs_ahead_elsewhere_shortens_no_pause() -> None:
    """Fault 71: the run that failed may have been on another machine."""
    decision = decide(seen(500, failures=1, failed_at=NOW + 3), LIMITS)
    assert decision.reason.endswith("trying again in 13 s")


@pytest.mark.parametrize("back", [11, 3_600, 10**9])
def test_a_clock_that_went_back_after_a_failure_stops_nobody(back: float) -> None:
    """Fault 71."""
    assert runs(500, failures=1, failed_at=NOW + back) == 3


def test_the_reason_says_what_was_seen() -> None:
    assert decide(seen(500, 3), LIMITS).reason == "500 waiting; 3 runs queued or running, the limit"
    assert decide(seen(50, 1), LIMITS).reason == (
        "50 waiting; 1 run queued or receiving will take them"
    )
    assert decide(seen(500, 1), LIMITS).reason == "500 waiting; requesting 2 runs"


def test_a_million_that_wait_get_no_more_runs_than_a_few() -> None:
    """Fault 27."""
    assert decide(seen(10**6, 0), LIMITS).runs == LIMITS.max_runs


def test_a_run_that_stopped_receiving_long_ago_takes_nothing_but_counts() -> None:
    """Fault 60: what was killed may look alive until Dagster's own monitoring notices."""
    assert decide(seen(50, 1, receiving=0), LIMITS).runs == 1
    assert decide(seen(50, 3, receiving=0), LIMITS).runs == 0


ANY_LIMITS: Final = st.builds(
    Limits,
    batch_messages=st.just(1),
    run_messages=st.integers(1, 1_000),
    linger_messages=st.integers(1, 1_000),
    linger_seconds=st.floats(0, 100),
    max_runs=st.integers(1, 5),
)
TIMES: Final = st.floats(-(10.0**6), 10.0**6).map(lambda seconds: NOW + seconds)
ANY_SEEN: Final = st.builds(
    lambda *, active, idle, **rest: Seen(active=active, receiving=max(0, active - idle), **rest),
    now=TIMES,
    depth=st.integers(0, 5_000),
    active=st.integers(0, 8),
    idle=st.integers(0, 8),
    failures=st.integers(0, 2_000),
    failed_at=TIMES,
    waiting_since=st.none() | TIMES,
)


@quickly
@given(ANY_SEEN, ANY_LIMITS)
def test_never_more_than_the_limit_nor_than_the_depth_asks_for(tick: Seen, limits: Limits) -> None:
    """Fault 27."""
    decision = decide(tick, limits)
    assert decision.runs >= 0
    assert decision.runs == 0 or decision.runs + tick.active <= limits.max_runs
    assert (decision.runs + tick.receiving - 1) * limits.run_messages < tick.depth or (
        decision.runs == 0
    )


@quickly
@given(ANY_SEEN, ANY_LIMITS)
def test_a_tick_asks_for_runs_or_says_what_it_waits_for(tick: Seen, limits: Limits) -> None:
    decision = decide(tick, limits)
    assert ("requesting" in decision.reason) == (decision.runs > 0)
    assert str(tick.depth) in decision.reason or tick.depth == 0
    remembered = decision.waiting_since
    assert remembered is None or decision.runs == 0


@quickly
@given(ANY_SEEN, ANY_LIMITS)
def test_whatever_waits_is_taken_within_the_longest_pause_and_the_linger(
    tick: Seen, limits: Limits
) -> None:
    """Nothing that a tick saw or remembered, and no clock, keeps messages waiting for ever."""
    tick = replace(tick, depth=max(1, tick.depth), active=0, receiving=0)
    end = tick.now + 2 * 600 + limits.linger_seconds + 3 * TICK
    while (decision := decide(tick, limits)).runs == 0:
        tick = replace(tick, now=tick.now + TICK, waiting_since=decision.waiting_since)
        assert tick.now <= end


def test_from_the_second_failure_on_one_run_takes_a_few_messages_only() -> None:
    """Fault 16: what fails after the receive costs those few a delivery, not all that wait."""
    long_ago = NOW - 600
    once = decide(seen(10_000, failures=1, failed_at=long_ago), LIMITS)
    assert (once.runs, once.most_messages) == (3, None)
    for failures in (2, 3, 8):
        probe = decide(seen(10_000, failures=failures, failed_at=long_ago), LIMITS)
        assert (probe.runs, probe.most_messages) == (1, 10)
    waits = decide(seen(10_000, active=1, failures=2, failed_at=long_ago), LIMITS)
    assert (waits.runs, waits.reason) == (
        0,
        "10000 waiting; 1 run will show whether runs succeed again",
    )


def test_a_probe_does_not_wait_for_a_run_that_stopped_receiving_long_ago() -> None:
    """Fault 60: it may be dead, and Dagster not know of it."""
    tick = replace(seen(10_000, active=1, failures=2, failed_at=NOW - 600), receiving=0)
    assert decide(tick, LIMITS).runs == 1


def test_a_probe_does_not_wait_for_company() -> None:
    assert runs(1, failures=2, failed_at=NOW - 600, waiting_since=NOW) == 1
