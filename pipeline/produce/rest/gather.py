"""Gathers the messages of requests that arrive together into full calls of SQS."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice

from pipeline.contract import Feed
from pipeline.errors import CredentialsExpired, PipelineError, QueueMissing
from pipeline.messages import Event, Sent
from pipeline.produce.dispatch import BYTES, dispatch, portions, weigh
from pipeline.produce.rest.limits import Limits
from pipeline.produce.rest.metrics import Metrics
from pipeline.resources.sqs import SqsQueue


class Failure(Enum):
    """Why a message is not on the queue, or not known to be."""

    FOR_NOW = "for_now"
    FOR_GOOD = "for_good"


Outcome = str | Failure
"""The id that SQS gave a message, or why there is none."""


class _Order:
    """The messages of one request, and what came of each."""

    def __init__(self, count: int) -> None:
        self.outcomes: list[Outcome] = [Failure.FOR_NOW] * count
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = count

    def settle(self, place: int, outcome: Outcome) -> None:
        self.outcomes[place] = outcome
        self._left -= 1
        if not self._left and not self.answered.done():
            self.answered.set_result(None)

    def fail(self, error: BaseException) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)


@dataclass(slots=True)
class _Waiting:
    event: Event
    order: _Order
    place: int
    weight: int
    since: float  # the loop's time


@dataclass(slots=True)
class _Lane:
    """What waits for one feed's queue; the queue itself is found at the first call."""

    feed: Feed
    open: Callable[[Feed], SqsQueue]
    waiting: deque[_Waiting] = field(default_factory=deque)
    weight: int = 0
    timer: asyncio.TimerHandle | None = None
    queue: "_Told | None" = None

    def cut(self, count: int) -> list[_Waiting]:
        """The next portion."""
        events = islice((each.event for each in self.waiting), count)
        return self.take(len(next(portions(events))))

    def take(self, count: int) -> list[_Waiting]:
        taken = [self.waiting.popleft() for _ in range(count)]
        self.weight -= sum(each.weight for each in taken)
        return taken


class Gatherer:
    """Sends messages, those of all requests together; used by one event loop.

    A portion leaves when it is full, or when its first message has waited for the linger: once
    while no call is under way, and once more for each call that is. So a quiet service answers
    at once, a busy one fills its calls, and while all threads are busy the next portions fill up.

    Args:
        feeds: Whose queues it sends to.
        opening: How a feed's queue is found; asked again after it was missing, or after the
            credentials had expired.
        limits: How many calls at once, and how long to wait.
        metrics: Which are told of every portion.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        opening: Callable[[Feed], SqsQueue],
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self._lanes = {feed.name: _Lane(feed, opening) for feed in feeds}
        self._limits = limits
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(limits.calls, thread_name_prefix="send")
        self._under_way: set[asyncio.Future[Sent]] = set()
        self._closing = False

    async def send(self, feed: str, events: Sequence[Event]) -> list[Outcome]:
        """Sends the messages; returns when it is known of each whether SQS has it.

        Args:
            feed: The feed's name.
            events: Each of at most `BYTES`.

        Returns:
            What came of each, in their order.
        """
        if not events:
            return []
        lane, order = self._lanes[feed], _Order(len(events))
        now = asyncio.get_running_loop().time()
        for place, event in enumerate(events):
            weight = weigh(event)
            lane.waiting.append(_Waiting(event, order, place, weight, now))
            lane.weight += weight
        self._look(lane)
        await order.answered
        return order.outcomes

    async def close(self) -> None:
        """Sends what still waits, within the time that stopping may take."""
        self._closing = True
        for lane in self._lanes.values():
            self._look(lane)
        while self._under_way:
            await asyncio.wait(self._under_way)
        self._threads.shutdown(wait=False)

    def _look(self, lane: _Lane) -> None:
        """Starts what is due, and sees to it that somebody looks again."""
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        loop = asyncio.get_running_loop()
        self._expire(lane, loop.time())
        while lane.waiting and len(self._under_way) < self._limits.calls:
            due = lane.waiting[0].since + self._linger()
            if not self._is_full(lane) and due > loop.time():
                break
            self._start(lane, lane.cut(self._limits.per_call))
        if lane.waiting:
            first = lane.waiting[0].since
            busy = len(self._under_way) >= self._limits.calls
            patience = self._limits.patience_seconds if busy else self._linger()
            lane.timer = loop.call_at(first + patience, self._look, lane)

    def _linger(self) -> float:
        return 0 if self._closing else self._limits.linger_seconds * (1 + len(self._under_way))

    def _is_full(self, lane: _Lane) -> bool:
        return len(lane.waiting) >= self._limits.per_call or lane.weight >= BYTES

    def _expire(self, lane: _Lane, now: float) -> None:
        """Gives up what has waited too long: its callers should rather try again."""
        while lane.waiting and lane.waiting[0].since + self._limits.patience_seconds <= now:
            for each in lane.take(1):
                each.order.settle(each.place, Failure.FOR_NOW)
            self._metrics.sent(lane.feed.name, "expired", 1)

    def _start(self, lane: _Lane, portion: list[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        events = [each.event for each in portion]
        call = loop.run_in_executor(self._threads, _call, lane, events, self._metrics)
        self._under_way.add(call)
        call.add_done_callback(lambda done: self._finish(lane, portion, done))

    def _finish(self, lane: _Lane, portion: list[_Waiting], call: asyncio.Future[Sent]) -> None:
        self._under_way.discard(call)
        error = call.exception()
        if error is None:
            self._tell(lane, portion, call.result())
        elif isinstance(error, PipelineError):
            for each in portion:
                each.order.settle(each.place, Failure.FOR_NOW)
            self._metrics.sent(lane.feed.name, "failed", len(portion))
        else:
            for each in portion:
                each.order.fail(error)
        for other in sorted(self._lanes.values(), key=lambda each: len(each.waiting), reverse=True):
            self._look(other)

    def _tell(self, lane: _Lane, portion: list[_Waiting], sent: Sent) -> None:
        final = {id(event) for event in sent.refusals.final}
        for each, message_id in zip(portion, sent.message_ids, strict=True):
            failure = Failure.FOR_GOOD if id(each.event) in final else Failure.FOR_NOW
            each.order.settle(each.place, message_id or failure)
        self._metrics.sent(lane.feed.name, "sent", sum(map(bool, sent.message_ids)))
        self._metrics.sent(lane.feed.name, "refused", len(final))
        self._metrics.sent(lane.feed.name, "failed", len(sent.refusals.retry))


class _Told:
    """A queue of which the metrics are told each call, those of `dispatch`'s retries as well."""

    def __init__(self, queue: SqsQueue, feed: Feed, metrics: Metrics) -> None:
        self._queue = queue
        self._feed = feed
        self._metrics = metrics

    def send(self, events: Sequence[Event]) -> Sent:
        try:
            sent = self._queue.send(events)
        except PipelineError as error:
            self._metrics.called(self._feed.name, error.code)
            raise
        self._metrics.called(self._feed.name, "ok")
        return sent


def _call(lane: _Lane, events: list[Event], metrics: Metrics) -> Sent:
    """In a thread: one portion, and the queue first where it is not known yet."""
    if lane.queue is None:
        lane.queue = _Told(lane.open(lane.feed), lane.feed, metrics)
    try:
        return dispatch(lane.queue, events)
    except (QueueMissing, CredentialsExpired):
        lane.queue = None  # it may be made anew, and they may be renewed
        raise
