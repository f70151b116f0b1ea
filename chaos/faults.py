"""What each kind of fault does to the stage, and how it is mended."""

import functools
import random
import signal
from collections.abc import Callable, Sequence
from typing import Final

import psycopg

from chaos.errands import Errand
from chaos.outages import Mend, Outages
from chaos.proxy import Commit
from chaos.queue_faults import DOWN, EXPIRED, RULES
from chaos.schedule import Fault, Strike
from chaos.stage import Stage
from chaos.workers import Moment
from pipeline.local.queue.faults import Rule

LASTS: Final = {
    Fault.STOP_WORKER: (5.0, 45.0),  # on both sides of the visibility timeout
    Fault.KILL_POSTGRES: (0.3, 5.0),
    Fault.READ_ONLY: (2.0, 12.0),
    Fault.NO_CONNECTIONS: (2.0, 12.0),
    Fault.LOCK: (2.0, 15.0),  # on both sides of what a run waits for a lock
    Fault.DISK_FULL: (3.0, 15.0),
    Fault.HALF_OPEN: (5.0, 30.0),
    Fault.SILENCE: (3.0, 15.0),
    Fault.LATENCY: (5.0, 25.0),
    Fault.KILL_DAEMON: (0.3, 5.0),
    Fault.KILL_CODE_SERVER: (0.3, 5.0),
    Fault.KILL_REST: (0.3, 5.0),
    Fault.KILL_WEB: (0.3, 5.0),
    Fault.QUEUE_DOWN: (3.0, 12.0),
    Fault.EXPIRED: (3.0, 12.0),
    Fault.REDRIVE_QUARANTINE: (1.0, 60.0),  # then it is killed, if it is at it still
    Fault.REDRIVE_LETTERS: (1.0, 60.0),
}
"""How long each lasts, in seconds: the least and the most. What is missing is over at once."""

_LATENCY: Final = (0.005, 0.05)
_HALF: Final = 0.5
_PROCESSES: Final = {
    Fault.KILL_DAEMON: "daemon",
    Fault.KILL_CODE_SERVER: "code server",
    Fault.KILL_REST: "REST service",
    Fault.KILL_WEB: "web server",
}
_ERRANDS: Final = {
    Fault.REDRIVE_QUARANTINE: Errand.REDRIVE_QUARANTINE,
    Fault.REDRIVE_LETTERS: Errand.REDRIVE_LETTERS,
    Fault.RETENTION: Errand.RETENTION,
}


class Faults:
    """All kinds but those that hit a run worker.

    Attributes:
        down: The processes that were ended and not started again yet.

    Args:
        stage: What to break.
        rng: Chooses among the feeds.
    """

    def __init__(self, stage: Stage, rng: random.Random) -> None:
        self._stage = stage
        self.down: set[str] = set()
        outages = Outages(lambda: stage.warehouse.url)
        within: dict[Fault, Callable[[], Mend]] = {
            Fault.READ_ONLY: outages.read_only,
            Fault.NO_CONNECTIONS: outages.no_connections,
            Fault.LOCK: lambda: outages.lock(rng.choice(stage.feeds)),
            Fault.DISK_FULL: lambda: outages.disk_full(rng.choice(stage.feeds)),
        }
        self._kinds: dict[Fault, Callable[[], Mend | None]] = {
            Fault.KILL_POSTGRES: self._kill_postgres,
            Fault.LAUNCH_TWICE: self._launch_twice,
            Fault.QUEUE_DOWN: lambda: self._spoil_queue(DOWN),
            Fault.EXPIRED: lambda: self._spoil_queue(EXPIRED),
            **{fault: functools.partial(_unless_refused, act) for fault, act in within.items()},
            **{
                fault: functools.partial(stage.errands.run, errand)
                for fault, errand in _ERRANDS.items()
            },
        }

    def begin(self, strike: Strike) -> Mend | None:
        """Brings a fault about; what mends it, or None if there was nothing to break."""
        fault = strike.fault
        if fault in _PROCESSES:
            return self._kill_process(_PROCESSES[fault], strike.chance)
        if fault in self._kinds:
            return self._kinds[fault]()
        return self._break_way(fault, strike.chance)

    def _break_way(self, fault: Fault, chance: float) -> Mend | None:
        """What happens between a run and Postgres."""
        proxy = self._stage.proxy
        match fault:
            case Fault.RESET:
                return _nothing if proxy.reset() else None
            case Fault.HALF_OPEN:
                return proxy.drop_numb if proxy.half_open() else None
            case Fault.SILENCE:
                proxy.go_silent()
                return proxy.speak
            case Fault.LATENCY:
                least, most = _LATENCY
                proxy.latency = least + chance * (most - least)
                return proxy.quicken
            case Fault.COMMIT_REQUEST:
                proxy.lose_commit(Commit.REQUEST)
            case Fault.COMMIT_ANSWER:
                proxy.lose_commit(Commit.ANSWER)
        return _nothing

    def _kill_postgres(self) -> Mend | None:
        if not self._stage.warehouse.is_alive():
            return None
        self._stage.warehouse.kill()
        return self._stage.start_warehouse

    def _kill_process(self, name: str, chance: float) -> Mend | None:
        process = self._stage.processes[name]
        if name in self.down or not process.is_alive():
            return None
        self.down.add(name)
        process.kill(signal.SIGKILL if chance < _HALF else signal.SIGTERM)
        return functools.partial(self._restart, name)

    def _restart(self, name: str) -> None:
        self._stage.processes[name].start()
        self.down.discard(name)

    def _launch_twice(self) -> Mend | None:
        """Launches a run again whose worker starts; Dagster refuses it once that one has begun."""
        for worker in self._stage.workers.look():
            if worker.moment is Moment.STARTING:
                self._stage.launch_again(worker.run_id)
                return _nothing
        return None

    def _spoil_queue(self, more: Sequence[Rule]) -> Mend:
        self._stage.spoil_queue((*more, *RULES))
        return functools.partial(self._stage.spoil_queue, RULES)


def _unless_refused(act: Callable[[], Mend]) -> Mend | None:
    try:
        return act()
    except psycopg.Error:  # down, or somebody has the lock
        return None


def _nothing() -> None:
    """There is nothing to mend."""
