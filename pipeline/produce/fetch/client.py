"""Asks a source's API: at its pace, within bounds, on its own host, as often as makes sense."""

import asyncio
import email.utils
import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import stamina

from pipeline.errors import FetchError
from pipeline.produce.fetch.addresses import PublicTransport, fails_in_tls, on_host
from pipeline.produce.fetch.pace import Pace
from pipeline.produce.fetch.reach import Reach
from pipeline.produce.fetch.reading import read_body, read_document
from pipeline.produce.fetch.trouble import Passing, Refusal, Trouble
from pipeline.source import Source

_REDIRECTS = 3
_LONGEST_ETAG = 512
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_MOVED = {301, 302, 303, 307, 308}
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said.

    Attributes:
        document: The JSON object; None where it is as it was (304).
        etag: The API's tag of it, if it gave one.
        attempts: How often it was asked for.
    """

    document: Mapping[str, object] | None
    etag: str | None
    attempts: int = 1


@asynccontextmanager
async def opened(reach: Reach, source: Source, pace: Pace) -> AsyncIterator["Api"]:
    """The API of a source, for one event loop.

    Args:
        reach: Where it is.
        source: The source.
        pace: Gives each request its moment.
    """
    # They would log the address of each request, and print a line for each that is repeated.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    stamina.instrumentation.set_on_retry_hooks([])
    async with httpx.AsyncClient(
        transport=PublicTransport(reach.private, connections=source.concurrency),
        timeout=httpx.Timeout(source.bounds.read_seconds, connect=source.bounds.connect_seconds),
        headers={
            "user-agent": "sqs-postgres-pipeline",
            "accept": "application/json",
            "accept-encoding": "gzip",
        },
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # takes none
        follow_redirects=False,
        trust_env=False,  # no proxies, no log-ins of ~/.netrc
    ) as client:
        yield Api(client, reach, source, pace)


class Api:
    """A source's API, as `opened` gives it."""

    def __init__(self, client: httpx.AsyncClient, reach: Reach, source: Source, pace: Pace) -> None:
        self._client = client
        self._base = reach.base
        self._source = source
        self._bounds = source.bounds
        self._pace = pace

    async def get(self, path: str, *, etag: str | None, limit: int) -> Answer:
        """The document at a path of the API's host.

        Args:
            path: With its query.
            etag: The tag of what is known already.
            limit: How many bytes there may be.

        Raises:
            Refusal: It could not be had, for its own reasons or past the attempts.
            FetchError: The API is not where it should be, or is not what it should be.
            WarehouseError: The pace could not be kept.
        """
        pauses = self._bounds
        attempts = stamina.retry_context(
            on=Passing,
            attempts=self._source.attempts,
            timeout=None,
            wait_initial=pauses.first_pause_seconds,
            wait_max=pauses.longest_pause_seconds,
            wait_jitter=pauses.first_pause_seconds,
        )
        count = 0
        try:
            async for attempt in attempts:
                with attempt:
                    count = attempt.num
                    answer = await self._attempt(path, etag, limit)
        except Refusal as refusal:
            refusal.attempts = count
            raise
        return replace(answer, attempts=count)

    async def _attempt(self, path: str, etag: str | None, limit: int) -> Answer:
        url = self._base.copy_with(raw_path=path.encode())
        for _ in range(_REDIRECTS + 1):
            await self._pace.turn()
            with self._translated():
                async with (
                    asyncio.timeout(self._bounds.request_seconds),
                    self._asked(url, etag) as response,
                ):
                    if response.status_code not in _MOVED:
                        return await self._read(response, etag, limit)
                    location = response.headers.get("location", "")
            moved = on_host(self._base, url, location)
            if moved is None:
                break
            url = moved
        raise Refusal(Trouble.REDIRECTED)

    @asynccontextmanager
    async def _asked(self, url: httpx.URL, etag: str | None) -> AsyncIterator[httpx.Response]:
        known = _tag(etag)  # a ledger may hold one from before they were looked at
        headers = {} if known is None else {"if-none-match": known}
        async with self._client.stream("GET", url, headers=headers) as response:
            yield response

    async def _read(self, response: httpx.Response, etag: str | None, limit: int) -> Answer:
        status = response.status_code
        tag = _tag(response.headers.get("etag"))
        if status == HTTPStatus.NOT_MODIFIED and etag is not None:
            return Answer(None, tag or etag)
        if status in _PASSING:
            await self._pause(response)
            raise Passing(f"http_{status}")
        if status != HTTPStatus.OK:
            raise Refusal(f"http_{status}")
        body = await read_body(response, limit)
        return Answer(read_document(body, self._bounds.levels), tag)

    async def _pause(self, response: httpx.Response) -> None:
        seconds = retry_after(response.headers)
        if seconds > 0:
            await self._pace.close(min(seconds, self._bounds.longest_pause_seconds))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (TimeoutError, httpx.TimeoutException):
            raise Passing(Trouble.TIMEOUT) from None
        except httpx.ConnectError as error:
            if not fails_in_tls(error):
                raise Passing(Trouble.CONNECT) from None
            raise FetchError(
                f"the API of source {self._source.name!r} is not who it should be: its"
                " certificate does not hold, or it speaks no TLS",
                remedy="Look at the address and the certificate; name a private authority's"
                " file in SSL_CERT_FILE",
                feed=self._source.feed,
            ) from None
        except httpx.TransportError:
            raise Passing(Trouble.CUT_SHORT) from None
        except ValueError:  # httpx reads each Location, and lets errors of idna and ipaddress out
            raise Refusal(Trouble.REDIRECTED) from None


def _tag(given: str | None) -> str | None:
    """A tag that can be sent back as it came; None where there is none."""
    fits = given and len(given) <= _LONGEST_ETAG and given.isascii() and given.isprintable()
    return given if fits else None


def retry_after(headers: httpx.Headers) -> float:
    """The seconds that upstream asks to wait (RFC 9110, section 10.2.3); 0 if it asks for none.

    A date counts from upstream's own clock, if it tells the time.
    """
    asked = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(asked):
        return float(asked)
    until, now = _moment(asked), _moment(headers.get("date", ""))
    if until is None:
        return 0.0
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


def _moment(text: str) -> datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
