"""What a fetch has done: the numbers that it tells while it runs, and at its end."""

import operator
from collections.abc import Callable
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch has done so far.

    Attributes:
        pages: Requests for pages of the list, each attempt counted.
        planned: Records that the ledger had not known, or that are tried again.
        requested: Requests for records, each attempt counted.
        unchanged: Records that upstream has as they were sent.
        sent: Records that SQS took.
        failed: Records that failed.
        gone: Records that were sent once, and that upstream has no more.
    """

    pages: int = 0
    planned: int = 0
    requested: int = 0
    unchanged: int = 0
    sent: int = 0
    failed: int = 0
    gone: int = 0

    def __add__(self, more: "Fetched") -> "Fetched":
        """Both together."""
        return Fetched(*map(operator.add, astuple(self), astuple(more)))


class Tally:
    """Counts what is done, and tells of it.

    Args:
        tell: Called after each page and each record with all that was done so far.
    """

    def __init__(self, tell: Callable[[Fetched], None] = lambda _done: None) -> None:
        self.done = Fetched()
        self._tell = tell

    def add(self, more: Fetched) -> None:
        """Counts what has just been done."""
        self.done += more
        self._tell(self.done)
