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
from pipeline_tests.held_case import QUICK, blank, hearts
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

    def test_a_run_that_hangs_lets_go(self, caplog: pytest.LogCaptureFixture) -> None:
        queue = StandInQueue()
        with closing(Held(queue, Limits(visibility_seconds=1, hold_seconds=1))) as held:
            held.add(blank(1))
            eventually(lambda: not hearts())

        assert "held for 1 s: letting go" in caplog.text
        assert len(queue.hidden) <= 2
