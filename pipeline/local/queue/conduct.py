"""What one call meets: faults before its work, in it, and after it."""

from collections import Counter
from collections.abc import Callable, Sequence

from pipeline.local.queue.clock import sleep
from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.faults import Delay, Drop, Effect, Empty, Fail, LoseAnswer
from pipeline.local.queue.misbehaviour import Chosen
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.spoiling import RULED, Spoiler, Work


class CutError(Exception):
    """The connection is to be cut, and nothing answered."""


class Conduct:
    """The faults of one call, in the order in which they take place.

    Args:
        queues: Which the call is about.
        chosen: What was drawn for it.
        counts: Where each fault that takes place is counted.
    """

    def __init__(self, queues: Queues, chosen: Sequence[Chosen], counts: Counter[str]) -> None:
        self._queues = queues
        self._chosen = chosen
        self._counts = counts

    def begin(self) -> None:
        """Meet what keeps the call from being carried out.

        Raises:
            CutError: The connection breaks before the work.
            SqsError: The call is refused.
        """
        for effect, _ in self._chosen:
            if isinstance(effect, Drop):
                self._count(effect)
                raise CutError
        for effect, _ in self._chosen:
            if isinstance(effect, Fail):
                self._count(effect)
                raise SqsError(effect.code, RULED, status=effect.http_status)

    def finds_nothing(self, name: str) -> bool:
        """Whether a receive from a queue is to end at once, and empty.

        Raises:
            SqsError: QueueDoesNotExist.
        """
        for effect, _ in self._chosen:
            if isinstance(effect, Empty):
                if self._queues.get(name).deliverable:
                    self._count(effect)
                return True
        return False

    def spoil(self, work: Work) -> Work:
        """The work as it is carried out; the first rule is the nearest to it."""
        for effect, rng in self._chosen:
            count = self._counter(effect)
            work = Spoiler(self._queues, work, rng=rng, count=count).wrap(effect)
        return work

    async def end(self) -> None:
        """Meet what keeps the answer from its client, after the work.

        Raises:
            CutError: The answer is lost.
        """
        for effect, _ in self._chosen:
            if isinstance(effect, Delay):
                self._count(effect)
                await sleep(self._queues.clock, effect.seconds)
        for effect, _ in self._chosen:
            if isinstance(effect, LoseAnswer):
                self._count(effect)
                raise CutError

    def _count(self, effect: Effect) -> None:
        self._counts[effect.kind] += 1

    def _counter(self, effect: Effect) -> Callable[[], None]:
        return lambda: self._count(effect)
