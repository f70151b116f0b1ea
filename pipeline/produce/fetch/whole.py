"""Fetches the whole of a source in this process, range by range."""

from collections.abc import Callable
from functools import partial

from pipeline.contract import Feed
from pipeline.produce.fetch.fetched import Fetched
from pipeline.produce.fetch.fetching import fetch
from pipeline.produce.fetch.planning import PageRange, ranges
from pipeline.produce.fetch.reach import Reach
from pipeline.source import Source

TellWhole = Callable[[int, Fetched], None]
"""Is told how far in the list the fetch is, and what it has done."""


def fetch_whole(
    reach: Reach, source: Source, feed: Feed, count: int, *, tell: TellWhole
) -> Fetched:
    """Fetches each range of a list in turn; what the ledger has is not asked for again.

    Args:
        reach: Where things are.
        source: What to fetch.
        feed: Where to; the source's.
        count: How many records the list has.
        tell: Called now and then.

    Raises:
        FetchBusy, FetchError, QueueError, WarehouseError, KeyringError: As from `fetch`. What was
            sent before stays sent.
    """
    whole = Fetched()
    for each in ranges(count, source.range_size):
        whole += fetch(reach, source, feed, each, tell=partial(_tell, tell, each, whole))
    return whole


def _tell(tell: TellWhole, page_range: PageRange, before: Fetched, done: Fetched) -> None:
    settled = done.sent + done.unchanged + done.failed + done.gone
    tell(min(page_range.first + settled, page_range.end), before + done)
