"""How busy the cores were, and with what: as Linux counts it, in proc(5)."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_IDLE: Final = slice(3, 5)  # of the numbers behind `cpu`: idle, and idle while a disk works
_ALL: Final = slice(0, 8)  # what follows is counted in the first two already


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds of a core that were worked, up to some moment or between two.

    Attributes:
        clock: Seconds that went by.
        busy: Of all cores together, by whomever.
        parts: Of the campaign's own processes, by what they are.
    """

    clock: float
    busy: float
    parts: Mapping[str, float]

    def since(self, before: "Work") -> "Work":
        """What came after an earlier moment."""
        parts = {name: max(0.0, spent - before.parts.get(name, 0.0))
                 for name, spent in self.parts.items()}  # fmt: skip
        return Work(self.clock - before.clock, self.busy - before.busy, parts)

    def cores(self, part: str) -> float:
        """How many cores a part had, on average."""
        return self.parts[part] / self.clock

    @property
    def others(self) -> float:
        """How many cores were busy with what is not the campaign's, the kernel's own work too."""
        return max(0.0, self.busy - sum(self.parts.values())) / self.clock


def look(pids: Mapping[str, list[int]]) -> Work:
    """What has been worked so far.

    Args:
        pids: The processes of each part; their children count as they do.
    """
    numbers = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    busy = (sum(numbers[_ALL]) - sum(numbers[_IDLE])) / _TICKS
    parts = {name: sum(map(_spent, each)) for name, each in pids.items()}
    return Work(time.monotonic(), busy, parts)


def _spent(pid: int) -> float:
    """Seconds of a process and its children, of those too that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        told = [each.read_text().split() for each in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return 0.0
    # Fields 14 to 17: utime and stime, its own and those of children that were waited for.
    own = sum(map(int, fields[11:15])) / _TICKS
    return own + sum(_spent(int(child)) for children in told for child in children)
