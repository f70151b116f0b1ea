"""Sends an event through the REST service, as anybody outside would."""

import uuid
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

import httpx

from pipeline.errors import SettingsError
from pipeline.messages import Event

API_KEY: Final = "PIPELINE_API_KEY"
"""The environment variable with the key of whoever sends; it is no argument, which others see."""

_TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)


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
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def post(self, feed: str, event: Event) -> Answer:
        """Sends one event; the same event again is the same event to the service too."""
        try:
            response = self._client.post(
                f"/v1/feeds/{feed}/messages",
                content=event.body.encode(errors="surrogatepass"),
                headers={"Content-Type": "application/json", "Event-Id": event.event_id},
            )
        except httpx.TransportError as error:
            return Answer(None, trouble=type(error).__name__)
        return Answer(response.status_code, _message_id(response), _retry_after(response))


def new_event_id(prefix: str) -> str:
    """An event id of the characters that the service takes."""
    return f"{prefix}-{uuid.uuid4()}"


def _message_id(response: httpx.Response) -> str | None:
    try:
        said = response.json() if response.status_code == httpx.codes.ACCEPTED else None
    except ValueError:
        return None
    match said:
        # The second is the answer to a list of one record, which the service takes as a batch.
        case {"message_id": str(found)} | {"items": [{"message_id": str(found)}]}:
            return found
    return None


def _retry_after(response: httpx.Response) -> float:
    named = response.headers.get("Retry-After", "")
    return float(named) if named.isascii() and named.isdigit() else 0.0


def _check(url: str, key: str | None) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and parts.hostname and not parts.username
        httpx.URL(url)
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
