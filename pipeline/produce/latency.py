"""A histogram of latencies that takes no more room after a day than after a minute."""

import math
from collections import Counter
from typing import Final

_FINEST: Final = 1e-5  # seconds: below it nothing is told apart
_STEP: Final = math.log(1.02)  # each bucket is 2 % wider than the one before: so exact is a figure


class Latencies:
    """Latencies in seconds, in buckets that grow by 2 %."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._largest = 0.0

    def add(self, seconds: float) -> None:
        """Counts one."""
        self._buckets[max(0, math.ceil(math.log(max(seconds, _FINEST) / _FINEST) / _STEP))] += 1
        self._largest = max(self._largest, seconds)

    def quantile(self, share: float) -> float:
        """What a share of them, such as 0.99, did not exceed: in seconds, 0 where there is none."""
        wanted = math.ceil(share * self._buckets.total())
        for bucket in sorted(self._buckets):
            wanted -= self._buckets[bucket]
            if wanted <= 0:
                return min(_FINEST * math.exp(bucket * _STEP), self._largest)
        return 0.0

    def told(self) -> dict[str, float]:
        """The figures that one asks for, in milliseconds."""
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
        return {name: round(1_000 * self.quantile(share), 2) for name, share in shares.items()}
