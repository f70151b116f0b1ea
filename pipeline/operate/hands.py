"""What the runs of this process hold, where another thread can give it back."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final, Generic

from pipeline.consume.held import tens
from pipeline.contract import Feed
from pipeline.errors import QueueError
from pipeline.messages import Ask, Calls, Message, Outcome, Refusals
from pipeline.resources.outside import Outside
from pipeline.resources.sqs import SqsQueue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from pipeline.transport.client import LeanClient

_THREADS: Final = 8
_LAST_CALL: Final = 5.0  # seconds for a heartbeat's call that is under way


class Hands:
    """The messages that are received and not committed, and whether more may be.

    Attributes:
        stopping: Once it is set nothing more is received: a run ends with what it has.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self.stopping = stopping
        self._held: dict[str, tuple[HeldQueue, Message]] = {}
        self._changed = threading.Condition()
        self._hiding = 0
        self._closed = False

    def take(self, queue: "HeldQueue", messages: Sequence[Message]) -> None:
        """Notes what was received."""
        with self._changed:
            self._held |= {message.receipt: (queue, message) for message in messages}

    def drop(self, messages: Sequence[Message]) -> None:
        """Forgets what is committed."""
        with self._changed:
            for message in messages:
                self._held.pop(message.receipt, None)

    def clear(self) -> None:
        """Forgets what a run has left, which has ended and released it."""
        with self._changed:
            self._held.clear()

    @contextmanager
    def hiding(self) -> Iterator[bool]:
        """Around a change of visibility; the value says whether it may be made."""
        with self._changed:
            permitted = not self._closed
            self._hiding += permitted
        try:
            yield permitted
        finally:
            with self._changed:
                self._hiding -= permitted
                self._changed.notify_all()

    def let_go(self) -> tuple[int, int]:
        """Gives everything back, visible at once, though its run goes on: for the end of a process.

        What the run commits all the same is delivered again, and the ledger makes that harmless.

        Returns:
            How many messages SQS has taken back, and how many there were.
        """
        with self._changed:
            self._closed = True  # a heartbeat would hide again what is shown here
            self._changed.wait_for(lambda: self._hiding == 0, timeout=_LAST_CALL)
            by_queue: dict[HeldQueue, list[Message]] = {}
            for queue, message in self._held.values():
                by_queue.setdefault(queue, []).append(message)
        calls = [(queue, ten) for queue, some in by_queue.items() for ten in tens(some)]
        with ThreadPoolExecutor(_THREADS) as pool:
            shown = sum(pool.map(lambda call: call[0].show(call[1]), calls))
        return shown, sum(map(len, by_queue.values()))


class HeldQueue(SqsQueue):
    """A feed's queue, whose messages are noted in `Hands`."""

    def __init__(
        self,
        client: "SQSClient",
        feed: Feed,
        hands: Hands,
        *,
        hot: "SQSClient | LeanClient | None" = None,
        embedded: bool,
        traced: bool = False,
    ) -> None:
        super().__init__(client, feed, hot=hot, embedded=embedded, traced=traced)
        self._hands = hands

    def receives(self, at_once: int) -> Calls[int, list[Message]]:
        """As `SqsQueue`; nothing once the process is to end."""
        return _HeldReceives(super().receives(at_once), self, self._hands)

    def deletes(self, at_once: int) -> Calls[Sequence[Message], Refusals[Message]]:
        """As `SqsQueue`: what is deleted is committed."""
        return _HeldDeletes(super().deletes(at_once), self._hands)

    def hide(self, messages: Sequence[Message], seconds: int) -> Refusals[Message]:
        """As `SqsQueue`; nothing once everything has been given back."""
        with self._hands.hiding() as permitted:
            return super().hide(messages, seconds) if permitted else Refusals()

    def show(self, messages: Sequence[Message]) -> int:
        """Shows up to 10 messages at once; returns of how many SQS did."""
        try:
            refusals = super().hide(messages, 0)
        except QueueError:  # they come back when their visibility ends
            return 0
        return len(messages) - len(refusals.retry) - len(refusals.final)


class _HeldCalls(Generic[Ask, Outcome]):
    """Calls of another, of which `Hands` hears."""

    def __init__(self, calls: Calls[Ask, Outcome], hands: Hands) -> None:
        self._calls = calls
        self._hands = hands

    @property
    def under_way(self) -> int:
        """As the port says."""
        return self._calls.under_way

    def begin(self, ask: Ask) -> None:
        """As the port says."""
        self._calls.begin(ask)

    def ended(self) -> list[tuple[Ask, Outcome | Exception]]:
        """As the port says."""
        return self._calls.ended()

    def close(self) -> None:
        """As the port says."""
        self._calls.close()


class _HeldReceives(_HeldCalls[int, list[Message]]):
    def __init__(self, calls: Calls[int, list[Message]], queue: HeldQueue, hands: Hands) -> None:
        super().__init__(calls, hands)
        self._queue = queue
        self._refused: list[int] = []

    @property
    def under_way(self) -> int:
        return super().under_way + len(self._refused)

    def begin(self, ask: int) -> None:
        if self._hands.stopping.is_set():
            self._refused.append(ask)
        else:
            super().begin(ask)

    def ended(self) -> list[tuple[int, list[Message] | Exception]]:
        told: list[tuple[int, list[Message] | Exception]] = [(ask, []) for ask in self._refused]
        self._refused.clear()
        if super().under_way:
            told += super().ended()
        for _, outcome in told:
            if not isinstance(outcome, Exception):
                self._hands.take(self._queue, outcome)
        return told


class _HeldDeletes(_HeldCalls[Sequence[Message], Refusals[Message]]):
    def begin(self, ask: Sequence[Message]) -> None:
        self._hands.drop(ask)
        super().begin(ask)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutside(Outside):
    """The outside world, with queues whose messages are noted.

    Attributes:
        hands: Where they are noted.
        queues: Those that were asked for: a client keeps its connections, so one serves every run.
    """

    hands: Hands = field(repr=False)
    queues: dict[Feed, "HeldQueue"] = field(default_factory=dict, repr=False)

    @classmethod
    def around(cls, outside: Outside, hands: Hands) -> "HeldOutside":
        """The same outside world, with queues whose messages are noted."""
        world = {each.name: getattr(outside, each.name) for each in fields(outside)}
        return cls(**world, hands=hands)

    def queue_for_a_run(self, feed: Feed) -> HeldQueue:
        """As `Outside`; the same one each time."""
        if feed not in self.queues:
            client, hot = self._clients_for_a_run(feed)
            queue = HeldQueue(
                client,
                feed,
                self.hands,
                hot=hot,
                embedded=self.endpoint.embedded,
                traced=self.traced,
            )
            self._check_environment(client, queue, feed)
            self.queues[feed] = queue
        return self.queues[feed]
