"""Scenes 2 and 3: a worker is lost, and networks are cut, in the middle of the work."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Final

from machines.feed import VISIBILITY_SECONDS
from machines.filling import Filling
from machines.machine import Machine
from machines.stage import Stage
from pipeline.crash_points import CrashPoint

CUT_SECONDS: Final = VISIBILITY_SECONDS + 5.0
"""How long a machine is cut off: what it held has been delivered to another by then."""

_DRAIN_SECONDS: Final = 120.0
_GLANCE_SECONDS: Final = 0.2
_BACK_MESSAGES: Final = 300
_SENT_A_SECOND: Final = 150.0
_CUT: Final = (1.0, CUT_SECONDS)  # seconds, of a cut at a random moment
_APART: Final = (0.5, 3.0)  # seconds between the beginnings of two such cuts
AT_RANDOM: Final = f"cuts at random moments, of {_CUT[0]:.0f} to {_CUT[1]:.0f} s"
"""What they are called, after their number."""


@dataclass(frozen=True, slots=True)
class Strike:
    """What is to happen to one machine.

    Attributes:
        what: For people.
        machine: Its number.
        point: What its worker is at when it happens.
        is_lost: Whether the machine is lost, and another worker started on it; else it is cut off.
    """

    what: str
    machine: int
    point: CrashPoint
    is_lost: bool = False


STRIKES: Final = (
    Strike("lost with a masked batch in hand", 2, CrashPoint.AFTER_MASK, is_lost=True),
    Strike("cut off before the load", 3, CrashPoint.AFTER_MASK),
    Strike("cut off after the commit, before the acknowledgement", 4, CrashPoint.AFTER_COMMIT),
    Strike("cut off at its commit", 2, CrashPoint.BEFORE_COMMIT),
)
"""In this order. A machine may be struck again once it is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """What became of a scene.

    Attributes:
        what: Of what.
        held: Messages in flight at that moment.
        away: Seconds without it.
        drained: Seconds until nothing was left of what had waited.
        account: What was received meanwhile, and what became of it.
        troubles: What the machine complained of, by code.
        is_back: Whether it settled messages alone afterwards.
    """

    what: str
    held: int
    away: float
    drained: float
    account: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, int] = field(default_factory=dict)
    is_back: bool = False


class Faults:
    """The scenes, one after the other.

    Args:
        stage: The services; the watched queue is used, and left empty.
        machines: At least four.
        filling: The messages.
        messages: For each scene.
        tell: Gets a line for each scene.
    """

    def __init__(
        self,
        stage: Stage,
        machines: Sequence[Machine],
        filling: Filling,
        *,
        messages: int,
        tell: Callable[[str], None],
    ) -> None:
        self._stage, self._machines, self._filling = stage, machines, filling
        self._messages, self._tell = messages, tell
        self._environment = stage.environment(stage.watched)
        self._ahead: dict[Machine, Strike | None] = {}

    def strike_all(self) -> list[Struck]:
        """Every strike."""
        first = {each.machine: each for each in reversed(STRIKES)}
        for machine in self._machines:
            self._start(machine, first.get(machine.number))
        for machine in self._machines:
            machine.wait_until_ready()
        return [self._strike(each) for each in STRIKES]

    def cut_at_random(self, cuts: int, rng: random.Random) -> Struck:
        """Cuts some machines off at any moments, while messages come on and on.

        Args:
            cuts: How many.
            rng: Decides which machines, when, and for how long.
        """
        began, since = self._stage.now(), time.monotonic()
        sender = self._filling.sender(self._stage.watched, _SENT_A_SECOND)
        for machine in self._machines:
            machine.resume()
        sender.start()
        try:
            held = cut_some(self._machines, self._held, cuts, rng)
        finally:
            sender.stop()
        if sender.failure is not None:
            raise sender.failure
        away = time.monotonic() - since
        drained = self._drain(since)
        troubles = Counter(each for machine in self._machines for each in machine.troubles())
        account = asdict(self._stage.progress(began))
        self._stand_still(self._machines)
        return self._told(
            Struck(
                what=f"{cuts} {AT_RANDOM}",
                held=held,
                away=away,
                drained=drained,
                account=account,
                troubles=dict(troubles),
                is_back=all(map(self._is_back, self._machines)),
            )
        )

    def _strike(self, strike: Strike) -> Struck:
        stage, machine, healthy = self._stage, self._armed(strike), self._machines[0]
        self._filling.fill(stage.watched, self._messages)
        began = stage.now()
        machine.resume()
        machine.wait_until_stopped(strike.point)
        held = self._held()  # nobody else is at work
        since = time.monotonic()
        if strike.is_lost:
            machine.lose()
            healthy.resume()
            drained = self._drain(since)
        else:
            machine.cut()
            machine.resume()
            healthy.resume()
            with _later(CUT_SECONDS, machine.mend):
                drained = self._drain(since)
        away = time.monotonic() - since
        account, troubles = asdict(stage.progress(began)), Counter(machine.troubles())
        self._stand_still([healthy] if strike.is_lost else [healthy, machine])
        if strike.is_lost:
            self._start(machine)
            machine.wait_until_ready()
        return self._told(
            Struck(
                what=strike.what,
                held=held,
                away=away,
                drained=drained,
                account=account,
                troubles=dict(troubles),
                is_back=self._is_back(machine),
            )
        )

    def _start(self, machine: Machine, ahead: Strike | None = None) -> None:
        machine.start(self._environment, stops_at=ahead.point if ahead else None)
        self._ahead[machine] = ahead

    def _armed(self, strike: Strike) -> Machine:
        """The machine of a strike, whose worker is to stop itself where the strike wants it."""
        machine = self._machines[strike.machine - 1]
        if self._ahead[machine] is not strike:
            self._start(machine, strike)
            machine.wait_until_ready()
        return machine

    def _held(self) -> int:
        return self._stage.held(self._stage.watched)

    def _is_back(self, machine: Machine) -> bool:
        """Whether a machine settles messages alone; it stands still again afterwards."""
        self._filling.fill(self._stage.watched, _BACK_MESSAGES)
        machine.resume()
        try:
            self._drain(time.monotonic())
        except SystemExit:
            return False
        self._stand_still([machine])
        return True

    def _drain(self, since: float) -> float:
        """Waits until nothing is left; the seconds since a moment."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while left := self._stage.depth(self._stage.watched):
            if time.monotonic() > deadline:
                raise SystemExit(f"machines: {left} messages are left after a fault")
            time.sleep(_GLANCE_SECONDS)
        return time.monotonic() - since

    def _stand_still(self, machines: Sequence[Machine]) -> None:
        self._stage.watched.wait_until_quiet()
        for machine in machines:
            machine.pause()

    def _told(self, struck: Struck) -> Struck:
        self._tell(
            f"{struck.what}: held {struck.held:,}, drained after {struck.drained:.0f} s,"
            f" {'is back' if struck.is_back else 'is NOT back'}"
        )
        return struck


def cut_some(
    machines: Sequence[Machine], held: Callable[[], int], cuts: int, rng: random.Random
) -> int:
    """Cuts machines off at random moments, never the first; all are back when this returns.

    Args:
        machines: All of them.
        held: Counts the messages in flight.
        cuts: How many.
        rng: Decides which machines, when, and for how long.

    Returns:
        How many messages were in flight at a cut, at most.
    """
    most, due = 0, time.monotonic() + rng.uniform(*_APART)
    cut_off: dict[Machine, float] = {}
    while cuts or cut_off:
        now = time.monotonic()
        for machine in [each for each, until in cut_off.items() if until <= now]:
            machine.mend()
            del cut_off[machine]
        free = [each for each in machines[1:] if each not in cut_off]
        if cuts and due <= now and free:
            machine = rng.choice(free)
            most = max(most, held())
            machine.cut()
            cut_off[machine] = now + rng.uniform(*_CUT)
            due, cuts = now + rng.uniform(*_APART), cuts - 1
        time.sleep(_GLANCE_SECONDS)
    return most


@contextmanager
def _later(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Acts when so many seconds have gone by, and does not end before."""
    timer = threading.Timer(seconds, act)
    timer.start()
    try:
        yield
    finally:
        timer.join()
