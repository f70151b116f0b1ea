"""The processes of a chaos run: each in a group of its own, started again, ended with its group."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STOP_SECONDS: Final = 10.0
_WORKER: Final = "multiprocessing.spawn"


class Process:
    """One process that may be killed and started again; what it prints is kept.

    Args:
        command: The program and its arguments.
        environment: Its whole environment.
        folder: Where it runs.
        said: The file that takes what it prints, of all its lives.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, said: Path
    ) -> None:
        self._command, self._environment, self._folder = list(command), dict(environment), folder
        self._said = said
        self._running: subprocess.Popen[bytes] | None = None
        self.groups: list[int] = []

    def start(self) -> None:
        """Starts it, unless it runs."""
        if self.is_alive():
            return
        with self._said.open("ab") as said:
            self._running = subprocess.Popen(  # noqa: S603 - our own commands
                self._command, env=self._environment, cwd=self._folder, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            )  # fmt: skip
        self.groups.append(self._running.pid)

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._running is not None and self._running.poll() is None

    @property
    def status(self) -> int | None:
        """How it has ended the last time; None while it runs, or before it has."""
        return None if self._running is None else self._running.poll()

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal that it outlives, if it runs."""
        if self._running is not None:
            self._running.send_signal(number)

    def kill(self, number: signal.Signals) -> None:
        """Sends it a signal that is to end it, and waits for that; its children live on."""
        if self._running is None:
            return
        self._running.send_signal(number)
        try:
            self._running.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()

    def end(self) -> None:
        """Ends it for good, and whatever it or an earlier life of it has left behind."""
        self.kill(signal.SIGTERM)
        living = {each.group for each in listed()}
        for group in living.intersection(self.groups):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def workers(self) -> list[int]:
        """The run workers that it or an earlier life of it has started, and that live."""
        return [
            each.pid for each in listed() if each.group in self.groups and _WORKER in each.command
        ]


@dataclass(frozen=True, slots=True)
class Listed:
    """A living process of this machine.

    Attributes:
        pid: Its id.
        group: That of its process group.
        command: Its program and arguments.
    """

    pid: int
    group: int
    command: str


def listed() -> list[Listed]:
    """The living processes of this machine, as `ps` tells of them."""
    return list(_parsed(_ps()))


def _ps() -> str:
    command = ["ps", "-A", "-ww", "-o", "pid=,pgid=,stat=,command="]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - of the system
    return done.stdout


def _parsed(told: str) -> Iterator[Listed]:
    for line in told.splitlines():
        pid, group, state, *command = line.split(None, 3)
        if not state.startswith("Z"):
            yield Listed(int(pid), int(group), command[0] if command else "")
