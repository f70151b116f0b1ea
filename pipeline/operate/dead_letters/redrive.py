"""Redrives a feed's dead letters: to its own queue only, recorded first, counted, stoppable."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Literal

from pipeline.contract import Feed
from pipeline.errors import PipelineError, QueueError, QueueMissing
from pipeline.operate.custody import connected, load_keyring
from pipeline.operate.dead_letters.copying import Copying
from pipeline.operate.dead_letters.look import look
from pipeline.operate.dead_letters.moving import move
from pipeline.operate.dead_letters.order import Order, Tally, Way, choose_way
from pipeline.resources.dead_letter_queue import DeadLetterQueue
from pipeline.resources.outside import Outside
from pipeline.warehouse import audit

_Action = Literal["redrive dead letters", "redrive dead letters done"]
_SELDOM: Final = 10.0  # seconds between two lines of progress: Dagster keeps each

_log = logging.getLogger(__name__)


def redrive(
    outside: Outside, order: Order, *, stop: threading.Event, tell: Callable[[str], None]
) -> Tally:
    """Redrives dead letters, and returns what it came to.

    It may be killed at any moment: at most a message is then on both queues, and is settled once.

    Args:
        outside: Where the queues, the warehouse and the keys are.
        order: What to redrive, and why.
        stop: Ends it in good order when it is set.
        tell: Gets a line of progress now and then.

    Raises:
        QueueError: There is no dead-letter queue, or it is not this feed's alone; or SQS refused
            or did not answer. What was moved until then is moved.
        SettingsError: The way would change something, or there is no custodian's log-in.
        AuditRefused: The reason or the log-in is not good enough; nothing was moved.
        PipelineError: The keyring or the warehouse is not to be had; nothing was moved.
    """
    queue, way = find(outside, order.feed), choose_way(order, outside)
    queue.check_unshared()
    if way == "move":
        way = _way_past_others(queue, order)
    # Also for a move: without its log-in and its keyring nobody has any business here.
    keyring = load_keyring(outside, outside.custodian_url(), order.feed)
    told = f"{way}, {queue.letters.depth().total} there, {order.per_second} a second at most"
    _record(outside, order, "redrive dead letters", told)
    tally = Tally()
    progress = _Progress(tally, tell)
    try:
        if way == "move":
            move(queue, order, tally, stop=stop, tell=progress.tell)
        else:
            copying = Copying(queue, keyring.settlement_key(order.feed.name), order, tally)
            copying.run(stop, progress.tell)
    except BaseException:
        _record_end(outside, order, way, "broke off", tally)
        raise
    _record_end(outside, order, way, "stopped" if stop.is_set() else "ended", tally)
    tally.left = queue.letters.depth().total
    return tally


def find(outside: Outside, feed: Feed) -> DeadLetterQueue:
    """The feed's dead-letter queue.

    Raises:
        QueueMissing: It has none.
        QueueError: SQS refused or did not answer.
    """
    queue = outside.dead_letters(feed)
    if queue is None:
        raise QueueMissing(
            f"queue {feed.queue!r} has no dead-letter queue",
            remedy="Give it a redrive policy: `pipeline check` says which",
            feed=feed.name,
        )
    return queue


def _way_past_others(queue: DeadLetterQueue, order: Order) -> Way:
    """The way where a move is chosen: not that one, where another queue's letters are seen.

    A move would take those too, and change ids and dates on which their own feed may depend.
    """
    if not look(queue).foreign:
        return "move"
    if order.way is None:
        return "copy"
    raise QueueError(
        f"dead-letter queue {queue.name!r} holds messages that another queue has given up",
        remedy="Choose copy, which leaves those alone; nothing was moved",
        feed=order.feed.name,
    )


class _Progress:
    def __init__(self, tally: Tally, tell: Callable[[str], None]) -> None:
        self._tally = tally
        self._tell = tell
        self._told = time.monotonic()

    def tell(self) -> None:
        if time.monotonic() - self._told >= _SELDOM:
            self._told = time.monotonic()
            self._tell(self._tally.done())


def _record(outside: Outside, order: Order, action: _Action, detail: str) -> None:
    # No field, and no pseudonym: the messages are whole, and nobody has looked into them.
    request = audit.Request(order.feed.name, "", (), order.reason, order.stated_by)
    with connected(outside.custodian_url(), feed=order.feed.name) as connection:
        audit.record(connection, action, request, detail=detail)


def _record_end(outside: Outside, order: Order, way: Way, how: str, tally: Tally) -> None:
    """Records what was done; that it was begun stands there already, whatever happens here."""
    try:
        detail = f"{how}: {way}, {tally.done()}"
        _record(outside, order, "redrive dead letters done", detail)
    except PipelineError as error:
        _log.error("the end of the redrive was not recorded: %s", error)
