"""The warehouse of a chaos run: a real Postgres that is killed and comes back."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pipeline.local.postgres import EmbeddedPostgres

_GONE_SECONDS: Final = 10.0


class Warehouse:
    """A Postgres in a folder of its own.

    Args:
        folder: For all that the server has.
        said: Takes what the server has logged, of all its lives.
    """

    def __init__(self, folder: Path, said: Path) -> None:
        self._postgres = EmbeddedPostgres(folder)
        self._folder, self._said = folder, said
        self._lock = threading.Lock()
        self.url = ""

    def start(self) -> None:
        """Starts it, or starts it again; it may come back on another port."""
        with self._lock:
            self._keep_log()
            self.url = self._postgres.start()

    def address(self) -> tuple[str, int]:
        """Where the server listens now."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def kill(self) -> None:
        """Kills the postmaster with SIGKILL; its children notice and end."""
        with self._lock:
            pid_file = self._folder / "postgres" / "data" / "postmaster.pid"
            os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
            deadline = time.monotonic() + _GONE_SECONDS
            while self._postgres.is_alive() and time.monotonic() < deadline:
                time.sleep(0.01)

    def is_alive(self) -> bool:
        """Whether the server runs."""
        return self._postgres.is_alive()

    def stop(self) -> None:
        """Shuts it down in good order."""
        with self._lock:
            self._postgres.stop()
            self._keep_log()

    def keep_log(self) -> None:
        """Takes over what the server has logged by now."""
        with self._lock:
            self._keep_log()

    def _keep_log(self) -> None:
        """Before the server's own start cuts a log that has grown."""
        log = self._folder / "postgres.log"
        if log.exists():
            with self._said.open("ab") as said:
                said.write(log.read_bytes())
            os.truncate(log, 0)
