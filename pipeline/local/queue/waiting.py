"""Long polling: who waits for which queue, and when each is woken; no loop runs meanwhile."""

import asyncio
import functools
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.local.queue.clock import Alarm, call_at
from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.queues import Queues


class _Room:
    """Those who wait for one queue, first come first woken, and the alarm set for them.

    Attributes:
        waiting: Those asleep.
        called: How many are woken and have not come yet; what is ready is theirs.
    """

    def __init__(self) -> None:
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.called = 0
        self._alarm: Alarm | None = None

    def wake(self, most: int) -> None:
        for _ in range(min(most, len(self.waiting))):
            self.waiting.popleft().set_result(None)
            self.called += 1

    def leave(self, turn: asyncio.Future[None]) -> None:
        if turn.done():
            self.called -= 1
        else:
            self.waiting.remove(turn)

    def set_alarm(self, alarm: Alarm | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = alarm


class WaitingRooms:
    """Wakes as many waiting receivers as there are messages for them.

    Args:
        queues: The queues that are waited for.
    """

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._rooms: dict[str, _Room] = {}
        self._closed = False

    async def wait(self, name: str, ends: Sequence[asyncio.Future[Any]]) -> bool:
        """Wait until a queue may have a message; False once one of `ends` is done.

        Args:
            name: The queue's.
            ends: What ends the wait: the client hangs up, its time is up.
        """
        if self._closed:
            return False
        room = self._rooms.setdefault(name, _Room())
        turn = asyncio.get_running_loop().create_future()
        room.waiting.append(turn)
        self.call(name)
        takes_it = False
        try:
            await asyncio.wait({turn, *ends}, return_when=asyncio.FIRST_COMPLETED)
            takes_it = self._may_take(turn, ends)
        finally:
            room.leave(turn)
            if not takes_it:
                self.call(name)
        return takes_it

    def _may_take(self, turn: asyncio.Future[None], ends: Iterable[asyncio.Future[Any]]) -> bool:
        return turn.done() and not self._closed and not any(end.done() for end in ends)

    def call_all(self) -> None:
        """Wake whoever has something to receive; due after every change of the queues."""
        for name in tuple(self._rooms):
            self.call(name)

    def call(self, name: str) -> None:
        """Wake as many as a queue has messages for, and set the alarm for its next."""
        room = self._rooms.get(name)
        if room is None:
            return
        if not room.waiting and not room.called:
            room.set_alarm(None)
            del self._rooms[name]
            return
        try:
            queue = self._queues.get(name)
        except SqsError:
            room.wake(len(room.waiting))
            return
        room.wake(queue.deliverable - room.called)
        room.set_alarm(self._alarm(name, queue.next_visible(), self._queues.moves.next_step()))

    def _alarm(self, name: str, *moments: float | None) -> Alarm | None:
        """An alarm for the first of the moments at which a queue may get a message by itself."""
        soonest = min((when for when in moments if when is not None), default=None)
        if soonest is None:
            return None
        return call_at(self._queues.clock, soonest, functools.partial(self.call, name))

    def close(self) -> None:
        """Send everybody home empty-handed, now and from now on."""
        self._closed = True
        for room in self._rooms.values():
            room.wake(len(room.waiting))
