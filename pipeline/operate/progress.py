"""Lines of progress, now and then: Dagster keeps each."""

import math
import time
from collections.abc import Callable
from typing import Final

_PAUSE: Final = 10.0  # seconds between two lines


def seldom(tell: Callable[[str], None]) -> Callable[[str], None]:
    """The same, but it tells the first line, and then one at most every ten seconds."""
    told = -math.inf

    def now_and_then(line: str) -> None:
        nonlocal told
        if time.monotonic() - told >= _PAUSE:
            told = time.monotonic()
            tell(line)

    return now_and_then
