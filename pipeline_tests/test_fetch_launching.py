"""Which ranges are launched: the decision alone, without Dagster."""

import pytest

from pipeline.produce.fetch.launching import AT_ONCE, Decision, Seen, Tried, decide

NOW = 1_700_000_000.0
RANGES = tuple(f"{first:07}-{first + 200:07}" for first in range(0, 2_000, 200))
ONE, TWO, THREE = RANGES[:3]


def seen(*due: str, active: set[str] | None = None, **tried: Tried) -> Seen:
    """A look at some ranges; those tried are named by their place among the due."""
    return Seen(
        NOW,
        planned=True,
        due=due,
        active=frozenset(active or ()),
        tried={due[int(place[1:])]: each for place, each in tried.items()},
    )


def test_without_a_plan_nothing_is_launched() -> None:
    assert decide(Seen(NOW, planned=False)) == Decision((), "nothing has been planned yet")


def test_when_all_is_fetched_nothing_is_launched() -> None:
    assert decide(seen()) == Decision((), "every range has been fetched since the plan")


def test_what_is_due_is_launched_in_order() -> None:
    assert decide(seen(ONE, TWO)).ranges == (ONE, TWO)


def test_no_more_are_launched_than_fit_beside_those_under_way() -> None:
    assert decide(seen(*RANGES)).ranges == RANGES[:AT_ONCE]
    decision = decide(seen(*RANGES, active={ONE, THREE}))
    assert decision.ranges == (TWO, *RANGES[3 : AT_ONCE + 1])[: AT_ONCE - 2]
    assert decide(seen(*RANGES, active=set(RANGES[:AT_ONCE]))) == Decision(
        (), "ranges to be fetched: 10; queued or under way: 4"
    )
    # A hand or a backfill may launch more than the sensor would.
    assert decide(seen(*RANGES, active=set(RANGES[:-1]))).ranges == ()


def test_a_range_that_is_under_way_is_never_launched_again() -> None:
    for active in ({ONE}, {TWO}, {ONE, TWO}):
        assert not active.intersection(decide(seen(ONE, TWO, active=active)).ranges)


@pytest.mark.parametrize(
    ("failures", "pause"), [(1, 60), (2, 120), (3, 240), (6, 1_920), (7, 3_840), (2_000, 3_840)]
)
def test_a_range_that_failed_waits_longer_each_time_and_others_go_on(
    failures: int, pause: float
) -> None:
    early = Tried(failures, ended_at=NOW - pause + 1, cancelled=False)
    late = Tried(failures, ended_at=NOW - pause, cancelled=False)
    decision = decide(seen(ONE, TWO, _0=early))
    assert decision.ranges == (TWO,)
    assert decision.reason == "ranges to be fetched: 2; failed, to be tried again later: 1"
    assert decide(seen(ONE, TWO, _0=late)).ranges == (ONE, TWO)


def test_a_range_that_somebody_cancelled_is_left_to_a_hand() -> None:
    cancelled = Tried(failures=0, ended_at=NOW - 10_000_000, cancelled=True)
    decision = decide(seen(ONE, TWO, _1=cancelled))
    assert decision == Decision((ONE,), "ranges to be fetched: 2; cancelled: 1")
    # Whoever launches it then is not disturbed.
    assert decide(seen(TWO, active={TWO}, _0=cancelled)).ranges == ()


def test_a_backfill_is_left_to_launch_the_ranges() -> None:
    decision = decide(Seen(NOW, planned=True, due=(ONE, TWO), backfill=True))
    assert decision == Decision((), "ranges to be fetched: 2; a backfill launches them")
