"""Generated traffic keeps its pace, owns up to stalls, and accounts for every event."""

import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest

from pipeline.errors import QueueUnreachable
from pipeline.messages import Event
from pipeline.produce.generate import Recipe
from pipeline.produce.pace import Bursts, Steady
from pipeline.produce.traffic import THREADS, Order, Sending, Tally, endless, send
from pipeline.produce.traffic_report import line
from pipeline.produce.ways import Outcome
from pipeline.reasons import Reason
from pipeline_tests.samples import USER_LOGINS


class Way:
    """A way that records what comes, and answers as it is told."""

    entries = 10

    def __init__(self, answer: Callable[[Sequence[Event]], Outcome]) -> None:
        self._answer = answer
        self.calls: list[list[str]] = []

    def send(self, events: Sequence[Event]) -> Outcome:
        self.calls.append([event.event_id for event in events])
        return self._answer(events)


def taken(events: Sequence[Event]) -> Outcome:
    return Outcome(sent=len(events))


def numbered() -> Iterator[Event]:
    return (Event(str(place), "{}") for place in itertools.count())


def drive(way: Way, order: Order, stop: threading.Event | None = None) -> Sending:
    return send(way, numbered(), order, stop=stop or threading.Event(), tell=_ignore)


def _ignore(_elapsed: float, _second: Tally) -> None:
    """For a test that asks for no progress."""


def test_it_keeps_the_pace_and_sends_what_was_ordered() -> None:
    way = Way(taken)
    sending = drive(way, Order(pace=Steady(200), count=100))
    assert (sending.due, sending.tally.sent, sending.unsent) == (100, 100, 0)
    assert sorted(itertools.chain(*way.calls), key=int) == [str(place) for place in range(100)]
    assert sending.seconds >= 99 / 200
    assert sending.asked == pytest.approx(200)
    assert 0 < sending.reached <= sending.asked


@pytest.mark.parametrize("count", [5, 20, 35, 40])
def test_a_burst_is_not_faster_than_its_pace(count: int) -> None:
    """Full or not, and however soon the last one was sent: its pause is a part of it."""
    sending = drive(Way(taken), Order(pace=Bursts(20, every=0.2), count=count))
    assert sending.tally.sent == count
    assert sending.asked == pytest.approx(100)
    assert 0 < sending.reached <= sending.asked


def test_what_was_late_reached_less_than_was_asked() -> None:
    tally = Tally()
    tally.add(Outcome(sent=900, failed=100), [])
    assert Sending(tally, due=1_000, seconds=10.3, lasts=20).reached == pytest.approx(45)
    assert Sending(tally, due=1_000, seconds=30, lasts=20).reached == pytest.approx(30)
    nothing = Sending(Tally(), due=0, seconds=0, lasts=0)
    assert (nothing.asked, nothing.reached) == (0, 0)


def test_a_stall_shows_in_every_event_that_it_held_up() -> None:
    """No coordinated omission: the latency of an event counts from when it was due."""
    opened, stalled = threading.Event(), threading.Semaphore(0)

    def stall(events: Sequence[Event]) -> Outcome:
        stalled.release()
        assert opened.wait(10)
        return Outcome(sent=len(events))

    def open_after_a_while() -> None:
        for _ in range(THREADS):
            assert stalled.acquire(timeout=10)
        threading.Event().wait(0.5)
        opened.set()

    opener = threading.Thread(target=open_after_a_while)
    opener.start()
    sending = drive(Way(stall), Order(pace=Steady(2_000), count=1_000))
    opener.join()
    assert sending.tally.sent == 1_000
    # All the events were due within the half second of the stall, but for those at its very end.
    assert sending.tally.latencies.quantile(0.5) > 0.2
    assert sending.tally.latencies.quantile(0.1) > 0.02


def test_no_more_calls_are_under_way_than_there_are_threads() -> None:
    """And no event waits in memory for one: the source is read as they go."""
    opened, under_way = threading.Event(), threading.Semaphore(0)
    made: list[int] = []

    def hold(events: Sequence[Event]) -> Outcome:
        under_way.release()
        assert opened.wait(10)
        return Outcome(sent=len(events))

    def source() -> Iterator[Event]:
        for event in numbered():
            made.append(1)
            yield event

    def look() -> None:
        for _ in range(THREADS):
            assert under_way.acquire(timeout=10)
        threading.Event().wait(0.1)
        seen.append((len(way.calls), len(made)))
        opened.set()

    seen: list[tuple[int, int]] = []
    way = Way(hold)
    looker = threading.Thread(target=look)
    looker.start()
    order = Order(pace=Bursts(1_000, every=1), count=1_000)
    send(way, source(), order, stop=threading.Event(), tell=_ignore)
    looker.join()
    ((calls, events),) = seen
    assert calls == THREADS
    assert events <= (THREADS + 2) * way.entries


def test_told_to_stop_it_finishes_what_is_under_way_and_owns_up_to_the_rest() -> None:
    stop = threading.Event()

    def stop_at_the_fifth(events: Sequence[Event]) -> Outcome:
        if len(way.calls) == 5:
            stop.set()
        return Outcome(sent=len(events))

    way = Way(stop_at_the_fifth)
    sending = drive(way, Order(pace=Steady(1_000)), stop)
    left = sum(map(len, way.calls))
    assert sending.tally.sent == left
    assert sending.due == left + sending.unsent
    assert 0 <= sending.unsent < 1_000


def test_after_its_time_nothing_leaves() -> None:
    sending = drive(way := Way(taken), Order(pace=Steady(500), seconds=0.3))
    assert sending.due == 150
    assert sum(map(len, way.calls)) == sending.tally.sent == 150


def test_errors_are_counted_by_their_code_and_end_nothing() -> None:
    answers = itertools.cycle([taken, _unreachable, _bug, _partly])
    way = Way(lambda events: next(answers)(events))  # noqa: PLW0108 - another one for each
    sending = drive(way, Order(pace=Bursts(80, every=1), count=80))
    tally = sending.tally
    assert (tally.sent, tally.refused, tally.failed, sending.unsent) == (36, 4, 40, 0)
    assert tally.why == Counter(E_QUEUE_UNREACHABLE=20, E_UNEXPECTED=20, SenderFault=4)
    assert tally.latencies.quantile(1) > 0


def _unreachable(_events: Sequence[Event]) -> Outcome:
    raise QueueUnreachable("the endpoint does not answer", remedy="Wait")


def _bug(_events: Sequence[Event]) -> Outcome:
    raise KeyError("a value")


def _partly(events: Sequence[Event]) -> Outcome:
    return Outcome(sent=len(events) - 2, refused=2, why=Counter(SenderFault=2))


def test_each_second_is_told_by_itself() -> None:
    told: list[tuple[float, int]] = []
    stop = threading.Event()

    def tell(elapsed: float, second: Tally) -> None:
        told.append((elapsed, second.sent))
        assert f"{second.sent} sent  p50 " in line(elapsed, second)
        if len(told) == 2:
            stop.set()

    sending = send(Way(taken), numbered(), Order(pace=Steady(100)), stop=stop, tell=tell)
    assert [round(elapsed) for elapsed, _ in told] == [1, 2]
    assert sum(sent for _, sent in told) <= sending.tally.sent
    assert all(60 < sent < 140 for _, sent in told)


def test_generated_events_never_end_and_keep_their_shares() -> None:
    recipe = Recipe(count=100, random_seed=1, duplicates=0.1, malformed={Reason.NOT_JSON: 0.05})
    made = list(itertools.islice(endless(USER_LOGINS, recipe), 1_000))
    assert len({event.event_id for event in made}) == 900
    broken = sum(not _is_json(event.body) for event in made)
    assert broken == 50
    again = list(itertools.islice(endless(USER_LOGINS, recipe), 1_000))
    assert [event.body for event in again] == [event.body for event in made]
    assert len({event.body for event in made}) > 800  # each part has values of its own


def _is_json(body: str) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True
