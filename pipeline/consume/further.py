"""Goes on with batch after batch within one run: while one is settled, the next is received.

Each batch is a whole of its own, with a transaction, an acknowledgement and a heartbeat:
docs/decisions/0016-batch-after-batch.md.
"""

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pipeline import log_ids
from pipeline.consume import stages
from pipeline.consume.batch import NOTHING
from pipeline.consume.ports import Clock
from pipeline.consume.settled import Settled
from pipeline.consume.stages import InHand
from pipeline.contract import SIDE_BY_SIDE, Limits

_LOOK = 0.2  # seconds: a thread that waits does not notice a signal that another one took


class Budget:
    """What a run may still receive.

    Args:
        limits: Those of the feed.
        clock: The time.
        began: When the first batch began, by the clock.
        received: How many messages it had.
    """

    def __init__(self, limits: Limits, clock: Clock, *, began: float, received: int) -> None:
        self._clock = clock
        self._deadline = began + limits.run_seconds
        self._most = limits.batch_messages
        self._left = limits.run_messages - received
        self._is_over = False

    def next_batch(self) -> int:
        """How many messages the next batch may have at most; 0 where there is to be none."""
        if self._is_over or self._clock.monotonic() >= self._deadline:
            return 0
        return max(0, min(self._most, self._left))

    def spend(self, received: int) -> None:
        """Takes note of a batch."""
        self._left -= received

    def end(self) -> None:
        """Makes the batches that are under way the last ones."""
        self._is_over = True


class _Ended(BaseException):
    """A batch is given up because its run is interrupted."""


def finish(hand: InHand, run_id: str) -> Settled:
    """Acknowledges a batch that is committed, and settles apart what is suspect of it.

    Raises:
        PipelineError: What was suspect could not be settled, and has been released.
    """
    kept = stages.acknowledge(hand)
    apart, kept_apart = stages.isolate(hand, run_id) if hand.suspects else (NOTHING, 0)
    settled = Settled.of(hand, apart=apart, kept=kept + kept_apart)
    if hand.trace is not None:
        hand.trace.end(settled.account.numbers)
    return settled


def go_on(first: InHand, settled: Settled, run_id: str) -> Iterator[Settled]:
    """Settles what is on the queue besides, until it is found empty or the budget is spent.

    Args:
        first: The first batch of the run.
        settled: What became of it.
        run_id: The run.

    Yields:
        What became of each further batch, once it is acknowledged.

    Raises:
        PipelineError: A batch failed, and was released. The one beside it was finished first.
    """
    if not first.more:
        return
    received = settled.account.received
    budget = Budget(first.feed.limits, first.ports.clock, began=first.began, received=received)
    further = _Further(first, budget, run_id)
    # An enrichment says how many calls it bears at once, and two batches would make twice as many.
    lanes = 1 if first.feed.enrichment else SIDE_BY_SIDE
    ids = log_ids.current()
    with ThreadPoolExecutor(lanes, "batch", initializer=log_ids.adopt, initargs=(ids,)) as pool:
        working = [pool.submit(further.work) for _ in range(lanes)]
        try:
            while not all(lane.done() for lane in working):
                yield from further.settled(_LOOK)
        except BaseException:
            further.interrupt()
            raise
    yield from further.settled(0)
    for lane in working:
        lane.result()


class _Further:
    """The further batches of a run, each worked on by one thread from its beginning to its end."""

    def __init__(self, first: InHand, budget: Budget, run_id: str) -> None:
        self._feed = first.feed
        self._ports = first.ports
        self._run_id = run_id
        self._budget = budget
        self._turn = threading.Lock()  # to receive: one batch at a time
        self._over = threading.Event()
        self._done: queue.SimpleQueue[Settled] = queue.SimpleQueue()

    def settled(self, seconds: float) -> Iterator[Settled]:
        """What has been settled since, or is within so many seconds."""
        try:
            yield self._done.get(timeout=seconds)
            while True:
                yield self._done.get_nowait()
        except queue.Empty:
            return

    def interrupt(self) -> None:
        """Has each batch released, unless it is being loaded: that one is finished."""
        self._over.set()

    def work(self) -> None:
        """Settles one batch after the other."""
        try:
            while (hand := self._extract()) is not None:
                with log_ids.bound(**hand.ids):
                    self._done.put(self._settle(hand))
                del hand  # else it would stay in memory while the next one is received
        except _Ended:
            return
        except BaseException:
            self._budget.end()
            raise

    def _extract(self) -> InHand | None:
        with self._turn:
            most = self._budget.next_batch()
            if not most or self._over.is_set():
                return None
            feed = replace(self._feed, limits=replace(self._feed.limits, batch_messages=most))
            taken = stages.take(feed, self._ports, self._over)
            received = len(taken.received.messages)
            self._budget.spend(received)
            if not taken.received.more:
                self._budget.end()
        if not received:
            taken.held.close()
            return None
        return stages.decode(taken)

    def _settle(self, hand: InHand) -> Settled:
        if hand.feed.enrichment is not None:
            self._must_go_on(hand)
            hand = stages.enrich(hand)
        self._must_go_on(hand)
        hand = stages.mask(hand)
        self._must_go_on(hand)
        return finish(stages.load(hand, self._run_id), self._run_id)

    def _must_go_on(self, hand: InHand) -> None:
        with hand.held.released_on_failure():
            if self._over.is_set():
                ended = _Ended()
                if hand.trace is not None:
                    hand.trace.fail("interrupt", ended)
                raise ended
