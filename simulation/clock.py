"""Time that passes only when something takes time, and the hearts that beat meanwhile."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simulation.process import Process

_BEGINNING: Final = 1_700_000_000.0  # seconds since the epoch


class Repeated:
    """Something that a process does again and again.

    Args:
        process: Whose it is.
        seconds: Between two times.
        act: Says whether to go on.
        due: When it is done first.
    """

    def __init__(
        self, process: "Process", seconds: float, act: Callable[[], bool], due: float
    ) -> None:
        self.process = process
        self.due = due
        self.over = False
        self.busy = False
        self._seconds = seconds
        self._act = act

    def stop(self) -> None:
        """Ends it."""
        self.over = True

    def happen(self, clock: "VirtualClock") -> None:
        """Does it once."""
        self.busy = True
        try:
            self.over |= not self.process.live_through(self._act)
        finally:
            self.busy = False
        self.due = clock.now + self._seconds


class VirtualClock:
    """The one clock of the world.

    Attributes:
        now: Seconds since the epoch.
    """

    def __init__(self) -> None:
        self.now = _BEGINNING
        self._repeated: list[Repeated] = []

    def __call__(self) -> float:
        """As the queue asks for it."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Lets time pass; what is due meanwhile happens at its moment."""
        end = self.now + seconds
        while (each := self._next(end)) is not None:
            self.now = max(self.now, each.due)
            each.happen(self)
        self.now = max(self.now, end)

    def repeat(self, process: "Process", seconds: float, act: Callable[[], bool]) -> Repeated:
        """Has a process do something again and again."""
        made = Repeated(process, seconds, act, self.now + seconds)
        self._repeated.append(made)
        return made

    def _next(self, end: float) -> Repeated | None:
        self._repeated = [each for each in self._repeated if not each.over and each.process.alive]
        # A stopped process does nothing; what was due comes at once when it goes on.
        due = [
            each
            for each in self._repeated
            if each.due <= end and not each.busy and not each.process.stopped
        ]
        return min(due, key=lambda each: each.due, default=None)


class ProcessClock:
    """The clock as one process sees it: the port of the core."""

    def __init__(self, process: "Process", clock: VirtualClock) -> None:
        self._process = process
        self._clock = clock

    def monotonic(self) -> float:
        """As the port says."""
        return self._clock.now

    def pause(self, seconds: float) -> None:
        """As the port says."""
        self._process.must_live()
        self._clock.advance(seconds)
        self._process.must_live()

    def every(self, seconds: float, act: Callable[[], bool]) -> Repeated:
        """As the port says."""
        return self._clock.repeat(self._process, seconds, act)
