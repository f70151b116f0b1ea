"""What a run holds stays invisible until it is acknowledged or released, and neither fails."""

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from pipeline.consume.held import Held, tens
from pipeline.contract import Limits
from pipeline.errors import QueueError
from pipeline.messages import Message, Refusals
from pipeline_tests.outside_world import StandInQueue
from pipeline_tests.samples import CANARY, eventually, message

_LIMITS = Limits(visibility_seconds=1, hold_seconds=60, receivers=2)
_SLOW = Limits(receivers=2)  # no heartbeat within a test


def _messages(count: int, *, receive_count: int = 1) -> list[Message]:
    return [message("{}", receive_count=receive_count) for _ in range(count)]


def _hearts() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


@pytest.fixture(autouse=True)
def _no_heart_goes_on() -> Iterator[None]:
    yield
    assert _hearts() == []


def _refusing(_messages: Sequence[Message]) -> Refusals[Message]:
    raise QueueError("SQS refused", remedy="none")


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])]
)
def test_batch_calls_take_ten(count: int, sizes: list[int]) -> None:
    messages = _messages(count)

    portions = list(tens(messages))

    assert [len(portion) for portion in portions] == sizes
    assert [each for portion in portions for each in portion] == messages


class TestHeartbeat:
    """The thread that extends the visibility."""

    def test_each_message_is_extended_before_its_time_is_over(self) -> None:
        """Fault 5: at half the visibility timeout, again and again."""
        messages = _messages(12)
        extended: dict[str, list[float]] = {each.receipt: [] for each in messages}

        def note(some: Sequence[Message]) -> Refusals[Message]:
            for each in some:
                extended[each.receipt].append(time.monotonic())
            return Refusals()

        queue = StandInQueue(hide=note)
        with closing(Held(queue, _LIMITS)) as held:
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
        held = Held(queue, _LIMITS)
        held.add(_messages(3))

        assert held.acknowledge() == 0

        assert _hearts() == []
        assert queue.hidden == []

    def test_a_deleted_message_is_not_extended_while_others_are_still_deleted(self) -> None:
        messages = _messages(20)
        go_on = threading.Event()

        def delete(some: Sequence[Message]) -> Refusals[Message]:
            if messages[10] in some:
                assert go_on.wait(timeout=10)
            return Refusals()

        queue = StandInQueue(delete=delete)
        held = Held(queue, _LIMITS)
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
        with closing(Held(queue, _LIMITS)) as held:
            held.add(_messages(1))
            eventually(lambda: len(queue.hidden) >= 2)

        assert "E_QUEUE: SQS refused" in caplog.text

    def test_a_partial_refusal_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        """Fault 6."""
        queue = StandInQueue(hide=lambda some: Refusals(retry=(some[0],), final=(some[1],)))
        with closing(Held(queue, _LIMITS)) as held:
            held.add(_messages(3))
            eventually(lambda: "did not change the visibility of 2 messages" in caplog.text)

    def test_a_run_that_hangs_lets_go(self, caplog: pytest.LogCaptureFixture) -> None:
        queue = StandInQueue()
        with closing(Held(queue, Limits(visibility_seconds=1, hold_seconds=1))) as held:
            held.add(_messages(1))
            eventually(lambda: not _hearts())

        assert "held for 1 s: letting go" in caplog.text
        assert len(queue.hidden) <= 2


class TestAcknowledging:
    """Deleting what was committed."""

    def test_everything_is_deleted_in_batches(self) -> None:
        messages = _messages(25)
        queue = StandInQueue()
        held = Held(queue, _SLOW)
        held.add(messages[:15])
        held.add(messages[15:])

        assert held.acknowledge() == 0

        assert sorted(len(some) for some in queue.deleted) == [5, 10, 10]
        assert Counter(each.receipt for some in queue.deleted for each in some) == Counter(
            each.receipt for each in messages
        )

    def test_only_what_was_refused_and_may_pass_is_tried_again(self) -> None:
        """Fault 8."""
        messages = _messages(4)
        answers = iter(
            [
                Refusals(retry=tuple(messages[:2]), final=(messages[2],)),
                Refusals(retry=(messages[1],)),
                Refusals(),
            ]
        )
        queue = StandInQueue(delete=lambda _some: next(answers))
        held = Held(queue, _SLOW)
        held.add(messages)

        assert held.acknowledge() == 1

        assert queue.deleted == [messages, messages[:2], messages[1:2]]

    def test_what_is_refused_again_and_again_is_counted(self) -> None:
        """Fault 8."""
        messages = _messages(3)
        queue = StandInQueue(delete=lambda _some: Refusals(retry=(messages[1],)))
        held = Held(queue, _SLOW)
        held.add(messages)

        assert held.acknowledge() == 1
        assert len(queue.deleted) == 3

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (QueueError("SQS refused", remedy="Wait"), "E_QUEUE: SQS refused. Wait"),
            (ValueError(CANARY), "ValueError"),
        ],
    )
    def test_a_failing_call_fails_no_committed_run(
        self, caplog: pytest.LogCaptureFixture, error: Exception, told: str
    ) -> None:
        """Fault 8. One call fails, the others are not held up."""
        messages = _messages(20)

        def delete(some: Sequence[Message]) -> Refusals[Message]:
            if messages[0] in some:
                raise error
            return Refusals()

        queue = StandInQueue(delete=delete)
        held = Held(queue, _SLOW)
        held.add(messages)

        assert held.acknowledge() == 10

        assert len(queue.deleted) == 2
        assert f"acknowledging: {told}" in caplog.text
        assert CANARY not in caplog.text

    def test_nothing_is_held_afterwards(self) -> None:
        queue = StandInQueue(delete=_refusing)
        held = Held(queue, _SLOW)
        held.add(_messages(3))
        held.acknowledge()

        assert held.release() == 0


class TestReleasing:
    """Giving back what could not be settled."""

    @pytest.mark.parametrize(
        ("deliveries", "pause"), [(1, 10), (2, 20), (3, 40), (7, 640), (8, 900), (1_000, 900)]
    )
    def test_the_pause_grows_with_the_deliveries(self, deliveries: int, pause: int) -> None:
        """Fault 16."""
        messages = _messages(2, receive_count=deliveries)
        queue = StandInQueue()
        held = Held(queue, _SLOW)
        held.add(messages)

        assert held.release() == 2

        assert queue.hidden == [(messages, pause)]

    def test_everything_is_released_in_batches_of_one_pause(self) -> None:
        first, second = _messages(15), _messages(5, receive_count=2)
        queue = StandInQueue()
        held = Held(queue, _SLOW)
        held.add([*first[:7], *second, *first[7:]])

        assert held.release() == 20

        assert sorted((len(some), pause) for some, pause in queue.hidden) == [
            (5, 10),
            (5, 20),
            (10, 10),
        ]
        assert queue.deleted == []

    def test_a_refusal_is_no_error(self, caplog: pytest.LogCaptureFixture) -> None:
        """They come back by themselves when their visibility ends."""
        queue = StandInQueue(hide=_refusing)
        held = Held(queue, _SLOW)
        held.add(_messages(12))

        assert held.release() == 12
        assert "changing visibility: E_QUEUE" in caplog.text

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
    def test_a_failing_block_releases(
        self, caplog: pytest.LogCaptureFixture, error: type[BaseException]
    ) -> None:
        queue = StandInQueue()
        held = Held(queue, _SLOW)
        held.add(_messages(3))

        with pytest.raises(error), held.released_on_failure():
            raise error

        assert [pause for _, pause in queue.hidden] == [10]
        assert "released 3 messages" in caplog.text

    def test_a_block_that_ends_well_goes_on_holding(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        queue = StandInQueue()
        with closing(Held(queue, _SLOW)) as held:
            with held.released_on_failure():
                held.add(_messages(3))

            assert queue.hidden == []
            assert len(_hearts()) == 1
            assert held.release() == 3
