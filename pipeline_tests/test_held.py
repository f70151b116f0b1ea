"""What a run holds stays invisible, as long as the run lives and no longer."""

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from pipeline.consume.held import Held, tens
from pipeline.contract import Limits
from pipeline.errors import QueueError
from pipeline.messages import Message, Refusals
from pipeline_tests.held_case import QUICK, SLOW, blank, hearts
from pipeline_tests.outside_world import StandInQueue
from pipeline_tests.samples import eventually


@pytest.fixture(autouse=True)
def _no_heart_goes_on() -> Iterator[None]:
    yield
    assert hearts() == []


def _refusing(_messages: Sequence[Message]) -> Refusals[Message]:
    raise QueueError("SQS refused", remedy="none")


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])]
)
def test_batch_calls_take_ten(count: int, sizes: list[int]) -> None:
    messages = blank(count)

    portions = list(tens(messages))

    assert [len(portion) for portion in portions] == sizes
    assert [each for portion in portions for each in portion] == messages


class TestHeartbeat:
    """The thread that extends the visibility."""

    def test_what_a_beat_could_not_extend_is_due_at_the_next_one(self) -> None:
        """Not half a timeout later: by then the message would be visible (fault 6)."""
        beats: list[float] = []

        def fail_first(_messages: Sequence[Message]) -> Refusals[Message]:
            beats.append(time.monotonic())
            if len(beats) == 1:
                raise QueueError("SQS refused", remedy="none")
            return Refusals()

        limits = Limits(visibility_seconds=4, hold_seconds=64, receivers=2)
        with closing(Held(StandInQueue(hide=fail_first), limits)) as held:
            held.add(blank(1))
            eventually(lambda: len(beats) >= 2)
        # A beat comes every half a second; another half of the timeout would be 1.5 s and more.
        assert beats[1] - beats[0] < 1.2

    def test_each_message_is_extended_before_its_time_is_over(self) -> None:
        """Fault 5: at half the visibility timeout, again and again."""
        messages = blank(12)
        extended: dict[str, list[float]] = {each.receipt: [] for each in messages}

        def note(some: Sequence[Message]) -> Refusals[Message]:
            for each in some:
                extended[each.receipt].append(time.monotonic())
            return Refusals()

        queue = StandInQueue(hide=note)
        with closing(Held(queue, QUICK)) as held:
            started = time.monotonic()
            held.add(messages)
            eventually(lambda: all(len(times) >= 3 for times in extended.values()))

        for times in extended.values():
            moments = [started, *times]
            gaps = [late - early for early, late in itertools.pairwise(moments)]
            assert max(gaps) < 1  # the visibility timeout
            assert min(gaps) > 0.25  # and no more calls than the half of it asks for
        assert {seconds for _, seconds in queue.hidden} == {1}
        assert max(len(some) for some, _ in queue.hidden) <= 10

    def test_it_ends_with_the_acknowledgement(self) -> None:
        queue = StandInQueue()
        held = Held(queue, QUICK)
        held.add(blank(3))

        assert held.acknowledge() == 0

        assert hearts() == []
        assert queue.hidden == []

    def test_a_deleted_message_is_not_extended_while_others_are_still_deleted(self) -> None:
        messages = blank(20)
        go_on = threading.Event()

        def delete(some: Sequence[Message]) -> Refusals[Message]:
            if messages[10] in some:
                assert go_on.wait(timeout=10)
            return Refusals()

        queue = StandInQueue(delete=delete)
        held = Held(queue, QUICK)
        held.add(messages)
        thread = threading.Thread(target=held.acknowledge)
        thread.start()
        try:
            eventually(lambda: len(queue.hidden) >= 2)
        finally:
            go_on.set()
            thread.join()

        assert [some for some, _ in queue.hidden] == [messages[10:]] * len(queue.hidden)

    def test_it_goes_on_after_a_refusal(self, caplog: pytest.LogCaptureFixture) -> None:
        """Fault 6."""
        queue = StandInQueue(hide=_refusing)
        with closing(Held(queue, QUICK)) as held:
            held.add(blank(1))
            eventually(lambda: len(queue.hidden) >= 2)

        assert "E_QUEUE: SQS refused" in caplog.text

    def test_a_partial_refusal_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        """Fault 6."""
        queue = StandInQueue(hide=lambda some: Refusals(retry=(some[0],), final=(some[1],)))
        with closing(Held(queue, QUICK)) as held:
            held.add(blank(3))
            eventually(lambda: "did not change the visibility of 2 messages" in caplog.text)

    @pytest.mark.parametrize("jump", [-3_600.0, 3_600.0])
    def test_a_clock_that_is_set_meanwhile_moves_no_beat(
        self, monkeypatch: pytest.MonkeyPatch, jump: float
    ) -> None:
        """Fault 71: by an hour, while a run holds what it has received."""
        queue, real = StandInQueue(), time.time
        with closing(Held(queue, QUICK)) as held:
            held.add(blank(1))
            eventually(lambda: len(queue.hidden) >= 1)
            monkeypatch.setattr(time, "time", lambda: real() + jump)
            left, since, beats = held.seconds_left, time.monotonic(), len(queue.hidden)
            eventually(lambda: len(queue.hidden) >= beats + 2)
            passed = time.monotonic() - since
            assert held.seconds_left == pytest.approx(left - passed, abs=1)
        assert passed > 0.25  # no beat came early

    def test_a_run_that_hangs_lets_go(self, caplog: pytest.LogCaptureFixture) -> None:
        """Fault 6: whatever SQS says of its beats, it holds nothing for ever."""
        queue = StandInQueue()
        with closing(Held(queue, Limits(visibility_seconds=1, hold_seconds=1))) as held:
            held.add(blank(1))
            eventually(lambda: not hearts())

        assert "held for 1 s: letting go" in caplog.text
        assert len(queue.hidden) <= 2


class TestGivingBack:
    """Releasing some, and holding the others."""

    def test_some_are_released_by_their_deliveries_and_the_rest_is_acknowledged(self) -> None:
        once, often, kept = blank(3), blank(12, receive_count=4), blank(2)
        queue = StandInQueue()
        held = Held(queue, SLOW)
        held.add([*once, *kept, *often])

        assert held.give_back([*once, *often]) == 15

        pauses = {each.receipt: pause for some, pause in queue.hidden for each in some}
        assert pauses == {each.receipt: 10 for each in once} | {each.receipt: 80 for each in often}
        assert held.acknowledge() == 0
        assert [each for some in queue.deleted for each in some] == kept

    def test_what_sqs_does_not_take_back_is_not_acknowledged_either(self) -> None:
        """Fault 8: it comes back when its visibility ends."""
        some, kept = blank(2), blank(1)
        queue = StandInQueue(hide=_refusing)
        held = Held(queue, SLOW)
        held.add([*some, *kept])

        assert held.give_back(some) == 0

        assert held.acknowledge() == 0
        assert [each for portion in queue.deleted for each in portion] == kept

    def test_the_heart_goes_on_for_what_is_still_held_and_only_for_that(self) -> None:
        some, kept = blank(2), blank(3)
        queue = StandInQueue()
        with closing(Held(queue, QUICK)) as held:
            held.add([*some, *kept])
            held.give_back(some)
            eventually(lambda: len(queue.hidden) >= 3)
        assert queue.hidden[0] == (some, 10)
        assert all(each in kept for portion, _ in queue.hidden[1:] for each in portion)

    def test_how_long_it_may_hold_at_all_runs_down(self) -> None:
        with closing(Held(StandInQueue(), QUICK)) as held:
            first = held.seconds_left
            assert first <= QUICK.hold_seconds
            eventually(lambda: held.seconds_left < first)
