"""Quantiles of what was measured: the value that a share of all did not exceed."""

import math
from collections.abc import Sequence
from typing import Final

SHARES: Final = tuple(place / 100 for place in range(101))
"""The shares that a curve is drawn from."""


def quantile(ordered: Sequence[float], share: float) -> float:
    """The least value that a share of all, such as 0.99, did not exceed; one that was measured.

    Args:
        ordered: What was measured, the least first; at least one.
        share: From 0, the least, to 1, the most.
    """
    # A share such as 0.07 is a little more in binary: of 100 values it is the seventh all the same.
    return ordered[max(0, math.ceil(round(share * len(ordered), 9)) - 1)]


def mean_gap(moments: Sequence[float]) -> float:
    """The mean of the seconds from one moment to the next; 0 where there are not two."""
    return (moments[-1] - moments[0]) / max(len(moments) - 1, 1) if moments else 0.0
