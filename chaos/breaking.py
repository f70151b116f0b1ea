"""Carries out a plan of faults, several at a time, and mends afterwards what it has broken."""

import functools
import heapq
import itertools
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from typing import Final

from chaos.proxy import Commit
from chaos.schedule import Fault, Strike
from chaos.stage import Stage
from chaos.victims import Victims

_RETRY: Final = 0.3  # seconds until a strike that found no victim is tried again
# How long each lasts, in seconds: the least and the most.
_STOPPED: Final = (5.0, 45.0)  # on both sides of the visibility timeout
_DOWN: Final = (0.3, 5.0)
_AIM: Final = (0.0, 4.0)  # from the moment at which a worker may be hit
_AT_START: Final = 0.15  # the share of workers that are hit early, perhaps before they work
_LOOK: Final = 1.0
_SILENT: Final = (3.0, 15.0)
_HALF_OPEN: Final = (5.0, 30.0)
_SLOW: Final = (5.0, 25.0)
_LATENCY: Final = (0.005, 0.05)
_HALF: Final = 0.5
_SIGNALS: Final = {
    Fault.KILL_WORKER: signal.SIGKILL,
    Fault.TERMINATE_WORKER: signal.SIGTERM,
    Fault.STOP_WORKER: signal.SIGSTOP,
}
_PROCESSES: Final = {
    Fault.KILL_DAEMON: "daemon",
    Fault.KILL_CODE_SERVER: "code server",
    Fault.KILL_REST: "REST service",
}


class Breaker:
    """Strikes when it is time; one thread calls `tick` often.

    Attributes:
        planned: How many faults the plan has, by kind.
        done: How many there have been.
        down: The processes that it has ended and not started again yet.

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
        self._stage, self._elapsed = stage, elapsed
        self._serial = itertools.count()
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._broken: dict[int, Callable[[], object]] = {}
        self._victims = Victims(stage.code_server.workers)
        self._rng, self._starving = rng, starving
        self._waiting: list[Strike] = []  # for a worker to hit
        self._aimed: Counter[Fault] = Counter()
        self._look_at = 0.0
        self.planned = Counter(strike.fault for strike in strikes)
        self.done: Counter[Fault] = Counter()
        self.down: set[str] = set()
        for strike in strikes:
            self._later(strike.at, functools.partial(self._strike, strike))

    def tick(self) -> None:
        """Does what is due."""
        while self._due and self._due[0][0] <= self._elapsed():
            heapq.heappop(self._due)[2]()
        if self._waiting and self._elapsed() >= self._look_at and not self._starving():
            self._look_at = self._elapsed() + _RETRY
            self._aim_at_worker()

    def mend_all(self) -> None:
        """Forgets what is left of the plan, and mends whatever is broken."""
        self._due.clear()
        self._waiting.clear()
        while self._broken:
            _, mend = self._broken.popitem()
            mend()
        self._stage.proxy.recover()

    def _strike(self, strike: Strike) -> None:
        if strike.fault in _SIGNALS:
            self._waiting.append(strike)
        elif not self._starving() and self._carry_out(strike):
            self.done[strike.fault] += 1
        else:
            self._later(self._elapsed() + _RETRY, functools.partial(self._strike, strike))

    def _carry_out(self, strike: Strike) -> bool:
        """Brings a fault about; whether there was anything to break."""
        proxy, chance = self._stage.proxy, strike.chance
        match strike.fault:
            case Fault.KILL_POSTGRES:
                return self._kill_postgres(chance)
            case Fault.KILL_DAEMON | Fault.KILL_CODE_SERVER | Fault.KILL_REST:
                return self._kill_process(strike)
            case Fault.RESET:
                return proxy.reset() > 0
            case Fault.HALF_OPEN:
                return self._half_open(chance)
            case Fault.SILENCE:
                proxy.go_silent()
                self._mend_after(_between(_SILENT, chance), proxy.speak)
            case Fault.LATENCY:
                proxy.latency = _between(_LATENCY, chance)
                self._mend_after(_between(_SLOW, chance), proxy.quicken)
            case Fault.COMMIT_REQUEST:
                proxy.lose_commit(Commit.REQUEST)
            case Fault.COMMIT_ANSWER:
                proxy.lose_commit(Commit.ANSWER)
        return True

    def _half_open(self, chance: float) -> bool:
        if not self._stage.proxy.half_open():
            return False
        self._mend_after(_between(_HALF_OPEN, chance), self._stage.proxy.drop_numb)
        return True

    def _aim_at_worker(self) -> None:
        """Chooses a worker for the kind that was least often, to be hit later than now.

        A part is hit while it starts, the others while messages are held.
        """
        strike = min(self._waiting, key=lambda each: self._aimed[each.fault])
        pid = self._victims.take(strike.chance)
        if pid is None:
            return
        self._waiting.remove(strike)
        self._aimed[strike.fault] += 1
        if strike.chance < _AT_START:
            self._hit_soon(strike, pid)
        else:
            self._hit_at_work(strike, pid)

    def _hit_at_work(self, strike: Strike, pid: int) -> None:
        """Waits until messages are held, for as long as the worker lives."""
        if self._stage.in_flight() or not self._victims.lives(pid):
            self._hit_soon(strike, pid)
        else:
            again = functools.partial(self._hit_at_work, strike, pid)
            self._later(self._elapsed() + _LOOK, again)

    def _hit_soon(self, strike: Strike, pid: int) -> None:
        moment = self._elapsed() + _between(_AIM, self._rng.random())
        self._later(moment, functools.partial(self._hit_worker, strike, pid))

    def _hit_worker(self, strike: Strike, pid: int) -> None:
        if not self._signal(pid, _SIGNALS[strike.fault]):
            self._aimed[strike.fault] -= 1
            self._strike(strike)  # it was quicker: another one, then
            return
        self.done[strike.fault] += 1
        if strike.fault is Fault.STOP_WORKER:
            wake = functools.partial(self._signal, pid, signal.SIGCONT)
            self._mend_after(_between(_STOPPED, strike.chance), wake)

    def _signal(self, pid: int, number: signal.Signals) -> bool:
        """Sends a worker a signal; whether it was still there."""
        try:
            if self._victims.lives(pid):
                os.kill(pid, number)
                return True
        except ProcessLookupError:
            pass
        return False

    def _kill_postgres(self, chance: float) -> bool:
        if not self._stage.warehouse.is_alive():
            return False
        self._stage.warehouse.kill()
        self._mend_after(_between(_DOWN, chance), self._stage.start_warehouse)
        return True

    def _kill_process(self, strike: Strike) -> bool:
        name = _PROCESSES[strike.fault]
        process = self._stage.processes[name]
        if name in self.down or not process.is_alive():
            return False
        self.down.add(name)
        process.kill(signal.SIGKILL if strike.chance < _HALF else signal.SIGTERM)
        self._mend_after(_between(_DOWN, strike.chance), lambda: self._restart(name))
        return True

    def _restart(self, name: str) -> None:
        self._stage.processes[name].start()
        self.down.discard(name)

    def _later(self, at: float, act: Callable[[], object]) -> int:
        serial = next(self._serial)
        heapq.heappush(self._due, (at, serial, act))
        return serial

    def _mend_after(self, seconds: float, mend: Callable[[], object]) -> None:
        def mend_once() -> None:
            self._broken.pop(serial)
            mend()

        serial = self._later(self._elapsed() + seconds, mend_once)
        self._broken[serial] = mend


def _between(bounds: tuple[float, float], chance: float) -> float:
    least, most = bounds
    return least + chance * (most - least)
