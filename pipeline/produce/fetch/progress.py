"""How far a fetch is: a line every few seconds, and the figures at its end."""

import dataclasses
import time
from collections.abc import Callable

from pipeline.produce.fetch.fetched import Fetched


class Progress:
    """Tells now and then what a fetch has done, and knows how long it has been at it.

    Args:
        tell: Is given a line.
        pause: Seconds between two lines.
    """

    def __init__(self, tell: Callable[[str], None], *, pause: float) -> None:
        self._tell = tell
        self._pause = pause
        self._started = self._told = time.monotonic()

    def __call__(self, done: Fetched) -> None:
        """Tells of it, unless that was done a moment ago."""
        if time.monotonic() - self._told >= self._pause:
            self._told = time.monotonic()
            self._tell(self.line(done))

    def line(self, done: Fetched) -> str:
        """What has been done, in a line."""
        figures = self.figures(done)
        told = ", ".join(
            f"{name} {figures[name]}"
            for name in ("pages", "requested", "sent", "unchanged", "failed")
        )
        return f"{told}; {figures['requests per second']:.1f} requests a second"

    def figures(self, done: Fetched) -> dict[str, float]:
        """What has been done, with the time that it took."""
        seconds = time.monotonic() - self._started
        requests = done.requested + done.pages
        return {
            **dataclasses.asdict(done),
            "seconds": round(seconds, 3),
            "requests per second": round(requests / max(seconds, 1e-9), 3),
        }
