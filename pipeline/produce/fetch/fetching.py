"""Fetches a range of a source's list, or what failed of it, and sends each record to its feed."""

from collections.abc import Awaitable, Callable
from functools import partial

from pipeline.contract import Feed
from pipeline.produce.fetch import client, event_loop, ledger
from pipeline.produce.fetch.fetched import Fetched, Tally
from pipeline.produce.fetch.outbox import Outbox
from pipeline.produce.fetch.pages import Pages
from pipeline.produce.fetch.planning import PageRange
from pipeline.produce.fetch.reach import Reach
from pipeline.produce.fetch.records import Records
from pipeline.produce.fetch.work import Work
from pipeline.source import Source

_RETRY = "retry"  # in the ledger, the name of the range that what failed is made

Tell = Callable[[Fetched], None]


def fetch(
    reach: Reach, source: Source, feed: Feed, page_range: PageRange, *, tell: Tell
) -> Fetched:
    """Lists a range and fetches each of its records that is due; what the ledger has is kept.

    Args:
        reach: Where things are.
        source: What to fetch.
        feed: Where to; the source's.
        page_range: Which part of the list.
        tell: Called after each page and each record with all that was done so far.

    Raises:
        FetchBusy: Another fetcher works on the range.
        FetchError: The API breaks its contract or is not well, or the ledger is not to be trusted.
        QueueError: SQS did not do its work.
        WarehouseError: Postgres did not.
        KeyringError: The keyring cannot be had, or is not the warehouse's.
    """
    key, offsets = page_range.key, range(page_range.first, page_range.end)
    plan = partial(Pages.plan, key=key, offsets=offsets)
    return _run(reach, source, feed, key=key, plan=plan, tell=tell)


def retry_failed(reach: Reach, source: Source, feed: Feed, *, tell: Tell) -> Fetched:
    """Fetches again what failed, and what a run that is gone has left.

    Args and errors: as of `fetch`.
    """
    plan = partial(Pages.plan_failed, key=_RETRY)
    return _run(reach, source, feed, key=_RETRY, plan=plan, tell=tell)


def _run(
    reach: Reach,
    source: Source,
    feed: Feed,
    *,
    key: str,
    plan: Callable[[Pages], Awaitable[None]],
    tell: Tell,
) -> Fetched:
    """Plans and works off what has the name `key` in the ledger."""
    tally = Tally(tell)

    async def run() -> None:
        async with client.opened(reach, source, known.pace()) as api:
            pages = Pages(reach, source, api, known, tally)
            await plan(pages)
            await Work(source, api, known, records, outbox, pages, tally).do(key)

    with ledger.opened(reach, source) as known:
        known.lock(key)
        records = Records(source, feed, reach.settlement_key(feed))
        outbox = Outbox(reach.outside.queue_for_a_run(feed), known, tally)
        try:
            event_loop.run(run())
        except ExceptionGroup as group:
            raise _first(group) from None
    return tally.done


def _first(group: ExceptionGroup) -> Exception:
    """One of the errors that ended a run; they tend to be one error, met several times."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
