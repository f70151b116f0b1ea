"""Counts a source's list and cuts it into ranges: each is a partition, which one run fetches."""

import re
from dataclasses import dataclass
from typing import Self

from pipeline.errors import FetchError
from pipeline.produce.fetch import event_loop, ledger
from pipeline.produce.fetch.fetched import Tally
from pipeline.produce.fetch.reach import Reach
from pipeline.source import Source

_KEY = re.compile(r"([0-9]{7,9})-([0-9]{7,9})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class PageRange:
    """A range of a list, whether there are as many entries yet or not.

    Attributes:
        first: The offset of its first entry.
        end: The offset after its last.
    """

    first: int
    end: int

    @property
    def key(self) -> str:
        """The name of its partition; names stand in the order of their ranges."""
        return f"{self.first:07}-{self.end:07}"

    @classmethod
    def parse(cls, key: str) -> Self:
        """The range of a partition's name.

        Raises:
            FetchError: It is no name of a range.
        """
        found = _KEY.fullmatch(key)
        if found is None or int(found[1]) >= int(found[2]):
            raise FetchError(
                "a partition's name is no range of pages",
                remedy="Choose one that the plan made, such as 0000000-0000200",
            )
        return cls(int(found[1]), int(found[2]))


def ranges(count: int, size: int) -> list[PageRange]:
    """The ranges that hold so many entries.

    Each is as long as the others, so that a list that grows changes no range: it fills the last
    one up, and then adds one.
    """
    return [PageRange(first, first + size) for first in range(0, count, size)]


def count(reach: Reach, source: Source) -> int:
    """How many entries a source's list says that it has; one request.

    Raises:
        FetchError: The API breaks its contract, its list is empty although the ledger knows
            records of it, or the ledger is not to be trusted.
        WarehouseError: Postgres did not do its work.
    """
    # Late, for httpx: see pipeline.produce.fetch.reach.
    from pipeline.produce.fetch import client  # noqa: PLC0415
    from pipeline.produce.fetch.pages import Pages  # noqa: PLC0415

    async def ask() -> int:
        async with client.opened(reach, source, known.pace()) as api:
            return await Pages(reach, source, api, known, Tally()).count()

    with ledger.opened(reach, source) as known:
        return event_loop.run(ask())
