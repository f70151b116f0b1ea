"""How quickly events were settled, by the ledger's own times."""

from collections.abc import Sequence
from typing import Final

MOST: Final = 0.9
"""The share of the events after which the rate is not taken any more: then some have no work."""


def rate(settled: Sequence[tuple[float, int]]) -> float:
    """Events a second, from the first batch's time until most have been settled; 0 if too few.

    What was settled with the first batch does not count: nobody knows when the work on it began.

    Args:
        settled: Each moment, in seconds and in order, and how many events the ledger has of it.
    """
    wanted = MOST * sum(events for _, events in settled)
    if not settled:
        return 0.0
    first, done = settled[0]
    counted, last = 0, first
    for moment, events in settled[1:]:
        if done >= wanted:
            break
        done, counted, last = done + events, counted + events, moment
    return counted / (last - first) if last > first else 0.0
