"""Receives one bounded batch, with more calls under way the more there is to receive."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field

from pipeline import log_ids
from pipeline.consume.held import Held
from pipeline.consume.ports import CLOCK, Clock
from pipeline.contract import Limits
from pipeline.crash_points import CrashPoint, reach
from pipeline.messages import Calls, Message, Queue

_LOOK = 0.2  # seconds: a thread that waits does not notice a signal that another one took
_TEN = 10  # messages of one call, the limit of SQS
_LARGEST = 2**20  # bytes of one message, the limit of SQS
# A short poll samples hosts and may come back empty; even a long one proves nothing alone.
_EMPTY_ANSWERS = 2
_FIRST_CALLS = 2  # as many as it takes to find a queue empty
# From then on an answer that has room left ends a batch: of a trickle, which never comes to an
# empty answer, nobody is to wait for a full one.
_COMPANY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Received:
    """What was received.

    Attributes:
        messages: The messages.
        more: Whether more may be waiting: the queue was not found empty.
    """

    messages: list[Message] = field(repr=False)
    more: bool


def receive(
    queue: Queue,
    held: Held,
    limits: Limits,
    clock: Clock = CLOCK,
    over: threading.Event | None = None,
) -> Received:
    """Receives until a limit is met or the queue has answered empty more than once.

    Every message is in `held`'s care from its receipt on.

    Args:
        queue: The queue.
        held: Takes care of what is received.
        limits: Those of a batch.
        clock: The time.
        over: Set by whoever wants it to end before.

    Raises:
        QueueError: SQS refused or did not answer; what was received is still in `held`.
    """
    drain = _Drain(limits, clock, over or threading.Event())
    # In a thread of its own: what interrupts this one (Dagster raises an exception here on SIGTERM)
    # hits no call and no answer, and each message that comes is in care.
    ids = log_ids.current()
    with ThreadPoolExecutor(1, "receive", initializer=log_ids.adopt, initargs=(ids,)) as pool:
        received = pool.submit(_receive, queue, held, limits, drain)
        try:
            while not wait([received], _LOOK).done:
                pass
        except BaseException:
            drain.stop()
            raise
    return received.result()


def _receive(queue: Queue, held: Held, limits: Limits, drain: "_Drain") -> Received:
    failures: list[Exception] = []
    with closing(queue.receives(limits.receivers)) as calls:
        try:
            while drain.asks(calls) or calls.under_way:
                answers, failed = _hold(calls, held)
                if failed:
                    failures += failed
                    drain.stop()
                for count, messages in answers:
                    reach(CrashPoint.AFTER_RECEIVE)
                    drain.settle(count, messages)
        except BaseException:
            while calls.under_way:  # whatever still comes is to be released, too
                _hold(calls, held)
            raise
    if failures:
        raise failures[0]
    return Received(drain.messages, more=not drain.is_empty)


def _hold(
    calls: Calls[int, list[Message]], held: Held
) -> tuple[list[tuple[int, list[Message]]], list[Exception]]:
    """Takes what has come into care, all of it before anything else is done with it.

    Returns:
        The answers, each with how many messages were asked for, and the calls' errors.
    """
    answers: list[tuple[int, list[Message]]] = []
    failures: list[Exception] = []
    for count, outcome in calls.ended():
        if isinstance(outcome, Exception):
            failures.append(outcome)
        else:
            held.add(outcome)
            answers.append((count, outcome))
    return answers, failures


class _Drain:
    """How much may still be asked for, and when to stop.

    A message that is asked for is taken to be twice as large as any that came before, and the first
    ones as large as SQS allows: the limit in bytes is exceeded only where sizes leap, and then by
    what is under way.
    """

    def __init__(self, limits: Limits, clock: Clock, over: threading.Event) -> None:
        self.messages: list[Message] = []
        self._at_once = min(_FIRST_CALLS, limits.receivers)
        self._most_at_once = limits.receivers
        self._over = over
        self._clock = clock
        self._began = clock.monotonic()
        self._deadline = self._began + limits.receive_seconds
        self._places = limits.batch_messages
        self._bytes = limits.batch_bytes
        self._assumed = _LARGEST  # bytes of a message that is asked for
        self._largest = 0  # bytes of one that has come
        self._asked = 0  # messages
        self._asking = 0  # calls
        self._empty_answers = 0
        self._stopped = False

    @property
    def is_empty(self) -> bool:
        """Whether the queue was found empty."""
        return self._empty_answers >= _EMPTY_ANSWERS

    def asks(self, calls: Calls[int, list[Message]]) -> bool:
        """Begins as many calls as are worth their while; whether it has begun any."""
        before = self._asking
        while count := self._reserve():
            reach(CrashPoint.BEFORE_RECEIVE)
            calls.begin(count)
        return self._asking > before

    def _reserve(self) -> int:
        """How many messages to ask for now; 0 where nothing is to be asked before an answer.

        After an empty answer that of another call is waited for: messages send the calls on, a
        second empty answer ends them all.
        """
        if self._asking >= self._at_once or (self._empty_answers and self._asking):
            return 0
        if self._stopped or self._over.is_set() or self._clock.monotonic() >= self._deadline:
            return 0
        room = self._bytes // self._assumed - self._asked
        count = max(0, min(_TEN, self._places, room))
        self._places -= count
        self._asked += count
        self._asking += 1 if count else 0
        return count

    def settle(self, count: int, messages: list[Message]) -> None:
        """Takes an answer in and gives back what was reserved and did not come."""
        sizes = [_size(message) for message in messages]
        if sizes:
            self._largest = max(self._largest, *sizes)
            self._assumed = min(2 * self._largest, _LARGEST)
        self.messages += messages
        self._places += count - len(messages)
        self._bytes -= sum(sizes)
        self._asked -= count
        self._asking -= 1
        if len(messages) == _TEN:  # as full as it can be: there may be much
            self._at_once = min(self._at_once + 1, self._most_at_once)
        elif messages and self._clock.monotonic() - self._began > _COMPANY_SECONDS:
            self._stopped = True
        self._empty_answers = 0 if messages else self._empty_answers + 1
        self._stopped |= self.is_empty

    def stop(self) -> None:
        """Asks for nothing more."""
        self._stopped = True


def _size(message: Message) -> int:
    """Bytes, as SQS counts them: what it says of itself is as much the sender's as its body."""
    texts = (message.body, message.event_id, message.origin)
    return sum(len(text.encode(errors="surrogatepass")) for text in texts if text)
