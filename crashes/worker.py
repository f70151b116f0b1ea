"""Run workers: real processes with the command that launchers start, from a warm fork or cold."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, Self

ROOT: Final = Path(__file__).parent.parent
"""Where `crashes` and `pipeline` are found."""

_PATIENCE: Final = 90.0  # seconds that a worker may take; then it hangs, and is killed


class Workers(Protocol):
    """Starts processes that execute the command `dagster`."""

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], said: Path) -> int:
        """Starts one; its pid.

        Args:
            arguments: Of `dagster`.
            environment: All of it.
            said: The file that takes what it prints.
        """

    def wait(self, pid: int) -> int:
        """Waits until one ends or is stopped; its status, as of `os.waitpid`."""


class WarmWorkers:
    """Forks of one process that has imported everything: a run begins at once.

    Args:
        environment: Of the process itself.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "crashes.warm"],
            cwd=ROOT,
            # One thread only: a fork takes no other along.
            env={**environment, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], said: Path) -> int:
        """As `Workers` says."""
        return self._ask(
            {"start": list(arguments), "environment": dict(environment), "said": str(said)}
        )

    def wait(self, pid: int) -> int:
        """As `Workers` says."""
        return _patiently(pid, lambda: self._ask({"wait": pid}))

    def _ask(self, order: Mapping[str, object]) -> int:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        assert self._process.stdout is not None  # noqa: S101 - as above
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes its input, which ends it
            pass


class ColdWorkers:
    """Processes that begin with nothing, as a launcher starts them."""

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], said: Path) -> int:
        """As `Workers` says."""
        how = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "dagster", *arguments],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 1, str(said), how, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )

    def wait(self, pid: int) -> int:
        """As `Workers` says."""
        return _patiently(pid, lambda: os.waitpid(pid, os.WUNTRACED)[1])


def _patiently(pid: int, wait: Callable[[], int]) -> int:
    """Waits for a process, and kills it where that takes too long."""
    timer = threading.Timer(_PATIENCE, os.kill, (pid, signal.SIGKILL))
    timer.start()
    try:
        return wait()
    finally:
        timer.cancel()
