"""What people do in the middle of the trouble: the commands of redrive and retention."""

import functools
import signal
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import Final

from chaos.feed import FEED
from chaos.outages import Mend
from chaos.processes import Process

_WHY: Final = ("--reason", "A rehearsal of chaos", "--by", "chaos")


class Errand(Enum):
    """A command of `pipeline`."""

    REDRIVE_QUARANTINE = ("quarantine", "redrive", FEED, "--all", "--rate", "200", *_WHY)
    REDRIVE_LETTERS = ("dead-letters", "redrive", FEED, "--rate", "100", *_WHY)
    RETENTION = ("retention",)


class Errands:
    """Runs errands, one of a kind at a time.

    Attributes:
        ended: How they ended, by command and status.

    Args:
        pipeline: The command.
        environment: Its environment.
        folder: Where it runs.
        said: The folder for what it prints.
    """

    def __init__(
        self, pipeline: Path, environment: dict[str, str], folder: Path, said: Path
    ) -> None:
        self._processes = {
            errand: Process(
                [str(pipeline), *errand.value], environment, folder, said / errand.name.lower()
            )
            for errand in Errand
        }
        self._unread: set[Errand] = set()
        self.ended: Counter[str] = Counter()

    def run(self, errand: Errand) -> Mend | None:
        """Starts an errand; what kills it, or None if the one before is at it still."""
        process = self._processes[errand]
        if process.is_alive():
            return None
        self.count()
        process.start()
        self._unread.add(errand)
        return functools.partial(process.kill, signal.SIGKILL)

    def count(self) -> None:
        """Counts what has ended."""
        for errand in list(self._unread):
            status = self._processes[errand].status
            if status is not None:
                how = "done" if status == 0 else "failed" if status > 0 else "killed"
                self.ended[f"{' '.join(errand.value[:2])}: {how}"] += 1
                self._unread.discard(errand)

    def end(self) -> None:
        """Ends them all."""
        for process in self._processes.values():
            process.end()
