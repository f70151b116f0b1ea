"""One queue: which message is ready, delayed, in flight or gone, whatever the backlog."""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from pipeline.local.queue.messages import Message, Place
from pipeline.local.queue.settings import QueueSettings

_SLACK: Final = 64


class Agenda:
    """Messages by a moment of theirs, soonest first; what no longer counts is skipped.

    A message that is deleted or extended leaves its old entry behind. Such entries are dropped
    when they come up, or all at once when they outnumber the others, so that an entry costs
    O(log n) in all.

    Args:
        moment: When a message is due, or None if it has no business here any more.
    """

    def __init__(self, moment: Callable[[Message], float | None]) -> None:
        self._moment = moment
        self._entries: list[tuple[float, int, Message]] = []
        self._serial = itertools.count()

    def add(self, message: Message, when: float) -> None:
        """Note a message for a moment."""
        heapq.heappush(self._entries, (when, next(self._serial), message))

    def next(self) -> float | None:
        """The soonest moment, or None."""
        while self._entries:
            when, _, message = self._entries[0]
            if self._moment(message) == when:
                return when
            heapq.heappop(self._entries)
        return None

    def due(self, now: float) -> Iterator[Message]:
        """Take out every message whose moment has come."""
        while (when := self.next()) is not None and when <= now:
            yield heapq.heappop(self._entries)[2]

    def tidy(self, live: int) -> None:
        """Drop all that no longer counts, if that is most of it."""
        if len(self._entries) > 2 * live + _SLACK:
            self._entries = [entry for entry in self._entries if self._moment(entry[2]) == entry[0]]
            heapq.heapify(self._entries)


class QueueState(msgspec.Struct):
    """What a snapshot keeps of a queue; times are seconds since the epoch."""

    name: str
    arn: str
    settings: QueueSettings
    tags: dict[str, str]
    created_at: float
    modified_at: float
    purged_at: float = 0.0
    messages: list[Message] = msgspec.field(default_factory=list)


class Queue:
    """A queue's messages, by place. It decides nothing that needs another queue.

    Args:
        state: A new queue's state, or one out of a snapshot.
        max_in_flight: How many messages may be in flight before a receive gets none.
    """

    def __init__(self, state: QueueState, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self.state = state
        self._messages: dict[str, Message] = {}
        self._ready: deque[Message] = deque()
        self._hidden = Agenda(_visible_again)
        self._by_age = Agenda(_sent)
        self._counts = [0] * len(Place)
        for message in state.messages:
            self._enter(message)
        state.messages = []

    def snapshot(self) -> QueueState:
        """The state, messages included."""
        return msgspec.structs.replace(self.state, messages=list(self._messages.values()))

    def count(self, place: Place) -> int:
        """How many messages stand in a place."""
        return self._counts[place]

    @property
    def full(self) -> bool:
        """Whether so many messages are in flight that a receive gets none."""
        return self._counts[Place.IN_FLIGHT] >= self._max_in_flight

    @property
    def deliverable(self) -> int:
        """How many messages a receive could take now."""
        return min(self._counts[Place.READY], self._max_in_flight - self._counts[Place.IN_FLIGHT])

    def next_visible(self) -> float | None:
        """When the next hidden message becomes ready."""
        return self._hidden.next()

    def settle(self, now: float) -> None:
        """Let time pass: what is due becomes ready, what is too old goes."""
        for message in self._hidden.due(now):
            self._make_ready(message)
        for message in self._by_age.due(now - self.state.settings.message_retention_period):
            self.remove(message)

    def find(self, message_id: str) -> Message | None:
        """The message of that id, unless it is gone."""
        return self._messages.get(message_id)

    def add(self, message: Message, *, delay_until: float, now: float) -> None:
        """Take in a message, delayed until a moment if that is still to come."""
        message.place, message.visible_at = Place.READY, 0.0
        if delay_until > now:
            message.place, message.visible_at = Place.DELAYED, delay_until
        self._enter(message)

    def peek(self) -> Message | None:
        """The next ready message, where it stands."""
        while self._ready and self._ready[0].place is not Place.READY:
            self._ready.popleft()
        return self._ready[0] if self._ready else None

    def take(self) -> Message | None:
        """The next ready message, for the caller to hide or remove at once."""
        if (message := self.peek()) is not None:
            self._ready.popleft()
        return message

    def shuffle(self, rng: random.Random, among: int) -> bool:
        """Let the first of those that are ready change places; whether there was more than one."""
        first = [self._ready.popleft() for _ in range(min(among, len(self._ready)))]
        rng.shuffle(first)
        self._ready.extendleft(first)
        return len(first) > 1

    def hide(self, messages: Iterable[Message], *, until: float, now: float) -> None:
        """Put messages in flight until a moment; a moment that has come gives them back."""
        for message in messages:
            if until <= now:
                self._make_ready(message)
            elif message.visible_at != until or message.place is not Place.IN_FLIGHT:
                self._move(message, Place.IN_FLIGHT)
                message.visible_at = until
                self._hidden.add(message, until)
        self._hidden.tidy(self._counts[Place.DELAYED] + self._counts[Place.IN_FLIGHT])

    def remove(self, message: Message) -> None:
        """Forget a message for good."""
        self._move(message, Place.GONE)
        del self._messages[message.id]
        # A message that was ready leaves a stub in line, and the line must not fill with stubs.
        while self._ready and self._ready[0].place is Place.GONE:
            self._ready.popleft()
        live = len(self._messages)
        self._by_age.tidy(live)
        self._hidden.tidy(live)

    def clear(self) -> None:
        """Forget every message."""
        for message in list(self._messages.values()):
            self.remove(message)

    def _enter(self, message: Message) -> None:
        self._messages[message.id] = message
        self._counts[message.place] += 1
        self._by_age.add(message, message.sent_at)
        if message.place is Place.READY:
            self._ready.append(message)
        else:
            self._hidden.add(message, message.visible_at)

    def _make_ready(self, message: Message) -> None:
        self._move(message, Place.READY)
        self._ready.append(message)

    def _move(self, message: Message, place: Place) -> None:
        self._counts[message.place] -= 1
        message.place = place
        self._counts[place] += 1


def _visible_again(message: Message) -> float | None:
    return message.visible_at if message.place in {Place.DELAYED, Place.IN_FLIGHT} else None


def _sent(message: Message) -> float | None:
    return None if message.place is Place.GONE else message.sent_at
