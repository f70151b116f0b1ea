"""Has SQS move dead letters by itself, and follows it: the move goes on without this process."""

import threading
from collections.abc import Callable
from typing import Final

from pipeline.errors import PipelineError, QueueError
from pipeline.operate.dead_letters.order import Order, Tally
from pipeline.resources.dead_letter_queue import RUNNING, DeadLetterQueue, Move

_SECONDS: Final = 2.0  # between two looks at a move
_LOOKS: Final = 5  # at what SQS may not show yet


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
        QueueError: SQS refused, did not answer, or gave the move up; somebody else cancelled it,
            or one goes on at another rate.
    """
    found = _past_cancelling(queue, stop)
    if found is not None and found.status == "CANCELLING":
        return
    if found is None or found.status != "RUNNING":
        queue.start_move(order.per_second)
        follower = _Follower(queue, order, tally, after=found.started if found else -1)
    else:
        _check_rate(found, order)
        follower = _Follower(queue, order, tally, after=-1)
    try:
        ended = follower.follow(stop, tell)
    except PipelineError:  # the move does not depend on our looks: the next redrive takes it up
        raise
    except BaseException:  # somebody ends this process: so do they what it has begun
        queue.cancel_move()
        raise
    _check_end(ended, order, stop)


def _past_cancelling(queue: DeadLetterQueue, stop: threading.Event) -> Move | None:
    """The latest move, as soon as it is not being cancelled any more: SQS has one at a time."""
    while True:
        found = queue.latest_move()
        if found is None or found.status != "CANCELLING" or stop.wait(_SECONDS):
            return found


def _check_rate(found: Move, order: Order) -> None:
    if found.per_second != order.per_second:
        rate = "a rate that SQS chooses" if found.per_second is None else f"{found.per_second}/s"
        raise QueueError(
            f"a move at {rate} goes on already, not at {order.per_second}/s",
            remedy="Give its rate to follow it; or wait until it is over, or cancel it"
            " (aws sqs cancel-message-move-task), and redrive again",
            feed=order.feed.name,
        )


def _check_end(ended: Move, order: Order, stop: threading.Event) -> None:
    if ended.status == "FAILED":
        raise QueueError(
            f"SQS gave the move up ({ended.reason or 'no reason given'})",
            remedy="Check the rights on both queues and their keys; what is left can be redriven,"
            " by copy where SQS does not know which queue gave a message up",
            feed=order.feed.name,
        )
    if ended.status != "COMPLETED" and not stop.is_set():
        raise QueueError(
            "the move was cancelled by somebody else",
            remedy="Find out why; what is left can be redriven",
            feed=order.feed.name,
        )


class _Follower:
    """Looks at a move until it is over.

    Args:
        queue: Whose messages.
        order: How fast.
        tally: Counts, as it goes.
        after: The latest moment at which another move began, in milliseconds since the epoch.
    """

    def __init__(self, queue: DeadLetterQueue, order: Order, tally: Tally, *, after: int) -> None:
        self._queue = queue
        self._order = order
        self._tally = tally
        self._after = after

    def follow(self, stop: threading.Event, tell: Callable[[], None]) -> Move:
        """How it ended, or how it stood when it was told to stop."""
        while True:
            seen = self._look(stop)
            tell()
            if seen.status not in RUNNING:
                return self._settled(seen, stop)
            if stop.wait(_SECONDS):
                self._queue.cancel_move()
                return self._look(stop)

    def _look(self, stop: threading.Event) -> Move:
        """The move as it stands; SQS may need a moment to show one that has just begun."""
        for _ in range(_LOOKS):
            seen = self._queue.latest_move()
            if seen is not None and seen.started > self._after:
                self._tally.moved = seen.moved
                return seen
            stop.wait(_SECONDS)
        raise QueueError(
            "SQS does not show the move that it has begun",
            remedy="Redrive again at the same rate, which follows it",
            feed=self._order.feed.name,
        )

    def _settled(self, ended: Move, stop: threading.Event) -> Move:
        """A move that is over, with a count that may reach its end a moment later."""
        for _ in range(_LOOKS):
            if ended.status != "COMPLETED" or ended.moved >= (ended.expected or 0):
                break
            stop.wait(_SECONDS)
            ended = self._look(stop)
        return ended
