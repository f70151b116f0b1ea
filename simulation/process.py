"""A process of the simulated world: it calls, it may be stopped, and it dies for good."""

from collections.abc import Callable
from typing import Final, Protocol

from simulation.clock import ProcessClock, VirtualClock
from simulation.contract import LIMITS
from simulation.faults import Fault, Faults

_OFTEN: Final = 3  # attempts after which the core may give up
_LONG: Final = LIMITS.visibility_seconds + 30.0


class Killed(BaseException):
    """SIGKILL: whoever catches this to do something more finds that every call raises it again."""


class Surroundings(Protocol):
    """What happens around a process."""

    clock: VirtualClock
    faults: Faults

    def meanwhile(self, process: "Process") -> None:
        """Has another process do something."""


class Process:
    """A process with a clock of its own; all that it does outside itself goes through here.

    Args:
        world: What happens around it.
        spared: Faults that never strike here.

    Attributes:
        clock: The port of the core.
        alive: Whether it has neither ended nor been killed.
        stopped: Whether it does nothing for now (SIGSTOP).
        troubled: Whether something that went wrong may make what it does fail.
        excused: Whether something that went wrong may show its messages to others.
    """

    def __init__(self, world: Surroundings, spared: frozenset[Fault] = frozenset()) -> None:
        self.clock = ProcessClock(self, world.clock)
        self.alive = True
        self.stopped = False
        self.troubled = False
        self.excused = False
        self._endured = 0
        self._world = world
        self._spared = spared

    def must_live(self) -> None:
        """Ends here what a dead process would do next."""
        if not self.alive:
            raise Killed

    def kill(self) -> None:
        """Ends it, wherever it is."""
        self.alive = False

    def stop(self) -> None:
        """Stops it; its heart does not beat."""
        self.stopped = True
        self.excused = True

    def live_through(self, act: Callable[[], bool]) -> bool:
        """Does something in a thread of the process; False where the process dies of it."""
        try:
            return act()
        except Killed:
            return False

    def enter(self, operation: str) -> Fault | None:
        """Comes to a call; what goes wrong with it, as far as it has not already."""
        self.must_live()
        fault = self._world.faults.take(operation, self._spared)
        match fault:
            case Fault.KILLED_BEFORE:
                self.die(fault)
            case Fault.SLOW:
                self.excused = True
                self._pass(fault)
            case Fault.STOPPED:
                self.stop()
                self._pass(fault)
                self.stopped = False
            case Fault.MEANWHILE:
                self._world.faults.strike(fault)
                began = self._world.clock.now
                self._world.meanwhile(self)
                # A slow call of the other one makes this one slow, too.
                self.excused |= self._world.clock.now - began > LIMITS.visibility_seconds / 2
        self.must_live()
        return fault

    def leave(self, fault: Fault | None) -> None:
        """Comes back from a call whose work is done."""
        if fault is Fault.KILLED_AFTER:
            self.die(fault)

    def die(self, fault: Fault) -> None:
        """Kills it, from within."""
        self._world.faults.strike(fault)
        self.kill()
        raise Killed

    def begin(self) -> None:
        """Begins something that nothing has gone wrong with yet."""
        self.troubled = False
        self._endured = 0

    def suffer(self, fault: Fault) -> None:
        """Notes a fault that may make what it does fail."""
        self._world.faults.strike(fault)
        self.troubled = True

    def endure(self, fault: Fault) -> None:
        """Notes a fault that it is to get over by trying again, unless it comes too often."""
        self._world.faults.strike(fault)
        self._endured += 1
        self.troubled |= self._endured >= _OFTEN

    def _pass(self, fault: Fault) -> None:
        self._world.faults.strike(fault)
        self._world.clock.advance(_LONG)
