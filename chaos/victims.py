"""Chooses the run workers that are hit: each at most once, and not all of them."""

from collections.abc import Callable
from typing import Final

# Of so many workers that follow each other one is let alone: the sensor waits the longer, the
# more runs have failed in a row, and an hour in which it only waits shows nothing.
_ONE_OF: Final = 3


class Victims:
    """The workers that have been seen, and what is to become of them.

    Args:
        workers: Tells which live now.
    """

    def __init__(self, workers: Callable[[], list[int]]) -> None:
        self._workers = workers
        self._seen: dict[int, int] = {}
        self._taken: set[int] = set()

    def take(self, chance: float) -> int | None:
        """A living worker that nothing has been aimed at yet, or None.

        Args:
            chance: Between 0 and 1: which, if there are several.
        """
        living = self._workers()
        for pid in living:
            self._seen.setdefault(pid, len(self._seen))
        free = [pid for pid in living if (self._seen[pid] + 1) % _ONE_OF and pid not in self._taken]
        if not free:
            return None
        chosen = free[int(chance * len(free))]
        self._taken.add(chosen)
        return chosen

    def lives(self, pid: int) -> bool:
        """Whether it still does; another process may have its id by now."""
        return pid in self._workers()
