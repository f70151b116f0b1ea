"""Work on many values at once that asks for values of one length."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

_Result = TypeVar("_Result")


def by_length(
    values: Sequence[bytes], work: Callable[[Sequence[bytes]], list[_Result]]
) -> list[_Result]:
    """What the work makes of each value, in the order of the values.

    Args:
        values: Values of any lengths.
        work: Makes one result of each of several values, which are all of one length.
    """
    if len({*map(len, values)}) == 1:  # as most columns are: no need to sort them
        return work(values)
    places = defaultdict[int, list[int]](list)
    for place, value in enumerate(values):
        places[len(value)].append(place)
    results: dict[int, _Result] = {}
    for group in places.values():
        results.update(zip(group, work([values[place] for place in group]), strict=True))
    return [results[place] for place in range(len(values))]
