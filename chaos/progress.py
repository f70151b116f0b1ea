"""Whether anything is loaded at all: a run in which nothing gets through shows nothing."""

from collections.abc import Callable
from typing import Final

_PATIENCE: Final = 90.0  # seconds without a batch; a run takes a third of it, on a slow machine
_LOOK: Final = 2.0


class Progress:
    """Looks now and then how many batches there are.

    Args:
        count: The batches; None where that cannot be told.
        elapsed: Seconds from the start.
    """

    def __init__(self, count: Callable[[], int | None], elapsed: Callable[[], float]) -> None:
        self._count, self._elapsed = count, elapsed
        self._batches = 0
        self._changed_at = self._looked_at = 0.0

    def starving(self) -> bool:
        """Whether no batch has been loaded for long."""
        now = self._elapsed()
        if now - self._looked_at >= _LOOK:
            self._looked_at = now
            batches = self._count()
            if batches is not None and batches != self._batches:
                self._batches, self._changed_at = batches, now
        return now - self._changed_at > _PATIENCE
