"""Chooses which run worker is hit when: at every moment of a run, never two in a row of a feed."""

import random
from collections.abc import Callable
from typing import Final

from chaos.schedule import Fault, Strike
from chaos.workers import IN_HAND, Moment, Worker

# What a worker is to be at when it is hit, and how often. A few are hit before they work.
_AIMS: Final = {
    Moment.STARTING: 10,
    Moment.RECEIVING: 25,
    Moment.MASKING: 15,
    Moment.LOADING: 25,
    Moment.ACKNOWLEDGING: 25,
    Moment.REPEATING: 25,
}
_PATIENCE: Final = 20.0  # seconds; then any moment will do at which messages are held


class Hunter:
    """The strikes that wait for a worker, and the workers that there are.

    Args:
        look: Tells which workers live.
        in_flight: Messages of a feed that somebody holds; None where that cannot be told.
        rng: Decides at what a worker is hit.
    """

    def __init__(
        self,
        look: Callable[[], list[Worker]],
        in_flight: Callable[[str], int | None],
        rng: random.Random,
    ) -> None:
        self._look, self._in_flight, self._rng = look, in_flight, rng
        self._waiting: list[tuple[float, Moment, Strike]] = []
        self._seen: set[str] = set()
        self._taken: set[str] = set()
        self._owing: set[str] = set()
        self._before: dict[tuple[str, Moment], int | None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, strike: Strike, now: float) -> None:
        """Has a strike wait for its worker."""
        (aim,) = self._rng.choices(list(_AIMS), list(_AIMS.values()))
        self._waiting.append((now, aim, strike))

    def clear(self) -> None:
        """Forgets what waits."""
        self._waiting.clear()

    def choose(self, now: float) -> tuple[Strike, Worker] | None:
        """A strike and the worker that it is to hit at once, if there is one."""
        living = self._look()
        self._meet(living)
        at_work = {each.run_id: self._holds(each, living) for each in living}
        for place, (since, aim, strike) in enumerate(self._waiting):
            hurried = now - since > _PATIENCE
            for worker in living:
                if worker.run_id in self._taken:
                    continue
                holds = at_work[worker.run_id]
                at_aim = worker.moment is aim and (holds or aim is Moment.STARTING)
                if at_aim or (hurried and holds):
                    del self._waiting[place]
                    self._take(worker, strike)
                    return strike, worker
        return None

    def miss(self, worker: Worker) -> None:
        """Learns that a worker had ended by itself when it was to be hit."""
        self._owing.discard(worker.feed)

    def _take(self, worker: Worker, strike: Strike) -> None:
        self._taken.add(worker.run_id)
        if strike.fault is not Fault.STOP_WORKER:
            self._owing.add(worker.feed)

    def _meet(self, living: list[Worker]) -> None:
        """Lets the next worker of a feed alone after one was hit.

        Its sensor waits the longer, the more runs have failed in a row, and an hour in which it
        only waits shows nothing.
        """
        for worker in living:
            if worker.run_id not in self._seen:
                self._seen.add(worker.run_id)
                if worker.feed in self._owing:
                    self._owing.discard(worker.feed)
                    self._taken.add(worker.run_id)

    def _holds(self, worker: Worker, living: list[Worker]) -> bool:
        """Whether it holds messages for certain.

        While it receives, or goes on with further batches, that is known if it is the only one of
        its feed that does, and more are in flight than when it began.
        """
        if worker.moment in IN_HAND:
            return True
        alike = [
            each for each in living if (each.feed, each.moment) == (worker.feed, worker.moment)
        ]
        if worker.moment not in {Moment.RECEIVING, Moment.REPEATING} or len(alike) > 1:
            return False
        now = self._in_flight(worker.feed)
        before = self._before.setdefault((worker.run_id, worker.moment), now)
        return None not in {now, before} and now > before  # type: ignore[operator] # neither is None
