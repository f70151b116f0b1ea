"""What a retention keeps to while it deletes: small portions, pauses, and a time to end."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.errors import PipelineError

Tell = Callable[[str], None]

_LONGEST_PAUSE: Final = 1.0  # seconds
_SILENCE: Final = 10.0  # seconds between two lines: Dagster keeps each


@dataclass(frozen=True, slots=True)
class Pruned:
    """What has gone.

    Attributes:
        what: Of what.
        gone: How many.
        finished: Whether that was all there was; the next time goes on where this one ended.
        trouble: What could not be deleted beside it; nothing where all could.
        error: What ended it; it kept nothing else from its turn.
    """

    what: str
    gone: int
    finished: bool
    trouble: str = ""
    error: PipelineError | None = None

    def __str__(self) -> str:
        more = "" if self.finished else f", {self.error or 'and more are left'}"
        return f"{self.what}: {self.gone} deleted{more}{self.trouble and f'; {self.trouble}'}"


def prune(what: str, portions: Iterator[int], *, until: float, tell: Tell) -> Pruned:
    """Deletes portion by portion, at rest for as long as each took: others want the disk too.

    Args:
        what: Of what.
        portions: Deletes a portion at each step, and gives how many were in it.
        until: The moment of the monotonic clock after which no portion begins.
        tell: Gets a line now and then.
    """
    gone, never, told = 0, threading.Event(), time.monotonic()
    while (began := time.monotonic()) < until:
        deleted = next(portions, None)
        if deleted is None:
            return Pruned(what, gone, finished=True)
        gone += deleted
        if time.monotonic() - told > _SILENCE:
            told = time.monotonic()
            tell(f"{what}: {gone} deleted so far")
        never.wait(min(time.monotonic() - began, _LONGEST_PAUSE))
    return Pruned(what, gone, finished=False)
