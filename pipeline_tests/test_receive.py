"""A batch ends at its first limit or when the queue is empty, and is in care from the start."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mypy_boto3_sqs import SQSClient

from pipeline.consume.held import Held
from pipeline.consume.ports import CLOCK, Clock
from pipeline.consume.receive import Received, receive
from pipeline.contract import Limits
from pipeline.errors import ContractError, QueueError
from pipeline.messages import Event, Message
from pipeline.resources.sqs import SqsQueue
from pipeline_tests.further_case import StillClock
from pipeline_tests.outside_world import StandInQueue
from pipeline_tests.samples import eventually, message, small

_MIB = 2**20


def _supply(
    *, total: int = 10**9, size: int = 2, each_call: int = 10
) -> Callable[[int], list[Message]]:
    """Messages of a size, so many for each call at most, until they are used up."""
    lock = threading.Lock()
    left = total

    def take(count: int) -> list[Message]:
        nonlocal left
        with lock:
            ready = min(count, each_call, left)
            left -= ready
        return [message("x" * size) for _ in range(ready)]

    return take


def _script(*answers: int) -> Callable[[int], list[Message]]:
    """Answers of so many messages, in this order; then nothing any more."""
    rest = iter(answers)
    return lambda _count: [message("{}") for _ in range(next(rest, 0))]


class _Care:
    """Receives and tells what was in care at the end."""

    def __init__(self, queue: StandInQueue, limits: Limits) -> None:
        self._queue, self._limits = queue, limits
        self.held = 0

    def receive(self) -> list[Message]:
        held = Held(self._queue, self._limits)
        try:
            return receive(self._queue, held, self._limits).messages
        finally:
            self.held = held.release()


@pytest.mark.parametrize("receivers", [1, 4])
@pytest.mark.parametrize("limit", [1, 10, 25, 101])
def test_no_more_messages_than_the_limit(receivers: int, limit: int) -> None:
    queue = StandInQueue(receive=_supply(each_call=7))
    care = _Care(queue, Limits(batch_messages=limit, receivers=receivers))

    assert len(care.receive()) == limit

    assert care.held == limit
    assert max(queue.asked) <= 10
    assert min(queue.asked) >= 1


@given(
    size=st.integers(1, _MIB),
    limit=st.integers(_MIB, 8 * _MIB),
    receivers=st.integers(1, 3),
)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_no_more_bytes_than_the_limit(size: int, limit: int, receivers: int) -> None:
    """Fault 27. And no fewer than would leave room for another message of SQS's largest size."""
    queue = StandInQueue(receive=_supply(size=size, total=200))
    care = _Care(queue, Limits(batch_bytes=limit, receivers=receivers))

    taken = sum(len(each.body) for each in care.receive())

    assert taken <= limit
    assert taken == 200 * size or taken > limit - _MIB


def test_a_limit_that_no_message_is_sure_to_fit_into_is_refused() -> None:
    """Else nothing would ever be received, and nobody told why."""
    with pytest.raises(ContractError, match="batch_bytes must be at least 1048576"):
        small(batch_bytes=_MIB - 1)


@pytest.mark.parametrize(("size", "most"), [(_MIB // 100, 10), (_MIB // 2, 8)])
def test_what_is_asked_for_is_taken_to_be_twice_as_large_as_what_came(size: int, most: int) -> None:
    """Else a small limit in bytes would leave room for one call at a time."""
    queue = StandInQueue(receive=_supply(size=size))

    taken = sum(len(each.body) for each in _Care(queue, Limits(batch_bytes=8 * _MIB)).receive())

    assert 8 * _MIB - 2 * size < taken <= 8 * _MIB
    assert max(queue.asked) == most


def test_what_is_twice_as_large_exceeds_no_limit() -> None:
    sizes = iter([_MIB // 16])
    queue = StandInQueue(
        receive=lambda count: [message("x" * size) for size in [next(sizes, _MIB // 8)] * count]
    )
    care = _Care(queue, Limits(batch_bytes=2 * _MIB))

    assert sum(len(each.body) for each in care.receive()) <= 2 * _MIB


def test_what_leaps_in_size_is_taken_all_the_same() -> None:
    """What is under way cannot be taken back."""
    supply = iter([10 * [message("{}")], 10 * [message("x" * _MIB)]])
    queue = StandInQueue(receive=lambda _count: next(supply, []))
    care = _Care(queue, Limits(batch_bytes=2 * _MIB, receivers=1))

    assert len(care.receive()) == 20
    assert len(queue.asked) == 2


def test_what_a_message_says_of_itself_counts_too() -> None:
    said = message("{}", event_id="x" * (_MIB // 2))
    queue = StandInQueue(receive=lambda count: [said] * count)

    assert len(_Care(queue, Limits(batch_bytes=2 * _MIB)).receive()) < 5


def test_bytes_are_counted_as_sqs_counts_them() -> None:
    def three_bytes_a_character(count: int) -> list[Message]:
        return [message("\u20ac" * (_MIB // 6)) for _ in range(count)]

    care = _Care(StandInQueue(receive=three_bytes_a_character), Limits(batch_bytes=3 * _MIB))

    assert 2 * _MIB < sum(len(each.body.encode()) for each in care.receive()) <= 3 * _MIB


def test_no_longer_than_the_limit() -> None:
    never = threading.Event()
    supply = _supply(each_call=1)

    def slowly(count: int) -> list[Message]:
        never.wait(0.02)
        return supply(count)

    care = _Care(StandInQueue(receive=slowly), Limits(receive_seconds=0.3, receivers=2))
    started = time.monotonic()

    received = care.receive()

    assert 0.3 <= time.monotonic() - started < 3
    assert len(received) == care.held > 2


class TestEmptyAnswers:
    """Fault 12: one proves nothing, a second one ends the batch."""

    @pytest.mark.parametrize(
        ("answers", "taken", "calls"),
        [
            ((), 0, 2),
            ((3,), 3, 3),
            ((0, 3), 3, 4),
            ((3, 0, 4, 0, 5), 12, 7),
            ((3, 0, 0, 4), 3, 3),
        ],
    )
    def test_of_one_call_at_a_time(self, answers: tuple[int, ...], taken: int, calls: int) -> None:
        queue = StandInQueue(receive=_script(*answers))
        care = _Care(queue, Limits(receivers=1))

        assert len(care.receive()) == taken
        assert len(queue.asked) == calls

    def test_of_several_calls_under_way(self) -> None:
        queue = StandInQueue(receive=_supply(total=95))
        care = _Care(queue, Limits(receivers=8))

        assert len(care.receive()) == 95
        assert 10 + 2 <= len(queue.asked) <= 10 + 8

    def test_another_answer_is_waited_for_instead_of_asking_again(self) -> None:
        """Long polls of an empty queue cost a second each."""
        asking = threading.Barrier(2, timeout=10)
        empty_first = threading.Event()
        lock = threading.Lock()
        calls = 0

        def answer(_count: int) -> list[Message]:
            nonlocal calls
            with lock:
                calls += 1
                mine = calls
            if mine <= 2:
                asking.wait()
            if mine == 1:
                empty_first.set()
                return []
            assert empty_first.wait(timeout=10)
            if mine == 2:
                assert calls == 2
                return [message("{}") for _ in range(5)]
            return []

        care = _Care(StandInQueue(receive=answer), Limits(receivers=2))

        assert len(care.receive()) == 5


class TestErrors:
    """Of one call among several."""

    def test_the_others_end_and_everything_stays_in_care(self) -> None:
        supply = _supply()
        lock = threading.Lock()
        calls = delivered = 0

        def fail_at_the_ninth(count: int) -> list[Message]:
            nonlocal calls, delivered
            with lock:
                calls += 1
                if calls == 9:
                    raise QueueError("SQS refused", remedy="none")
                messages = supply(count)
                delivered += len(messages)
            return messages

        care = _Care(StandInQueue(receive=fail_at_the_ninth), Limits(receivers=4))

        with pytest.raises(QueueError, match="SQS refused"):
            care.receive()

        assert care.held == delivered >= 80
        assert calls <= 9 + 3 * 2

    def test_an_error_ends_what_waits_for_another_answer(self) -> None:
        """The one got an empty answer, and would wait for ever for the other's."""
        both = threading.Barrier(2, timeout=10)
        turn = iter(range(2))

        def answer(_count: int) -> list[Message]:
            mine = next(turn)
            both.wait()
            if mine:
                raise QueueError("SQS refused", remedy="none")
            return []

        care = _Care(StandInQueue(receive=answer), Limits(receivers=2))

        with pytest.raises(QueueError):
            care.receive()

    def test_nor_does_it_wait_for_one_that_cannot_take_its_answer_in(self) -> None:
        """As for want of memory, when the answer is there already."""
        both = threading.Barrier(2, timeout=10)

        def answer(_count: int) -> list[Message]:
            both.wait()
            # The one that is asked for its result first is the one that waits for the other.
            is_second = threading.current_thread().name.endswith("_1")
            return [message(_Unweighable("{}"))] if is_second else []

        care = _Care(StandInQueue(receive=answer), Limits(receivers=2))
        failed: list[BaseException] = []

        def work() -> None:
            try:
                care.receive()
            except MemoryError as error:
                failed.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(10)
        assert (thread.is_alive(), len(failed), care.held) == (False, 1, 1)


class TestThreads:
    """As many as the queue has work for."""

    def test_an_empty_queue_is_asked_twice_however_many_there_may_be(self) -> None:
        crowd = _Crowd(_script())
        queue = StandInQueue(receive=crowd.answer)

        assert _Care(queue, Limits(receivers=8)).receive() == []

        assert (len(queue.asked), crowd.is_there) == (2, False)

    def test_full_answers_bring_more_up_to_the_limit_and_never_past_it(self) -> None:
        inside, peak, calls = 0, 0, 0
        lock, supply = threading.Lock(), _supply()

        def answer(count: int) -> list[Message]:
            nonlocal inside, peak, calls
            with lock:
                inside, calls = inside + 1, calls + 1
                peak = max(peak, inside)
                waits = calls > 5
            if waits:  # the answers before bring all others
                eventually(lambda: peak >= 5)
            with lock:
                inside -= 1
            return supply(count)

        care = _Care(StandInQueue(receive=answer), Limits(batch_messages=500, receivers=5))

        assert len(care.receive()) == 500
        assert peak == 5

    def test_answers_with_room_bring_none(self) -> None:
        crowd = _Crowd(_supply(total=40, each_call=9))
        care = _Care(StandInQueue(receive=crowd.answer), Limits(receivers=8))

        assert len(care.receive()) == 40

        assert not crowd.is_there


class _Crowd:
    """Whether more than two ask at once: each answer gives a third one a moment to come."""

    def __init__(self, supply: Callable[[int], list[Message]]) -> None:
        self._supply = supply
        self._lock = threading.Lock()
        self._inside = 0
        self._third = threading.Event()

    @property
    def is_there(self) -> bool:
        return self._third.is_set()

    def answer(self, count: int) -> list[Message]:
        with self._lock:
            self._inside += 1
            if self._inside > 2:
                self._third.set()
        self._third.wait(0.1)
        with self._lock:
            self._inside -= 1
        return self._supply(count)


class TestMore:
    """Whether more may be waiting, and how long a trickle is listened to."""

    def test_a_trickle_ends_a_batch_once_two_seconds_have_passed(self) -> None:
        """Else each of its messages would wait a minute for others."""
        clock, pauses = StillClock(), iter([0.0, 0.0, 1.9, 0.2])

        def answer(_count: int) -> list[Message]:
            clock.put_forward(next(pauses, 1.0))
            return [message("{}")] * 3

        received, calls = _received(answer, clock=clock)

        assert (len(received.messages), received.more, calls) == (12, True, 4)

    def test_full_answers_do_not(self) -> None:
        clock = StillClock()

        def answer(count: int) -> list[Message]:
            clock.put_forward(3)
            return [message("{}")] * count

        received, _ = _received(answer, clock=clock, batch_messages=40)

        assert (len(received.messages), received.more) == (40, True)

    @pytest.mark.parametrize(
        ("answers", "more"), [((10, 0, 0), False), ((0, 5, 0, 0), False), ((10, 0, 10, 10), True)]
    )
    def test_only_a_queue_that_was_found_empty_has_no_more(
        self, answers: tuple[int, ...], *, more: bool
    ) -> None:
        received, calls = _received(_script(*answers), batch_messages=30)

        assert (received.more, calls) == (more, len(answers))

    def test_nor_is_it_empty_where_the_time_is_over(self) -> None:
        clock = StillClock()

        def answer(_count: int) -> list[Message]:
            clock.put_forward(5)
            return []

        received, calls = _received(answer, clock=clock, receive_seconds=5)

        assert (received.messages, received.more, calls) == ([], True, 1)

    def test_whoever_wants_it_to_end_has_it_end_after_the_call(self) -> None:
        over = threading.Event()

        def answer(count: int) -> list[Message]:
            over.set()
            return [message("{}")] * count

        received, calls = _received(answer, over=over)

        assert (len(received.messages), received.more, calls) == (10, True, 1)


def _received(
    answer: Callable[[int], list[Message]],
    *,
    clock: Clock = CLOCK,
    over: threading.Event | None = None,
    **limits: float,
) -> tuple[Received, int]:
    """What one thread receives, and how often it asks."""
    queue = StandInQueue(receive=answer)
    bounds = Limits(receivers=1, **limits)  # type: ignore[arg-type] # as they are declared
    held = Held(queue, bounds)
    try:
        return receive(queue, held, bounds, clock, over), len(queue.asked)
    finally:
        held.close()


class _Unweighable(str):
    """A text for which there is no memory left to count its bytes."""

    __slots__ = ()

    def encode(self, *_how: object, **_named: object) -> bytes:
        raise MemoryError


def test_eight_calls_under_way_receive_each_message_of_a_real_queue_once(
    sqs: SQSClient,
) -> None:
    feed = small(receivers=8, batch_messages=1_000, visibility_seconds=60)
    queue = SqsQueue(sqs, feed, embedded=True)
    for start in range(0, 500, 10):
        queue.send([Event(f"{n}", json.dumps(n)) for n in range(start, start + 10)])
    held = Held(queue, feed.limits)

    received = receive(queue, held, feed.limits).messages

    assert Counter(each.event_id for each in received) == Counter(f"{n}" for n in range(500))
    assert queue.depth().in_flight == 500
    assert held.acknowledge() == 0
    assert queue.depth().total == 0
