"""Receives one bounded batch with several threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

from pipeline.consume.held import Held
from pipeline.consume.ports import CLOCK, Clock
from pipeline.contract import Limits
from pipeline.crash_points import CrashPoint, reach
from pipeline.messages import Message, Queue

_TEN = 10  # messages of one call, the limit of SQS
_LARGEST = 2**20  # bytes of one message, the limit of SQS
# A short poll samples hosts and may come back empty; even a long one proves nothing alone.
_EMPTY_ANSWERS = 2


def receive(queue: Queue, held: Held, limits: Limits, clock: Clock = CLOCK) -> list[Message]:
    """Receives until a limit is met or the queue has answered empty more than once.

    Every message is in `held`'s care from its receipt on.

    Raises:
        QueueError: SQS refused or did not answer; what was received is still in `held`.
    """
    drain = _Drain(limits, clock)

    def work() -> None:
        while count := drain.reserve():
            try:
                reach(CrashPoint.BEFORE_RECEIVE)
                messages = queue.receive(count)
                held.add(messages)
                reach(CrashPoint.AFTER_RECEIVE)
                drain.settle(count, messages)
            except BaseException:
                drain.stop()  # the others would wait for this answer for ever
                raise

    with ThreadPoolExecutor(limits.receivers, thread_name_prefix="receive") as pool:
        workers = [pool.submit(work) for _ in range(limits.receivers)]
        try:
            for worker in workers:
                worker.result()
        finally:  # also where this thread is interrupted: the others end after their call
            drain.stop()
    return drain.messages


class _Drain:
    """What the threads share: how much may still be asked for, and when to stop.

    Each message that is asked for is taken to be as large as SQS allows until it is there, so
    that no answer can exceed the limit in bytes.
    """

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self.messages: list[Message] = []
        self._clock = clock
        self._changed = threading.Condition()
        self._deadline = clock.monotonic() + limits.receive_seconds
        self._places = limits.batch_messages
        self._bytes = limits.batch_bytes
        self._asking = 0
        self._empty_answers = 0
        self._stopped = False

    def reserve(self) -> int:
        """How many messages to ask for now; 0 where the thread is to end.

        After an empty answer a thread waits for that of another one instead of asking again:
        messages send it on, a second empty answer ends them all.
        """
        with self._changed:
            while self._empty_answers and self._asking and not self._stopped:
                self._changed.wait()
            if self._stopped or self._clock.monotonic() >= self._deadline:
                return 0
            count = min(_TEN, self._places, self._bytes // _LARGEST)
            self._places -= count
            self._bytes -= count * _LARGEST
            self._asking += 1 if count else 0
            return count

    def settle(self, count: int, messages: list[Message]) -> None:
        """Takes an answer in and gives back what was reserved and did not come."""
        size = sum(len(message.body.encode(errors="surrogatepass")) for message in messages)
        with self._changed:
            self.messages += messages
            self._places += count - len(messages)
            self._bytes += count * _LARGEST - size
            self._asking -= 1
            self._empty_answers = 0 if messages else self._empty_answers + 1
            self._stopped |= self._empty_answers >= _EMPTY_ANSWERS
            self._changed.notify_all()

    def stop(self) -> None:
        """Ends every thread after the call that it is in."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
