"""What the tests of further batches share: the outside of a run, told call by call and held up."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from pipeline.consume import further, stages
from pipeline.consume.ports import MachineClock, Transaction, Warehouse
from pipeline.consume.settled import Settled
from pipeline.consume.stages import InHand, Ports
from pipeline.contract import Feed
from pipeline.masking.keyring import Keyring
from pipeline.messages import Calls, Message, Queue, Refusals
from pipeline.threaded_calls import ThreadedCalls
from pipeline_tests.held_case import hearts


class StillClock(MachineClock):
    """A time that passes only when a test says so."""

    def __init__(self) -> None:
        self._now = 1_000.0

    def monotonic(self) -> float:
        return self._now

    def put_forward(self, seconds: float) -> None:
        """Lets so many seconds pass."""
        self._now += seconds


class Watched:
    """The outside of a run: what is asked of it, in its order, and where that is held up.

    An event is a word and the number of a batch, of which the first one has 1: `check 1`, then
    `receive`, `received`, `begin`, `commit`, `delete`, `deleted`, `hide` and `hidden`.

    Args:
        ports: The real outside.

    Attributes:
        ports: What the run is to work with.
        events: What happened.
        before: What is done when an event comes, right before it goes on; it may raise.
        delivered: What becomes of the messages that a batch receives.
        kept: The batches of which SQS refuses to delete anything.
        in_hand: How many batches were held at most at once.
        lanes: The threads that have worked on batches.
    """

    def __init__(self, ports: Ports) -> None:
        self.events: list[str] = []
        self.before: dict[str, Callable[[], object]] = {}
        self.delivered: dict[int, Callable[[Message], Message]] = {}
        self.kept: set[int] = set()
        self.in_hand = 0
        self.lanes: set[str] = set()
        self._lock = threading.Lock()
        self._opened = 0
        self._of_thread: dict[int, int] = {}
        self.ports = replace(
            ports,
            warehouse=_Warehouse(self, ports.warehouse),
            open_queue=lambda: _Queue(self, self._open(), ports.open_queue()),
        )

    @property
    def batch(self) -> int:
        """The number of the batch that this thread works on."""
        return self._of_thread[threading.get_ident()]

    @property
    def next_batch(self) -> int:
        """The number of the batch that is to open the queue next."""
        return self._opened + 1

    def _open(self) -> int:
        with self._lock:
            self._opened += 1
            self._of_thread[threading.get_ident()] = self._opened
            self.lanes.add(threading.current_thread().name)
            return self._opened

    def tell(self, what: str, batch: int) -> None:
        """Takes note of an event, and holds it up."""
        event = f"{what} {batch}"
        with self._lock:
            self.events.append(event)
            self.in_hand = max(self.in_hand, len(hearts()))
        if act := self.before.get(event):
            act()

    def has(self, *events: str) -> bool:
        """Whether all of them have come."""
        return set(events) <= set(self.events)


class _Warehouse:
    """The real warehouse, watched."""

    def __init__(self, watched: Watched, real: Warehouse) -> None:
        self._watched = watched
        self._real = real
        self.find_settled = real.find_settled

    def check(self) -> Keyring:
        self._watched.tell("check", self._watched.next_batch)
        return self._real.check()

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        batch = self._watched.batch
        self._watched.tell("begin", batch)
        with self._real.begin() as transaction:
            yield transaction
        self._watched.tell("commit", batch)


class _Queue:
    """The real queue as one batch has it, watched."""

    def __init__(self, watched: Watched, batch: int, real: Queue) -> None:
        self._watched = watched
        self._batch = batch
        self._real = real

    def receive(self, count: int) -> list[Message]:
        self._watched.tell("receive", self._batch)
        messages = self._real.receive(count)
        self._watched.tell("received", self._batch)
        return [*map(self._watched.delivered.get(self._batch, lambda message: message), messages)]

    def delete(self, messages: Sequence[Message]) -> Refusals[Message]:
        self._watched.tell("delete", self._batch)
        if self._batch in self._watched.kept:
            return Refusals(final=tuple(messages))
        refusals = self._real.delete(messages)
        self._watched.tell("deleted", self._batch)
        return refusals

    def receives(self, at_once: int) -> Calls[int, list[Message]]:
        return ThreadedCalls(self.receive, at_once)

    def deletes(self, at_once: int) -> Calls[Sequence[Message], Refusals[Message]]:
        return ThreadedCalls(self.delete, at_once)

    def hide(self, messages: Sequence[Message], seconds: int) -> Refusals[Message]:
        self._watched.tell("hide", self._batch)
        refusals = self._real.hide(messages, seconds)
        self._watched.tell("hidden", self._batch)
        return refusals


def first_batch(feed: Feed, ports: Ports) -> tuple[InHand, Settled]:
    """The first batch of a run, and what became of it."""
    hand = stages.extract(feed, ports)
    if feed.enrichment is not None:
        hand = stages.enrich(hand)
    hand = stages.load(stages.mask(hand), "run-1")
    return hand, further.finish(hand, "run-1")


def run(feed: Feed, ports: Ports) -> Iterator[Settled]:
    """What becomes of each batch of a run, one after the other."""
    hand, settled = first_batch(feed, ports)
    yield settled
    yield from further.go_on(hand, settled, "run-1")


def threads() -> list[str]:
    """The threads of batches that go on."""
    return [
        each.name
        for each in threading.enumerate()
        if each.name.startswith(("batch", "receive", "call", "heartbeat"))
    ]
