"""Walks the pages of a range of the list, until nothing moves, and plans the records they name.

Entries that are deleted or inserted while somebody pages shift the others from page to page. So
a range begins some entries early, and its walk is repeated for as long as a page is not what it
was in the walk before (three times at most): with tags, that costs an empty answer a page.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn
from urllib.parse import urlencode

from pipeline.errors import FetchError
from pipeline.produce.fetch.addresses import on_host
from pipeline.produce.fetch.client import Api
from pipeline.produce.fetch.entries import Page
from pipeline.produce.fetch.fetched import Fetched, Tally
from pipeline.produce.fetch.ledger import Ledger
from pipeline.produce.fetch.reach import Reach
from pipeline.produce.fetch.trouble import Refusal
from pipeline.source import Source

_WALKS = 3


class Pages:
    """The list of a source.

    Args:
        reach: Where the API is.
        source: The source.
        api: Its API.
        ledger: Remembers pages and records.
        tally: Counts what is done.
    """

    def __init__(
        self, reach: Reach, source: Source, api: Api, ledger: Ledger, tally: Tally
    ) -> None:
        self._base = reach.base
        self._source = source
        self._api = api
        self._ledger = ledger
        self._tally = tally

    async def count(self) -> int:
        """How many entries the list says that it has.

        Raises:
            FetchError: The list breaks its contract, or is empty all of a sudden.
        """
        page, _ = await self._ask(self._path(0))
        if page.count == 0 and (await asyncio.to_thread(self._ledger.counts)).there:
            self._refuse("the list says that it is empty, and the ledger knows its records")
        return page.count

    async def plan(self, *, key: str, offsets: range) -> None:
        """Plans every record that a range of the list names.

        Args:
            key: The name of the range in the ledger.
            offsets: Those of its entries.

        Raises:
            FetchError: The list breaks its contract, or cannot be had.
        """
        for _ in range(_WALKS):
            if not await self._walk(key, offsets):
                return

    async def plan_failed(self, *, key: str) -> None:
        """Plans what failed, and what a run that is gone has left."""
        planned = await asyncio.to_thread(self._ledger.plan_failed, key)
        self._tally.add(Fetched(planned=planned))

    async def _walk(self, key: str, offsets: range) -> bool:
        """Plans what the pages of a range name; whether one is not as it was."""
        place = max(0, offsets.start - self._source.overlap)
        path: str | None = self._path(place)
        seen: set[str] = set()
        moved = False
        while path is not None:
            if path in seen:
                self._refuse("the next page of the list is one that was seen already")
            seen.add(path)
            page, is_new = await self._ask(path)
            if not page.items and page.count > place:
                self._refuse("a page of the list is empty, and not behind its end")
            if page.items and place >= offsets.stop:
                self._refuse("the list has more entries than it counts")
            planned = await asyncio.to_thread(self._ledger.plan, key, page.items)
            self._tally.add(Fetched(planned=planned))
            moved |= is_new
            place += len(page.items)
            # Where the count says that this was all, no other range would meet what comes next.
            is_enough = place >= offsets.stop and page.count > place
            path = None if is_enough or not page.items else page.next
        return moved

    def _path(self, offset: int) -> str:
        query = urlencode({"limit": self._source.page_size, "offset": offset})
        url = self._base.join(self._source.list_path)
        return f"{url.raw_path.decode()}?{query}"

    async def _ask(self, path: str) -> tuple[Page, bool]:
        """A page, and whether it is not as it was when it was last asked for."""
        known = await asyncio.to_thread(self._ledger.find_page, path)
        try:
            answer = await self._api.get(
                path,
                etag=known.etag if known else None,
                limit=self._source.bounds.page_bytes,
            )
        except Refusal as refusal:
            self._tally.add(Fetched(pages=refusal.attempts))
            self._refuse(f"a page of the list cannot be had ({refusal.code})")
        self._tally.add(Fetched(pages=answer.attempts))
        if answer.document is None and known is not None:
            return known, False
        page = replace(self._read(path, answer.document or {}), etag=answer.etag)
        await asyncio.to_thread(self._ledger.keep_page, path, page)
        return page, page != known

    def _read(self, path: str, document: Mapping[str, object]) -> Page:
        count, following = document.get("count"), document.get("next")
        entries = document.get("results")
        if type(count) is not int or not 0 <= count <= self._source.bounds.records:
            self._refuse("the list's count is none, or beyond its bound")
        if not isinstance(entries, list) or len(entries) > self._source.page_size:
            self._refuse("a page of the list has no results, or more than were asked for")
        if len(entries) > count:
            self._refuse("the list has more entries than it counts")
        items = tuple(self._locate(path, entry) for entry in entries)
        if following is None:
            return Page(count, None, items)
        return Page(count, self._on_host(path, following), items)

    def _locate(self, path: str, entry: object) -> str:
        try:
            address = self._source.locate(entry)  # type: ignore[arg-type] # it may be anything
        except Exception:  # noqa: BLE001 - the source's own code, on whatever upstream sent
            self._refuse("an entry of the list does not say where its record is")
        return self._on_host(path, address)

    def _on_host(self, path: str, address: object) -> str:
        at = self._base.copy_with(raw_path=path.encode())
        found = on_host(self._base, at, address) if isinstance(address, str) else None
        if found is None:
            self._refuse("the list leads to an address that is not on the API's host")
        return found.raw_path.decode()

    def _refuse(self, what: str) -> NoReturn:
        raise FetchError(
            f"{what} (source {self._source.name!r})",
            remedy="Nothing is lost: what was sent is in the ledger. Look at the API's list",
            feed=self._source.feed,
        ) from None
