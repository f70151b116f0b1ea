"""Where records are fetched from: a paged public API, and the feed that they are sent to.

A `Source` is checked when it is built. A wrong one raises `ContractError` before anything runs.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast
from urllib.parse import urlsplit

from pipeline.errors import ContractError

Document = Mapping[str, object]
"""A JSON object as upstream sends it: whatever somebody put there."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_LARGEST_PAUSE = 1_800.0  # seconds: a run that waits longer is better begun again later


def named_url(entry: Document) -> str:
    """The address of a record, from the member `url` of its entry in the list."""
    return cast("str", entry["url"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How long to wait for upstream, and how much to take from it.

    Attributes:
        connect_seconds: For a connection, TLS included.
        read_seconds: Between two pieces of an answer.
        request_seconds: For one request as a whole, from the connection to the last byte.
        first_pause_seconds: Before the second attempt; doubles, with as much jitter.
        longest_pause_seconds: Between two attempts, whatever `Retry-After` says.
        record_bytes: Of one record, after decompression.
        page_bytes: Of one page of the list, after decompression.
        levels: How deep a document may nest.
        records: How many the list may say that there are.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 15.0
    request_seconds: float = 60.0
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 300.0
    record_bytes: int = 4 * 2**20
    page_bytes: int = 4 * 2**20
    levels: int = 60
    records: int = 1_000_000

    def problems(self) -> Iterator[str]:
        """Each broken rule."""
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                yield f"bounds.{name} must be positive"
        if self.longest_pause_seconds > _LARGEST_PAUSE:
            yield f"bounds.longest_pause_seconds must be at most {_LARGEST_PAUSE:.0f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A paged API: `{count, next, previous, results}`, with `limit` and `offset`.

    Attributes:
        name: The source's name; jobs and partitions are named after it.
        description: One or two sentences for the people who run it.
        feed: The name of the feed that the records are sent to.
        base: The API's address. Nothing else than its scheme, host and port is ever asked.
        list_path: Where the list is, relative to `base`.
        transform: Makes the feed's record of an upstream record; pure. What it raises fails the
            record, and so does a result that breaks the feed's contract.
        locate: Finds the address of a record in its entry of the list, relative or absolute.
        page_size: Entries of a page.
        range_size: Entries of a range, which is what one run fetches.
        overlap: Entries before its range that a run lists as well: so many may be deleted while
            others page.
        concurrency: Requests under way at a time, of one run.
        requests_per_second: Of all runs on all machines together.
        attempts: Requests for one record before it counts as failed.
        fresh_for: How long a record is not asked for again once it was.
        bounds: How long to wait, how much to take.
    """

    name: str
    description: str
    feed: str
    base: str
    list_path: str
    transform: Callable[[Document], Mapping[str, object]]
    locate: Callable[[Document], str] = named_url
    page_size: int = 100
    range_size: int = 200
    overlap: int = 20
    concurrency: int = 4
    requests_per_second: float = 5.0
    attempts: int = 5
    fresh_for: timedelta = timedelta(days=1)
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        for rule in self._problems():
            raise ContractError(
                "the source does not hold together",
                remedy="Correct its file under pipeline/sources/",
                feed=self.feed,
                field=self.name,
                rule=rule,
            )

    def _problems(self) -> Iterator[str]:
        if not _NAME.fullmatch(self.name):
            yield "name: lower-case letters, digits and _, at most 40"
        base = urlsplit(self.base)
        if base.scheme != "https" or not base.hostname or "@" in base.netloc:
            yield "base: https://host/path/, without a log-in"
        if not self.base.endswith("/"):
            yield "base: with a / at the end"
        if urlsplit(self.list_path).netloc or self.list_path.startswith("/"):
            yield "list_path: relative to the base"
        for name in ("page_size", "range_size", "concurrency", "requests_per_second", "attempts"):
            if getattr(self, name) <= 0:
                yield f"{name}: positive"
        if self.overlap < 0 or self.fresh_for < timedelta():
            yield "overlap, fresh_for: not negative"
        yield from self.bounds.problems()
