"""Runs the real Redis: a child of the tests, on a loopback port, with only its log on disk."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from pipeline_tests.samples import eventually
from pipeline_tests.world import free_port

SECRET: Final = "a-password-of-the-tests"  # noqa: S105 - of a server that lives for seconds


class Redis:
    """A running Redis.

    Args:
        port: Its port on 127.0.0.1.
        folder: For its log.
    """

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Starts it, at the same port as before."""
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", SECRET]
        nothing = ["--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        log = ["--logfile", str(self._folder / "redis.log")]
        self._process = subprocess.Popen(["redis-server", *words, *nothing, *log])
        eventually(self._answers)

    def stop(self) -> None:
        """Ends it, with all that it knew."""
        self._process.terminate()
        self._process.wait()

    def _answers(self) -> bool:
        with closing(socket.socket()) as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def started(folder: Path) -> Iterator[Redis]:
    """A Redis for the block."""
    redis = Redis(free_port(), folder)
    try:
        yield redis
    finally:
        redis.stop()
