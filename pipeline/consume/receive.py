"""Receives one bounded batch, with more threads the more there is to receive."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from pipeline.consume.held import Held
from pipeline.consume.ports import CLOCK, Clock
from pipeline.contract import Limits
from pipeline.crash_points import CrashPoint, reach
from pipeline.messages import Message, Queue

_TEN = 10  # messages of one call, the limit of SQS
_LARGEST = 2**20  # bytes of one message, the limit of SQS
# A short poll samples hosts and may come back empty; even a long one proves nothing alone.
_EMPTY_ANSWERS = 2
_FIRST_THREADS = 2  # as many as it takes to find a queue empty
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
    workers: list[Future[None]] = []

    def work() -> None:
        while count := drain.reserve():
            try:
                reach(CrashPoint.BEFORE_RECEIVE)
                messages = queue.receive(count)
                held.add(messages)
                reach(CrashPoint.AFTER_RECEIVE)
                if drain.settle(count, messages):
                    workers.append(pool.submit(work))
            except BaseException:
                drain.stop()  # the others would wait for this answer for ever
                raise

    with ThreadPoolExecutor(limits.receivers, thread_name_prefix="receive") as pool:
        workers += [pool.submit(work) for _ in range(drain.threads)]
        try:
            # A thread adds others before it ends itself: behind the last one there is none.
            for worker in workers:
                worker.result()
        finally:  # also where this thread is interrupted: the others end after their call
            drain.stop()
    return Received(drain.messages, more=not drain.is_empty)


class _Drain:
    """What the threads share: how much may still be asked for, and when to stop.

    Each message that is asked for is taken to be as large as SQS allows until it is there, so
    that no answer can exceed the limit in bytes.
    """

    def __init__(self, limits: Limits, clock: Clock, over: threading.Event) -> None:
        self.messages: list[Message] = []
        self.threads = min(_FIRST_THREADS, limits.receivers)
        self._most_threads = limits.receivers
        self._over = over
        self._clock = clock
        self._changed = threading.Condition()
        self._began = clock.monotonic()
        self._deadline = self._began + limits.receive_seconds
        self._places = limits.batch_messages
        self._bytes = limits.batch_bytes
        self._asking = 0
        self._empty_answers = 0
        self._stopped = False

    @property
    def is_empty(self) -> bool:
        """Whether the queue was found empty."""
        return self._empty_answers >= _EMPTY_ANSWERS

    def reserve(self) -> int:
        """How many messages to ask for now; 0 where the thread is to end.

        After an empty answer a thread waits for that of another one instead of asking again:
        messages send it on, a second empty answer ends them all.
        """
        with self._changed:
            while self._empty_answers and self._asking and not self._stopped:
                self._changed.wait()
            now = self._clock.monotonic()
            if self._stopped or self._over.is_set() or now >= self._deadline:
                return 0
            count = min(_TEN, self._places, self._bytes // _LARGEST)
            self._places -= count
            self._bytes -= count * _LARGEST
            self._asking += 1 if count else 0
            return count

    def settle(self, count: int, messages: list[Message]) -> bool:
        """Takes an answer in and gives back what was reserved and did not come.

        Returns:
            Whether one more thread is worth its while: this answer was as full as it could be.
        """
        size = sum(len(message.body.encode(errors="surrogatepass")) for message in messages)
        is_full = len(messages) == count
        now = self._clock.monotonic()
        with self._changed:
            self.messages += messages
            self._places += count - len(messages)
            self._bytes += count * _LARGEST - size
            self._asking -= 1
            self._empty_answers = 0 if messages else self._empty_answers + 1
            self._stopped |= self.is_empty
            self._stopped |= bool(messages) and not is_full and now - self._began > _COMPANY_SECONDS
            grows = is_full and self.threads < self._most_threads and not self._stopped
            self.threads += grows
            self._changed.notify_all()
        return grows

    def stop(self) -> None:
        """Ends every thread after the call that it is in."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
