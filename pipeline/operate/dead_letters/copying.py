"""Redrives by hand: received, sent to the feed's queue as who each was, and only then deleted.

A crash between the two leaves a message on both queues. It carries the same event id and origin
on both, so the ledger settles it once: docs/dead-letters.md.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from pipeline.consume.origin import again
from pipeline.errors import QueueError
from pipeline.messages import Event, Message
from pipeline.operate.dead_letters.order import Order, Tally
from pipeline.produce.dispatch import BYTES, dispatch, portions, weigh
from pipeline.resources.dead_letter_queue import DeadLetterQueue
from pipeline.resources.sqs import SqsQueue

_TEN: Final = 10  # messages of one call, the limit of SQS
_EMPTY_ANSWERS: Final = 2  # one alone proves nothing
_DELETES: Final = 3
_PAUSE: Final = 0.1  # seconds; doubles


class Copying:
    """A redrive under way.

    Args:
        queue: Whose messages.
        secret: The feed's settlement key, with which origins are signed.
        order: How many, and how fast.
        tally: Counts, as it goes.
    """

    def __init__(self, queue: DeadLetterQueue, secret: bytes, order: Order, tally: Tally) -> None:
        self._queue = queue
        self._secret = secret
        self._order = order
        self._tally = tally
        self._refused: list[Message] = []

    def run(self, stop: threading.Event, tell: Callable[[], None]) -> None:
        """Redrives what is there now, at most; what fails meanwhile is not redriven again.

        Args:
            stop: Ends it after the portion in hand.
            tell: Called after each portion.

        Raises:
            QueueError: SQS refused or did not answer; what was in hand comes back.
        """
        most = min(self._order.most, self._queue.letters.depth().total)
        started, empty = time.monotonic(), 0
        try:
            while (left := most - self._done) > 0 and empty < _EMPTY_ANSWERS:
                letters = self._queue.letters.receive(min(_TEN, left, self._order.per_second))
                empty = 0 if letters else empty + 1
                self._redrive(letters)
                tell()
                due = started + self._done / self._order.per_second
                if stop.wait(max(0.0, due - time.monotonic())):
                    return
        finally:
            _show(self._queue.letters, self._refused)

    @property
    def _done(self) -> int:
        return self._tally.moved + self._tally.failed

    def _redrive(self, letters: Sequence[Message]) -> None:
        """Redrives up to ten messages; shows those again at once that it does not come to."""
        waiting = {id(event := again(each, self._secret)): (event, each) for each in letters}
        try:
            for portion in portions(self._fitting(waiting)):
                self._send(portion, waiting)
        finally:
            _show(self._queue.letters, [letter for _, letter in waiting.values()])

    def _fitting(self, waiting: dict[int, tuple[Event, Message]]) -> list[Event]:
        """Those that SQS can take: with its origin a message may have grown too large."""
        for event, letter in list(waiting.values()):
            if weigh(event) > BYTES:
                self._set_aside(letter)
                del waiting[id(event)]
        return [event for event, _ in waiting.values()]

    def _send(self, portion: list[Event], waiting: dict[int, tuple[Event, Message]]) -> None:
        sent = dispatch(self._queue.source, portion)
        pairs = zip(portion, sent.message_ids, strict=True)
        taken = [waiting.pop(id(event))[1] for event, taken in pairs if taken is not None]
        self._tally.moved += len(taken)
        self._tally.kept += self._delete(taken)
        for event in sent.refusals.final:
            self._set_aside(waiting.pop(id(event))[1])
        if sent.refusals.retry:
            raise QueueError(
                f"queue {self._order.feed.queue!r} refused {len(sent.refusals.retry)} messages"
                " again and again",
                remedy="Redrive later; they are still dead letters",
                feed=self._order.feed.name,
            )

    def _delete(self, letters: Sequence[Message]) -> int:
        """Deletes what is on the feed's queue by now; returns how many SQS has kept."""
        kept, rest = 0, tuple(letters)
        for attempt in range(_DELETES):
            if not rest:
                break
            if attempt:
                time.sleep(_PAUSE * 2**attempt)
            refusals = self._queue.letters.delete(rest)
            kept += len(refusals.final)
            rest = refusals.retry
        return kept + len(rest)

    def _set_aside(self, letter: Message) -> None:
        """Leaves a message hidden until the end, so that it is not met again."""
        self._tally.failed += 1
        self._refused.append(replace(letter, body=""))  # only its receipt is needed any more


def _show(queue: SqsQueue, letters: Sequence[Message]) -> None:
    """Shows messages again at once; those of which SQS does not hear show when their time is up."""
    try:
        for start in range(0, len(letters), _TEN):
            queue.hide(letters[start : start + _TEN], 0)
    except QueueError:
        return
