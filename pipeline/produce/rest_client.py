"""Sends an event through the REST service, as anybody outside would."""

import asyncio
import json
import threading
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import httpx

from pipeline.errors import SettingsError
from pipeline.messages import Event
from pipeline.trace_context import NAME as TRACE

_Result = TypeVar("_Result")

API_KEY: Final = "PIPELINE_API_KEY"
"""The environment variable with the key of whoever sends; it is no argument, which others see."""

_FOR_WHAT_IT_IS: Final = {400, 413, 422}
_CONNECT: Final = 5.0  # seconds
_WHOLE: Final = 30.0  # seconds for a request, from the connection to the last byte of the answer
_LARGEST: Final = 64 * 2**10  # bytes of an answer; the service's own have a few hundred


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said to an event.

    Attributes:
        status: The HTTP status; None where no answer came.
        message_id: SQS's id of an event that was accepted.
        retry_after: Seconds to wait before the next attempt, where the service named some.
        trouble: Why there was no answer: the type of the error.
    """

    status: int | None
    message_id: str | None = None
    retry_after: float = 0.0
    trouble: str = ""

    @property
    def accepted(self) -> bool:
        """Whether SQS has the event."""
        return self.status == httpx.codes.ACCEPTED and self.message_id is not None

    @property
    def refused(self) -> bool:
        """Whether it was turned away for what it is: not for the key, or the address."""
        return self.status in _FOR_WHAT_IT_IS

    @property
    def may_pass(self) -> bool:
        """Whether the same event may be accepted when it is sent again."""
        return self.status is None or self.status == httpx.codes.TOO_MANY_REQUESTS or self.failed

    @property
    def failed(self) -> bool:
        """Whether the service, or a gateway before it, could not do its work."""
        return self.status is not None and httpx.codes.is_server_error(self.status)

    def __str__(self) -> str:
        return f"HTTP {self.status}" if self.status else f"no answer ({self.trouble})"


class RestClient:
    """The REST service as seen from outside; safe for use by several threads.

    Args:
        url: Where the service is, without a path: `https://events.example.org`.
        key: The API key; None where the service asks for none.
        connections: As many as there are threads that send.

    Raises:
        SettingsError: The URL is none, or the key cannot be a header.
    """

    def __init__(self, url: str, key: str | None, *, connections: int = 1) -> None:
        _check(url, key)
        # Redirects are not followed: they would carry events and key to where nobody meant them.
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={**authorization, "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(_WHOLE, connect=_CONNECT),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )
        # httpx bounds each read, so that an answer may drip for ever; a task is bounded as a whole.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def post(self, feed: str, event: Event) -> Answer:
        """Sends one event; the same event again is the same event to the service too."""
        return self._run(self._post(feed, event))

    def _run(self, task: Coroutine[Any, Any, _Result]) -> _Result:
        future = asyncio.run_coroutine_threadsafe(task, self._loop)
        try:
            return future.result()
        except BaseException:  # a signal's, perhaps: nobody waits for it any longer
            future.cancel()
            raise

    async def _post(self, feed: str, event: Event) -> Answer:
        sending = self._client.stream(
            "POST",
            f"/v1/feeds/{feed}/messages",
            content=event.body.encode(errors="surrogatepass"),
            headers={
                "Content-Type": "application/json",
                "Event-Id": event.event_id,
                **({} if event.trace is None else {TRACE: event.trace}),
            },
        )
        try:
            async with asyncio.timeout(_WHOLE), sending as response:
                body = await _read(response)
        # The last is of what httpx reads in a Location: errors of idna and ipaddress get out.
        except (httpx.RequestError, TimeoutError, ValueError) as error:
            return Answer(None, trouble=type(error).__name__)
        accepted = response.status_code == httpx.codes.ACCEPTED
        message_id = _message_id(body) if accepted else None
        return Answer(response.status_code, message_id, _retry_after(response))


def new_event_id(prefix: str) -> str:
    """An event id of the characters that the service takes."""
    return f"{prefix}-{uuid.uuid4()}"


async def _read(response: httpx.Response) -> bytes:
    """The body as it came; of one that is too large, the beginning."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > _LARGEST:
            break
    return bytes(body)


def _message_id(body: bytes) -> str | None:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    match said:
        # The second is the answer to a list of one record, which the service takes as a batch.
        case {"message_id": str(found)} | {"items": [{"message_id": str(found)}]}:
            return found if found.isascii() and found.isprintable() else None
    return None


def _retry_after(response: httpx.Response) -> float:
    named = response.headers.get("Retry-After", "")
    return float(named) if named.isascii() and named.isdigit() else 0.0


def _check(url: str, key: str | None) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and httpx.URL(url).host and not parts.username
    except (ValueError, httpx.InvalidURL):  # their texts repeat it
        sound = False
    if not sound:
        raise SettingsError(
            "the address of the REST service is not a URL",
            remedy="Write it as https://host or http://host:port; a key does not belong into it",
        )
    if key is not None and not (key.isascii() and key.isprintable() and key.strip() == key):
        raise SettingsError(
            "the API key holds characters that no key has",
            remedy="Look for a line break or a blank at its end",
        )
