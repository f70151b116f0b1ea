"""Whether the queues can be reached: asked at most once a second, and answered soon."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from pipeline.contract import Feed
from pipeline.errors import PipelineError

_KEPT_SECONDS: Final = 1.0
_MOST_SECONDS: Final = 3.0


class Readiness:
    """Looks at each feed's queue.

    Args:
        feeds: The feeds.
        look: Raises a `PipelineError` where a feed's queue cannot be reached.
    """

    def __init__(self, feeds: Sequence[Feed], look: Callable[[Feed], object]) -> None:
        self._feeds = feeds
        self._look = look
        self._found: dict[str, str] = {}
        self._found_at = -_KEPT_SECONDS
        self._looking = asyncio.Lock()

    async def look(self) -> dict[str, str]:
        """For each feed `ok`, or the code of what is the matter."""
        async with self._looking:
            if time.monotonic() - self._found_at >= _KEPT_SECONDS:
                found = await asyncio.gather(*(self._one(feed) for feed in self._feeds))
                names = (feed.name for feed in self._feeds)
                self._found = dict(zip(names, found, strict=True))
                self._found_at = time.monotonic()
            return self._found

    async def _one(self, feed: Feed) -> str:
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                await asyncio.to_thread(self._look, feed)
        except PipelineError as error:
            return error.code
        except TimeoutError:
            return "E_QUEUE_UNREACHABLE"
        return "ok"
