"""How much a sender may send a second: a token bucket for each, in memory."""

import time
from collections.abc import Callable
from typing import Final

from pipeline.produce.rest.senders import Sender

BURST_SECONDS: Final = 10.0
"""How many seconds' worth of records a sender that was quiet may send at once."""

_TOLERANCE: Final = 1e-6  # seconds: more than floats lose, less than anybody waits
_MANY: Final = 10_000  # senders


class Rates:
    """The buckets, each kept as the one moment at which it will be full again.

    A full bucket is the same as none, and is forgotten. The buckets are this process's own:
    behind two processes a sender may send twice as much.

    Args:
        burst_seconds: See `BURST_SECONDS`.
        clock: Seconds that never go back.
    """

    def __init__(
        self, burst_seconds: float = BURST_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst_seconds = burst_seconds
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._prune_at = _MANY

    def take(self, sender: Sender, count: int, *, taken: int = 0) -> float:
        """Takes a request's records out of the sender's bucket, if it holds enough.

        A request larger than the bucket passes when the bucket is full, and leaves a debt.

        Args:
            sender: Whose bucket.
            count: Records in the request, at least one.
            taken: Further records of the same request, which were taken before: they do not stand
                in the way of the rest.

        Returns:
            0.0 to go on; else the seconds after which the same request would pass, and then
            nothing was taken.
        """
        now = self._clock()
        full_at = max(self._full_at.get(sender.name, now), now)
        filling = count / sender.per_second  # seconds in which as much flows in
        before = taken / sender.per_second
        wait = full_at - now - max(self._burst_seconds - filling - before, 0.0)
        if wait > before + _TOLERANCE:
            return wait
        self._full_at[sender.name] = full_at + filling
        self._forget_full(now)
        return 0.0

    def _forget_full(self, now: float) -> None:
        if len(self._full_at) > self._prune_at:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
            self._prune_at = max(_MANY, 2 * len(self._full_at))
