"""Long polling: who waits for which queue, and when each is woken; no loop runs meanwhile."""

import asyncio
from collections import deque

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
        self._alarm: asyncio.TimerHandle | None = None

    def wake(self, most: int) -> None:
        for _ in range(min(most, len(self.waiting))):
            self.waiting.popleft().set_result(None)
            self.called += 1

    def leave(self, turn: asyncio.Future[None]) -> None:
        if turn.done():
            self.called -= 1
        else:
            self.waiting.remove(turn)

    def set_alarm(self, alarm: asyncio.TimerHandle | None) -> None:
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

    async def wait(self, name: str, seconds: float, leaving: asyncio.Future[object]) -> bool:
        """Wait until a queue may have a message; False if time is up or the client is leaving."""
        if self._closed:
            return False
        room = self._rooms.setdefault(name, _Room())
        turn = asyncio.get_running_loop().create_future()
        room.waiting.append(turn)
        self.call(name)
        takes_it = False
        try:
            await asyncio.wait(
                {turn, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            takes_it = turn.done() and not leaving.done() and not self._closed
        finally:
            room.leave(turn)
            if not takes_it:
                self.call(name)
        return takes_it

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
        soonest, now = queue.next_visible(), self._queues.clock()
        loop = asyncio.get_running_loop()
        room.set_alarm(
            None if soonest is None else loop.call_later(max(0.0, soonest - now), self.call, name)
        )

    def close(self) -> None:
        """Send everybody home empty-handed, now and from now on."""
        self._closed = True
        for room in self._rooms.values():
            room.wake(len(room.waiting))
