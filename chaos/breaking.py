"""Carries out a plan of faults, several at a time, and mends afterwards what it has broken."""

import functools
import heapq
import itertools
import os
import random
import signal
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import psycopg

from chaos.faults import LASTS, Faults
from chaos.hunter import Hunter
from chaos.outages import Mend
from chaos.schedule import Fault, Strike
from chaos.stage import Stage
from chaos.workers import Moment, Worker

_RETRY: Final = 0.4  # seconds until a strike that found nothing to break is tried again
_PUT_OFF: Final = (5.0, 60.0)  # while nothing is loaded; else all would strike at once afterwards
_SIGNALS: Final = {
    Fault.KILL_WORKER: signal.SIGKILL,
    Fault.TERMINATE_WORKER: signal.SIGTERM,
    Fault.STOP_WORKER: signal.SIGSTOP,
}


class Breaker:
    """Strikes when it is time; one thread calls `tick` often.

    Attributes:
        planned: How many faults the plan has, by kind.
        done: How many there have been.
        killed_at: How many workers were killed, by what they were at.

    Args:
        stage: What to break.
        strikes: The plan, in order.
        elapsed: Seconds from the start.
        rng: For what depends on what runs at the moment.
        starving: Whether no batch has been loaded for long: then nothing is struck.
    """

    def __init__(
        self,
        stage: Stage,
        strikes: list[Strike],
        elapsed: Callable[[], float],
        *,
        rng: random.Random,
        starving: Callable[[], bool],
    ) -> None:
        self._stage, self._elapsed, self._starving = stage, elapsed, starving
        self._rng, self._serial = rng, itertools.count()
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._broken: dict[int, Mend] = {}
        self._faults = Faults(stage, rng)
        self._hunter = Hunter(stage.workers.look, stage.in_flight, rng)
        self._look_at = 0.0
        self.planned = Counter(strike.fault for strike in strikes)
        self.done: Counter[Fault] = Counter()
        self.killed_at: Counter[Moment] = Counter()
        for strike in strikes:
            self._later(strike.at, functools.partial(self._strike, strike))

    @property
    def down(self) -> set[str]:
        """The processes that it has ended and not started again yet."""
        return self._faults.down

    def tick(self) -> None:
        """Does what is due."""
        while self._due and self._due[0][0] <= self._elapsed():
            heapq.heappop(self._due)[2]()
        if self._hunter and self._elapsed() >= self._look_at and not self._starving():
            self._look_at = self._elapsed() + _RETRY
            if (chosen := self._hunter.choose(self._elapsed())) is not None:
                self._hit(*chosen)

    def mend_all(self) -> None:
        """Forgets what is left of the plan, and mends whatever is broken."""
        self._due.clear()
        self._hunter.clear()
        broken = deque(self._broken.values())
        self._broken.clear()
        while broken:
            mend = broken.popleft()
            try:
                mend()
            except psycopg.Error:  # Postgres is down, and its own start is further on
                broken.append(mend)
                time.sleep(_RETRY)
        self._stage.proxy.recover()

    def _strike(self, strike: Strike) -> None:
        if strike.fault in _SIGNALS:
            self._hunter.add(strike, self._elapsed())
            return
        if self._starving():
            self._try_again(strike, self._rng.uniform(*_PUT_OFF))
            return
        mend = self._faults.begin(strike)
        if mend is None:
            self._try_again(strike, _RETRY)
            return
        self.done[strike.fault] += 1
        if strike.fault in LASTS:
            least, most = LASTS[strike.fault]
            self._mend_after(least + strike.chance * (most - least), mend)

    def _hit(self, strike: Strike, worker: Worker) -> None:
        """Hits a worker; what it was at is asked afterwards, when it cannot go on any more."""
        if not self._signal(worker.pid, _SIGNALS[strike.fault]):
            self._hunter.miss(worker)  # it was quicker: another one, then
            self._strike(strike)
            return
        self.done[strike.fault] += 1
        if strike.fault is Fault.STOP_WORKER:
            least, most = LASTS[strike.fault]
            self._stage.workers.stopped.add(worker.run_id)
            wake = functools.partial(self._wake, worker)
            self._mend_after(least + strike.chance * (most - least), wake)
        else:
            early = worker.moment is Moment.STARTING  # it may have begun, and received nothing yet
            at = worker.moment if early else self._stage.workers.moment(worker.run_id)
            self.killed_at[at] += 1

    def _wake(self, worker: Worker) -> None:
        self._signal(worker.pid, signal.SIGCONT)
        self._stage.workers.stopped.discard(worker.run_id)

    def _signal(self, pid: int, number: signal.Signals) -> bool:
        """Sends a worker a signal; whether it was still there, for its id may be another's."""
        try:
            if pid in self._stage.code_server.workers():
                os.kill(pid, number)
                return True
        except ProcessLookupError:
            pass
        return False

    def _try_again(self, strike: Strike, seconds: float) -> None:
        self._later(self._elapsed() + seconds, functools.partial(self._strike, strike))

    def _later(self, at: float, act: Callable[[], object]) -> int:
        serial = next(self._serial)
        heapq.heappush(self._due, (at, serial, act))
        return serial

    def _mend_after(self, seconds: float, mend: Mend) -> None:
        def mend_once() -> None:
            self._broken.pop(serial)
            try:
                mend()
            except psycopg.Error:
                self._mend_after(_RETRY, mend)

        serial = self._later(self._elapsed() + seconds, mend_once)
        self._broken[serial] = mend
