"""The embedded SQS over HTTP: an ASGI application that speaks SQS's JSON 1.0 protocol.

Signatures are not checked: whoever reaches the port may use the queues. Therefore it answers on
loopback names only, and refuses whatever a web page could make a browser send: a request with an
Origin, or without the `x-amz-target` header, which no page may set on another site unasked.
"""

import asyncio
import functools
import ipaddress
import itertools
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec
import uvicorn

from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.names import name_of
from pipeline.local.queue.operations import Answer, parse, perform, seconds_to_wait
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.requests import ReceiveMessage, Request
from pipeline.local.queue.waiting import WaitingRooms

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_TARGET: Final = b"AmazonSQS."
_MAX_BODY: Final = 8 * 1_048_576
"""Bytes: a batch of 1 MiB in which JSON escapes every character, with room to spare."""

_KEEP_ALIVE: Final = 60
"""Seconds: longer than clients commonly idle between calls, or they find their connection cut."""

_GRACE: Final = 5
"""Seconds in which a call that has begun may end when the server stops."""


class _HttpError(Exception):
    """A request that never reaches an operation."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


class QueueApp:
    """The ASGI application over some queues.

    Args:
        queues: The state that it serves; nobody else may change it meanwhile.
    """

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._rooms = WaitingRooms(queues)
        self._serial = itertools.count(1)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks."""
        if scope["type"] != "http":
            raise NotImplementedError(f"No {scope['type']} here, only HTTP")
        try:
            host, operation = _addressed(dict(scope["headers"]), scope["method"])
            answer = await self._answer(operation, await _body(receive), host, receive)
            reply = _Reply(200, answer)
        except SqsError as error:
            reply = _Reply.refused(error)
        except _HttpError as error:
            reply = _Reply(error.status, {"message": error.message})
        await reply.send(send, serial=next(self._serial))

    def release_waiting(self) -> None:
        """End every long poll at once, empty-handed; call it on the application's own loop."""
        self._rooms.close()

    async def _answer(self, operation: str, body: bytes, host: str, receive: Receive) -> Answer:
        request = parse(operation, body)
        answer = self._perform(operation, request, host)
        if answer or not isinstance(request, ReceiveMessage):
            return answer
        seconds = seconds_to_wait(self._queues, request)
        if not seconds:
            return answer
        leaving: asyncio.Future[object] = asyncio.ensure_future(receive())
        try:
            return await self._long_poll(operation, request, host, seconds=seconds, leaving=leaving)
        finally:
            leaving.cancel()

    def _perform(self, operation: str, request: Request, host: str) -> Answer:
        try:
            return perform(self._queues, operation, request, host)
        finally:
            self._rooms.call_all()

    async def _long_poll(
        self,
        operation: str,
        request: ReceiveMessage,
        host: str,
        *,
        seconds: float,
        leaving: asyncio.Future[object],
    ) -> Answer:
        """Receive again whenever there may be something, until the time is up.

        A client that hangs up is noticed, so that no message is handed to it and hidden in vain.
        """
        name, loop = name_of(request.queue_url), asyncio.get_running_loop()
        deadline = loop.time() + seconds
        answer: Answer = {}
        while not answer and (left := deadline - loop.time()) > 0:
            if not await self._rooms.wait(name, left, leaving):
                break
            answer = self._perform(operation, request, host)
        return answer


class _Reply:
    """A reply's status, headers and body."""

    def __init__(self, status: int, content: Answer, *headers: tuple[bytes, bytes]) -> None:
        self._status = status
        self._headers = headers
        self._body = msgspec.json.encode(content)

    @classmethod
    def refused(cls, error: SqsError) -> "_Reply":
        """The shape in which SQS refuses; the header carries the code of the older protocol."""
        content: Answer = {"__type": f"com.amazonaws.sqs#{error.code}", "message": error.message}
        return cls(400, content, (b"x-amzn-query-error", f"{error.query_code};Sender".encode()))

    async def send(self, send: Send, *, serial: int) -> None:
        headers = [
            (b"content-type", b"application/x-amz-json-1.0"),
            (b"content-length", str(len(self._body)).encode()),
            (b"x-amzn-requestid", f"{serial:032x}".encode()),
            *self._headers,
        ]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


def create_app(queues: Queues) -> QueueApp:
    """The ASGI application over these queues."""
    return QueueApp(queues)


class QueueServer(uvicorn.Server):
    """Uvicorn over the application, which ends long polls before it stops.

    Args:
        app: What `create_app` made. The moment for the queues' snapshot is after `serve`, which
            raises the signal that stopped it again: catch it, or there is no such moment.
    """

    def __init__(self, app: QueueApp) -> None:
        self._app = app
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=_GRACE,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, send waiting receivers home, finish what has begun."""
        self._app.release_waiting()
        await super().shutdown(sockets)


def _addressed(headers: dict[bytes, bytes], method: str) -> tuple[str, str]:
    """The host that a request came to and the operation that it names."""
    host = headers.get(b"host", b"").decode("latin-1")
    if not _is_loopback(host):
        raise _HttpError(403, "The embedded queue answers on loopback names only")
    if b"origin" in headers:
        raise _HttpError(403, "The embedded queue does not serve web pages")
    target = headers.get(b"x-amz-target", b"")
    if method != "POST" or not target.startswith(_TARGET):
        raise _HttpError(400, "Not a call of the SQS JSON protocol: x-amz-target is missing")
    return host, target.removeprefix(_TARGET).decode("latin-1")


@functools.lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


async def _body(receive: Receive) -> bytes:
    """The whole body of a request."""
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        part = event.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > _MAX_BODY:
            raise _HttpError(413, f"The body is longer than {_MAX_BODY} bytes")
        if not event.get("more_body", False):
            return b"".join(parts)
