"""Looks at a dead-letter queue: how many messages, and how old the oldest is.

SQS has no attribute for the age. CloudWatch has a metric, but for a dead-letter queue it counts
from the moment when a message came there, while SQS drops it by the time of its first sending.
So a few messages are received and shown again at once; bodies are dropped unread.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pipeline.errors import QueueError
from pipeline.messages import Message
from pipeline.resources.dead_letter_queue import DeadLetterQueue
from pipeline.resources.sqs import SqsQueue

_TEN: Final = 10  # messages of one call, the limit of SQS
_CALLS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """What was seen of a dead-letter queue.

    Attributes:
        queue: Its name.
        waiting: Messages that wait there, as SQS estimates it.
        in_flight: Messages that somebody has received, as a redrive does.
        retention: Seconds after which SQS drops a message, from its first sending on.
        looked_at: How many messages were looked at for their age.
        oldest: When the oldest of those was first sent; None where none was looked at.
        foreign: How many of those another queue had given up: a redrive leaves them alone.
        trouble: Why none could be, where that is so.
    """

    queue: str
    waiting: int
    in_flight: int
    retention: int
    looked_at: int = 0
    oldest: datetime | None = None
    foreign: int = 0
    trouble: str = ""

    @property
    def total(self) -> int:
        """All messages of the queue."""
        return self.waiting + self.in_flight

    def age(self, now: datetime) -> timedelta | None:
        """How long ago the oldest was first sent."""
        return None if self.oldest is None else now - self.oldest

    def left(self, now: datetime) -> timedelta | None:
        """How long it is until SQS drops the oldest for good."""
        age = self.age(now)
        return None if age is None else timedelta(seconds=self.retention) - age


def look(queue: DeadLetterQueue) -> Letters:
    """What is on the queue now; receives at most 50 messages, and gives them back.

    Each counts as received once more there. A redrive begins that count anew, and a dead-letter
    queue has no further one behind it, so nothing follows from it.

    Raises:
        QueueError: SQS refused to tell the depth, or did not answer.
    """
    depth = queue.letters.depth()
    seen = Letters(
        queue=queue.name,
        waiting=depth.visible,
        in_flight=depth.in_flight,
        retention=queue.retention,
    )
    if depth.visible == 0:
        return seen
    found: list[Message] = []
    try:
        _peek(queue.letters, found, most=depth.visible)
    except QueueError as error:  # the right to receive may be missing; the depth is told anyway
        return replace(seen, trouble=str(error))
    oldest = min((each.sent_at for each in found), default=None)
    foreign = sum(queue.is_foreign(each) for each in found)
    return replace(seen, looked_at=len(found), oldest=oldest, foreign=foreign)


def _peek(queue: SqsQueue, found: list[Message], *, most: int) -> None:
    """Receives a few messages, hidden from each other's calls, and shows them again."""
    try:
        for _ in range(_CALLS):
            some = queue.receive(_TEN)
            found += [replace(each, body="") for each in some]
            if not some or len(found) >= most:
                return
    finally:
        with suppress(QueueError):  # they show by themselves when their visibility ends
            for start in range(0, len(found), _TEN):
                queue.hide(found[start : start + _TEN], 0)
