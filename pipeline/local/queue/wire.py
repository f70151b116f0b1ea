"""A call as it travels: who may make one, what it says, how it is answered or cut off.

Signatures are not checked: whoever reaches the port may use the queues. Therefore it answers on
loopback names only, and refuses whatever a web page could make a browser send: a request with an
Origin, or without the `x-amz-target` header, which no page may set on another site unasked.
"""

import functools
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.operation import Answer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SQS: Final = "AmazonSQS"
CONTROL: Final = "QueueControl"
CUT: Final = "pipeline.cut"
"""The ASGI extension by which an application cuts its connection."""

_MAX_BODY: Final = 8 * 1_048_576
"""Bytes: a batch of 1 MiB in which JSON escapes every character, with room to spare."""

_OURS: Final = 500
"""From this status on, an error is the service's and not its client's."""


class Address(NamedTuple):
    """The host that a request came to, the service that it means, and the operation."""

    host: str
    service: str
    operation: str


class HttpError(Exception):
    """A request that never reaches an operation."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


class Reply:
    """A reply's status, headers and body."""

    def __init__(self, status: int, content: Answer, *headers: tuple[bytes, bytes]) -> None:
        self._status = status
        self._headers = headers
        self._body = msgspec.json.encode(content)

    @classmethod
    def refused(cls, error: SqsError) -> "Reply":
        """The shape in which SQS refuses; the header carries the code of the older protocol."""
        content: Answer = {"__type": f"com.amazonaws.sqs#{error.code}", "message": error.message}
        fault = "Sender" if error.status < _OURS else "Receiver"
        header = (b"x-amzn-query-error", f"{error.query_code};{fault}".encode())
        return cls(error.status, content, header)

    async def send(self, send: Send, *, serial: int) -> None:
        """Answer the request of a serial number."""
        headers = [
            (b"content-type", b"application/x-amz-json-1.0"),
            (b"content-length", str(len(self._body)).encode()),
            (b"x-amzn-requestid", f"{serial:032x}".encode()),
            *self._headers,
        ]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


class CuttableProtocol(HttpToolsProtocol):
    """HTTP whose applications may cut the connection, as a broken network does."""

    def on_message_begin(self) -> None:
        """Offer the extension with each request."""
        super().on_message_begin()
        self.scope["extensions"] = {CUT: {"cut": self.transport.abort}}


async def cut(scope: Scope, receive: Receive) -> None:
    """Cut the connection of a request whose body was read, and wait until it is gone."""
    scope["extensions"][CUT]["cut"]()
    while (await receive())["type"] != "http.disconnect":
        pass


def addressed(scope: Scope) -> Address:
    """Where a request came to, and what it asks for.

    Raises:
        HttpError: A web page could have sent it, or it is no call of the protocol.
    """
    headers = dict(scope["headers"])
    host = headers.get(b"host", b"").decode("latin-1")
    if not _is_loopback(host):
        raise HttpError(403, "The embedded queue answers on loopback names only")
    if b"origin" in headers:
        raise HttpError(403, "The embedded queue does not serve web pages")
    target = headers.get(b"x-amz-target", b"")
    service, _, operation = target.decode("latin-1").partition(".")
    if scope["method"] != "POST" or service not in {SQS, CONTROL}:
        raise HttpError(400, "Not a call of the SQS JSON protocol: x-amz-target is missing")
    return Address(host, service, operation)


@functools.lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request.

    Raises:
        HttpError: It is longer than any call needs.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        part = event.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > _MAX_BODY:
            raise HttpError(413, f"The body is longer than {_MAX_BODY} bytes")
        if not event.get("more_body", False):
            return b"".join(parts)
