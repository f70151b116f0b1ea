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
        self._aside: dict[str, Message] = {}  # by message id
        self._met_again = 0

    def run(self, stop: threading.Event, tell: Callable[[], None]) -> None:
        """Redrives what is there now, at most; what fails meanwhile is not redriven again.

        Args:
            stop: Ends it after the portion in hand.
            tell: Called after each portion.

        Raises:
            QueueError: SQS refused or did not answer; what was in hand comes back.
        """
        there, rate = self._queue.letters.depth().total, self._order.per_second
        empty = 0
        try:
            while (left := self._left(there)) > 0 and empty < _EMPTY_ANSWERS:
                began, before = time.monotonic(), self._done
                letters = self._queue.letters.receive(min(_TEN, left, rate))
                empty = 0 if letters else empty + 1
                self._redrive(self._own(letters))
                tell()
                # From portion to portion: one that took long is not made up for by a burst.
                due = began + (self._done - before) / rate
                if stop.wait(max(0.0, due - time.monotonic())):
                    return
        finally:
            _show(self._queue.letters, list(self._aside.values()))

    @property
    def _done(self) -> int:
        return self._tally.moved + self._tally.failed

    def _left(self, there: int) -> int:
        """How many more to take; none, where only those come that were set aside."""
        if self._met_again > len(self._aside):
            return 0
        return min(self._order.most, there - self._tally.foreign) - self._done

    def _own(self, letters: Sequence[Message]) -> list[Message]:
        """Those to redrive: not what another queue gave up, nor what was set aside before."""
        own = []
        for letter in letters:
            if letter.message_id in self._aside:  # its visibility has ended meanwhile
                self._met_again += 1
                self._set_aside(letter)
            elif self._queue.is_foreign(letter):
                self._tally.foreign += 1
                self._set_aside(letter)
            else:
                self._met_again = 0
                own.append(letter)
        return own

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
                self._tally.failed += 1
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
            self._tally.failed += 1
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
        """Leaves a message hidden until the end, so that it is seldom met again."""
        # Only its latest receipt is needed any more.
        self._aside[letter.message_id] = replace(letter, body="")


def _show(queue: SqsQueue, letters: Sequence[Message]) -> None:
    """Shows messages again at once; those of which SQS does not hear show when their time is up."""
    try:
        for start in range(0, len(letters), _TEN):
            queue.hide(letters[start : start + _TEN], 0)
    except QueueError:
        return
