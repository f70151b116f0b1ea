"""What processes take of the machine, read from outside: Linux tells of each under /proc.

Elsewhere nothing is found, and every figure is 0.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_PROC: Final = Path("/proc")
_LOOK_SECONDS: Final = 0.1
_PEAK: Final = "VmHWM:"


@dataclass(frozen=True, slots=True)
class Seen:
    """A process, as one look saw it.

    Attributes:
        pid: Its id.
        session: That of its session: a warm worker's children have process groups of their own.
        cpu_seconds: Of a core, its own and those of its children that have ended.
    """

    pid: int
    session: int
    cpu_seconds: float


def seen() -> Iterator[Seen]:
    """The processes of this machine, those included that have ended and are not yet fetched."""
    for each in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            yield parse(each.read_text())


def parse(stat: str) -> Seen:
    """One process from its `stat`, proc(5): fields 1, 6, and 14 to 17."""
    name_ends = stat.rindex(")")  # a name may hold anything
    fields = stat[name_ends + 2 :].split()  # from field 3 on
    ticks = sum(int(field) for field in fields[11:15])
    return Seen(int(stat.split(" ", 1)[0]), int(fields[3]), ticks / os.sysconf("SC_CLK_TCK"))


def cpu_seconds(sessions: Collection[int]) -> float:
    """Of a core, that the processes of some sessions have taken so far."""
    return sum(each.cpu_seconds for each in seen() if each.session in sessions)


def peak_mib(pid: int) -> float:
    """The most memory that a process has had so far; 0 once it has ended."""
    with contextlib.suppress(OSError):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith(_PEAK):
                return int(line.split()[1]) / 1024
    return 0.0


class PeakWatch:
    """Watches the memory of processes that come and go.

    What one takes in its last tenth of a second may be missed.

    Args:
        pids: Tells which there are now.

    Attributes:
        peaks: The most that each has had, by its id.
    """

    def __init__(self, pids: Callable[[], Collection[int]]) -> None:
        self._pids = pids
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peaks: dict[int, float] = {}

    @property
    def most(self) -> float:
        """The most that any of them has had, in MiB."""
        return max(self.peaks.values(), default=0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            for pid in self._pids():
                self.peaks[pid] = max(self.peaks.get(pid, 0.0), peak_mib(pid))
