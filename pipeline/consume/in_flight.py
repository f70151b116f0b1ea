"""Notices that so much of a queue is in flight that SQS delivers nothing more, without a word."""

from typing import Final

from pipeline.contract import MOST_HELD, Feed
from pipeline.errors import QueueError
from pipeline.resources.sqs import Depth

# Of a standard queue about 120,000 messages may be in flight. Past that a short poll is refused
# (OverLimit), and a long one, as ours are, finds nothing. Source: Amazon SQS developer guide,
# "Amazon SQS message quotas".
_TOO_MANY: Final = MOST_HELD + 10_000


def waiting(feed: Feed, depth: Depth) -> int:
    """How many messages wait, for whoever decides on runs.

    Raises:
        QueueError: They would hardly be delivered: more is in flight than runs of the feed may
            hold together.
    """
    if depth.visible and depth.in_flight >= _TOO_MANY:
        raise QueueError(
            f"{depth.in_flight} messages of queue {feed.queue!r} are in flight, and past about"
            " 120000 SQS delivers none",
            remedy="Look for somebody else who receives from it, or for many runs that were"
            " killed; what they held comes back when its visibility ends",
            feed=feed.name,
        )
    return depth.visible
