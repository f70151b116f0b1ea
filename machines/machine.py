"""One machine: its worker is started, stopped for a while, killed, and listened to."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from chaos.processes import Process
from machines.worker import READY
from pipeline.crash_points import SETTING, CrashPoint

WORKER: Final = (sys.executable, "-m", "machines.worker")
"""What is started on each machine. Another way to run workers is another command here."""

_START_SECONDS: Final = 120.0


class Surroundings(Protocol):
    """What a machine asks of its network; as `Network`."""

    def within(self, machine: int, command: Sequence[str]) -> list[str]:
        """The command that runs another one on a machine."""

    def cut(self, machine: int) -> None:
        """Cuts it off."""

    def mend(self, machine: int) -> None:
        """Lets it back on."""

    def lose(self, machine: int) -> int:
        """Kills every process of it."""


class Machine:
    """A namespace with a worker in it.

    Args:
        number: From 1.
        network: Of which it is a part.
        folder: Where its worker runs.
        said: The folder that takes what it prints.
        worker: The command of its worker.
    """

    def __init__(
        self,
        number: int,
        network: Surroundings,
        folder: Path,
        said: Path,
        worker: Sequence[str] = WORKER,
    ) -> None:
        self.number, self._worker = number, worker
        self._network, self._folder, self._said = network, folder, said
        self._process: Process | None = None
        self._lives = 0

    def start(self, environment: Mapping[str, str], *, stops_at: CrashPoint | None = None) -> None:
        """Starts its worker anew; the one that it had is ended.

        Args:
            environment: All of it.
            stops_at: Where the worker is to stop itself, the first time that it comes there.
        """
        self.end()
        self._lives += 1
        order = {} if stops_at is None else {SETTING: f"{stops_at}:SIGSTOP"}
        command = self._network.within(self.number, self._worker)
        self._process = Process(command, {**environment, **order}, self._folder, self._file)
        self._process.start()

    @property
    def pid(self) -> int:
        """Its worker's process."""
        assert self._process is not None  # noqa: S101 - it has been started
        return self._process.groups[-1]

    def wait_until_ready(self) -> None:
        """Waits until the worker is about to look at the queue, and stops it there."""
        self.wait_until_told(f'"event": "{READY}"')
        self.pause()

    def wait_until_told(self, words: str) -> None:
        """Waits until the worker has printed some words since it was started."""
        self._wait(lambda: words in self._text(), f"say {words}")

    def wait_until_stopped(self, point: CrashPoint) -> None:
        """Waits until the worker has come to where it is to stop itself."""
        told = f"SIGSTOP at {point}"
        self._wait(lambda: told in self._text() and _state(self.pid) == "T", f"come to {point}")

    def pause(self) -> None:
        """Lets the worker stand still; it must hold nothing, or somebody else gets it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets the worker go on."""
        self._signal(signal.SIGCONT)

    def troubles(self) -> list[str]:
        """The codes of what it complained of, in order."""
        return [
            str(line["text"]).partition(":")[0]
            for line in self.lines()
            if line["event"] == "trouble"
        ]

    def lines(self) -> Sequence[Mapping[str, Any]]:
        """What the worker has told since it was started."""
        return list(_told(self._text()))

    def lose(self) -> int:
        """Kills all that runs on it; how many processes."""
        return self._network.lose(self.number)

    def cut(self) -> None:
        """Cuts it off."""
        self._network.cut(self.number)

    def mend(self) -> None:
        """Lets it back on."""
        self._network.mend(self.number)

    def is_alive(self) -> bool:
        """Whether its worker runs."""
        return self._process is not None and self._process.is_alive()

    def end(self) -> None:
        """Ends the worker: it has nothing that redelivery would not bring again."""
        if self._process is not None:
            self._process.kill(signal.SIGKILL)

    @property
    def _file(self) -> Path:
        return self._said / f"machine-{self.number}.{self._lives}"

    def _text(self) -> str:
        return self._file.read_text() if self._file.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send(number)

    def _wait(self, come: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not come():
            if time.monotonic() > deadline or not self.is_alive():
                said = self._text()[-500:]
                raise SystemExit(f"machines: worker {self.number} did not {what}; it said: {said}")
            time.sleep(0.02)


def _told(text: str) -> Iterator[Mapping[str, Any]]:
    """The worker's own lines; others, and one that is not whole yet, are left out."""
    for line in text.splitlines(keepends=True):
        if line.startswith("{") and line.endswith("}\n"):
            yield json.loads(line)


def _state(pid: int) -> str:
    """The first letter of a process's state, as `ps` tells it: T is stopped."""
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - of the system
    return told.stdout[:1]
