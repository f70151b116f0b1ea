"""Has SQS move dead letters by itself, and follows it: the move goes on without this process."""

import threading
from collections.abc import Callable
from typing import Final

from pipeline.errors import PipelineError, QueueError
from pipeline.operate.dead_letters.order import Order, Tally
from pipeline.resources.dead_letter_queue import RUNNING, DeadLetterQueue, Move

_SECONDS: Final = 2.0  # between two looks at a move


def move(
    queue: DeadLetterQueue,
    order: Order,
    tally: Tally,
    *,
    stop: threading.Event,
    tell: Callable[[], None],
) -> None:
    """Moves everything, and returns when it is over; takes up a move that goes on already.

    Args:
        queue: Whose messages.
        order: How fast.
        tally: Counts, as it goes.
        stop: Cancels the move; what is moved stays moved.
        tell: Called after each look.

    Raises:
        QueueError: SQS refused, did not answer, or gave the move up.
    """
    found = queue.latest_move()
    if found is None or found.status not in RUNNING:
        queue.start_move(order.per_second)
    try:
        ended = _follow(queue, tally, stop, tell)
    except PipelineError:  # the move does not depend on our looks: the next redrive takes it up
        raise
    except BaseException:  # somebody ends this process: so do they what it has begun
        queue.cancel_move()
        raise
    if ended.status == "FAILED":
        raise QueueError(
            f"SQS gave the move up ({ended.reason or 'no reason given'})",
            remedy="Check the rights on both queues and their keys; what is left can be redriven",
            feed=order.feed.name,
        )


def _follow(
    queue: DeadLetterQueue, tally: Tally, stop: threading.Event, tell: Callable[[], None]
) -> Move:
    while True:
        seen = _look(queue, tally)
        tell()
        if seen.status not in RUNNING:
            return seen
        if stop.wait(_SECONDS):
            queue.cancel_move()
            return _look(queue, tally)


def _look(queue: DeadLetterQueue, tally: Tally) -> Move:
    seen = queue.latest_move()
    assert seen is not None  # noqa: S101 - one has been started
    tally.moved = seen.moved
    return seen
