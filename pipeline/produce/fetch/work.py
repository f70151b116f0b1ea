"""Asks for the records that are due, several at a time, and says in the ledger what came of it."""

import asyncio
from collections import deque

from pipeline.produce.fetch.client import Answer, Api
from pipeline.produce.fetch.entries import Item
from pipeline.produce.fetch.fetched import Fetched, Tally
from pipeline.produce.fetch.ledger import Ledger
from pipeline.produce.fetch.outbox import Outbox
from pipeline.produce.fetch.pages import Pages
from pipeline.produce.fetch.records import Records
from pipeline.produce.fetch.trouble import Passing, Refusal
from pipeline.source import Source

_AHEAD = 100  # records that are read from the ledger at a time
_MANY = 10  # failures and nothing else: time to look at the API
_NOT_THERE = {"http_404", "http_410"}


class Work:
    """The records of one range; for one event loop.

    Args:
        source: The source.
        api: Its API.
        ledger: Knows which records are due.
        records: Makes events of them.
        outbox: Sends the events.
        pages: The list, which tells whether the API is well.
        tally: Counts what is done.
    """

    def __init__(  # noqa: PLR0917 - the parts of a run, put together in one place
        self,
        source: Source,
        api: Api,
        ledger: Ledger,
        records: Records,
        outbox: Outbox,
        pages: Pages,
        tally: Tally,
    ) -> None:
        self._source = source
        self._api = api
        self._ledger = ledger
        self._records = records
        self._outbox = outbox
        self._pages = pages
        self._tally = tally
        self._key = ""
        self._due: deque[Item] = deque()
        self._last = ""
        self._looking = asyncio.Lock()
        # Failed for what may pass, and nothing was had since: of the records, or of the API?
        self._doubtful: list[tuple[Item, Refusal]] = []

    async def do(self, key: str) -> None:
        """Works off what is due of a range.

        Raises:
            FetchError: The API is not where it should be, or is not well.
            QueueError: SQS did not take it all.
            WarehouseError: Postgres did not do its work.
        """
        self._key = key
        async with asyncio.TaskGroup() as group:
            for _ in range(self._source.concurrency):
                group.create_task(self._work())
        await self._outbox.send()
        if self._doubtful:
            await self._look_at_the_api()

    async def _work(self) -> None:
        while (item := await self._next()) is not None:
            limit = self._source.bounds.record_bytes
            try:
                answer = await self._api.get(item.path, etag=item.etag, limit=limit)
            except Refusal as refusal:
                await self._refused(item, refusal)
            else:
                await self._fail_doubtful()
                await self._answered(item, answer)

    async def _next(self) -> Item | None:
        async with self._looking:
            if not self._due:
                found = await asyncio.to_thread(
                    self._ledger.due, self._key, after=self._last, limit=_AHEAD
                )
                self._due.extend(found)
            if not self._due:
                return None
            item = self._due.popleft()
            self._last = item.path
            return item

    async def _answered(self, item: Item, answer: Answer) -> None:
        self._tally.add(Fetched(requested=answer.attempts))
        document, etag = answer.document, answer.etag
        try:
            record = None if document is None else self._records.make(item, document, etag)
        except Refusal as refusal:
            refusal.attempts = answer.attempts
            await self._fail(item, refusal)
            return
        if record is None:
            await asyncio.to_thread(self._ledger.mark_unchanged, item.path, answer.attempts, etag)
            self._tally.add(Fetched(unchanged=1))
        else:
            await asyncio.to_thread(self._ledger.mark_fetched, item.path, answer.attempts)
            await self._outbox.add(record)

    async def _refused(self, item: Item, refusal: Refusal) -> None:
        self._tally.add(Fetched(requested=refusal.attempts))
        if isinstance(refusal, Passing):
            self._doubtful.append((item, refusal))
            if len(self._doubtful) >= _MANY:
                await self._look_at_the_api()
        elif item.versions and refusal.code in _NOT_THERE:
            await asyncio.to_thread(self._ledger.mark_gone, item.path, refusal.attempts)
            self._tally.add(Fetched(gone=1))
        else:
            await self._fail(item, refusal)

    async def _look_at_the_api(self) -> None:
        """Asks for a page of the list: where that cannot be had either, the run ends.

        What failed meanwhile stays planned then: it was not the records' fault.
        """
        await self._pages.count()
        await self._fail_doubtful()

    async def _fail_doubtful(self) -> None:
        doubtful, self._doubtful = self._doubtful, []
        for item, refusal in doubtful:
            await self._fail(item, refusal)

    async def _fail(self, item: Item, refusal: Refusal) -> None:
        await asyncio.to_thread(self._ledger.mark_failed, item.path, refusal.code, refusal.attempts)
        self._tally.add(Fetched(failed=1))
