"""Rates are read as people write them, and each shape of traffic has its due moments."""

import itertools

import pytest

from pipeline.errors import TrafficError
from pipeline.messages import Event
from pipeline.produce.dispatch import BYTES
from pipeline.produce.latency import Latencies
from pipeline.produce.pace import Bursts, Pace, Ramp, Steady, read_duration, read_rate
from pipeline.produce.traffic import Order, calls


@pytest.mark.parametrize(
    ("text", "rate"), [("50/s", 50), ("3000/min", 50), ("10/h", 10 / 3600), ("0.5/s", 0.5)]
)
def test_a_rate_is_events_a_second(text: str, rate: float) -> None:
    assert read_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1.5min", 90), ("2h", 7200)])
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert read_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "50", "/s", "0/s", "-1/s", "50/d", "50 /s", "nan/s", "1e3/s", "\u0665/s", "9" * 400],
)
def test_what_is_no_rate_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(TrafficError, match="not a rate"):
        read_rate(text)
    with pytest.raises(TrafficError, match="not a duration"):
        read_duration(text.replace("/", ""))


def due(pace: Pace, count: int) -> list[float]:
    return [pace.due(place) for place in range(count)]


def test_steady_traffic_has_equal_gaps() -> None:
    assert due(Steady(4), 5) == [0, 0.25, 0.5, 0.75, 1]


def test_a_burst_is_due_at_one_moment() -> None:
    assert due(Bursts(3, every=10), 7) == [0, 0, 0, 10, 10, 10, 20]


@pytest.mark.parametrize(("first", "last"), [(10, 100), (100, 10), (50, 50)])
def test_a_ramp_goes_evenly_from_one_rate_to_another_and_stays(first: float, last: float) -> None:
    ramp = Ramp(first, last, over=10)
    moments = due(ramp, 2_000)
    on_it = [moment for moment in moments if moment < 10]
    assert len(on_it) == pytest.approx((first + last) / 2 * 10, abs=1)
    assert sum(moment < 5 for moment in on_it) == pytest.approx(
        (first + (first + last) / 2) / 2 * 5, abs=1
    )
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert 1 / gaps[0] == pytest.approx(first, rel=0.5)
    assert 1 / gaps[-1] == pytest.approx(last)
    assert min(gaps) > 0


@pytest.mark.parametrize(
    ("pace", "count", "seconds"),
    [
        (Steady(50), 1_000, 20),
        (Bursts(500, every=10), 1_000, 20),
        (Bursts(500, every=10), 970, 19.4),
        (Bursts(500, every=10), 5, 0.1),
        (Ramp(50, 50, over=10), 1_000, 20),
        (Ramp(10, 90, over=10), 500, 10),
    ],
)
def test_some_events_keep_a_pace_up_at_its_mean_rate(
    pace: Pace, count: int, seconds: float
) -> None:
    assert pace.lasts(count) == pytest.approx(seconds)


def test_what_is_due_by_a_moment_is_counted_without_counting() -> None:
    assert Order(pace=Steady(100)).due_by(3.005) == 301
    assert Order(pace=Steady(100), count=50).due_by(3) == 50
    assert Order(pace=Steady(100), seconds=1).due_by(3) == 100
    assert Order(pace=Bursts(7, every=2)).due_by(2.5) == 14


def events(*sizes: int) -> list[Event]:
    return [Event(str(place), "x" * size) for place, size in enumerate(sizes)]


def portions(made: list[Event], pace: Pace, entries: int = 10) -> list[list[str]]:
    found = calls(iter(made), Order(pace=pace), entries)
    return [[event.event_id for _, event in portion] for portion in found]


def test_what_is_due_together_travels_together() -> None:
    assert [len(each) for each in portions(events(*[1] * 25), Bursts(25, every=1))] == [10, 10, 5]
    assert [len(each) for each in portions(events(*[1] * 25), Steady(1_000))] == [10, 10, 5]
    assert [len(each) for each in portions(events(*[1] * 6), Steady(100))] == [3, 3]
    assert [len(each) for each in portions(events(1, 1, 1), Steady(10))] == [1, 1, 1]
    assert [len(each) for each in portions(events(1, 1), Bursts(2, every=1), entries=1)] == [1, 1]


def test_no_call_is_larger_than_sqs_takes() -> None:
    half = BYTES // 2
    assert portions(events(half, half, 10), Bursts(3, every=1)) == [["0"], ["1", "2"]]


def test_latencies_are_told_to_two_percent_whatever_their_size() -> None:
    latencies = Latencies()
    for place in range(1, 1_001):
        latencies.add(place / 1_000)
    assert latencies.quantile(0.5) == pytest.approx(0.5, rel=0.02)
    assert latencies.quantile(0.99) == pytest.approx(0.99, rel=0.02)
    assert latencies.told()["max"] == 1_000
    latencies.add(3_600)
    assert latencies.quantile(1) == 3_600


def test_no_latencies_and_none_at_all_are_told_as_nothing() -> None:
    latencies = Latencies()
    assert latencies.told() == {"p50": 0, "p95": 0, "p99": 0, "max": 0}
    latencies.add(0)
    assert latencies.quantile(0.5) == 0
