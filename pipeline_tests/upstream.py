"""A paged public API on loopback that counts what it is asked, and misbehaves as it is told."""

import asyncio
import contextlib
import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

BASE: Final = "/api/v2/"
LIST: Final = f"{BASE}pokemon/"
_TLS: Final = b"\x16"  # the first byte of a handshake
_REASONS: Final = {200: "OK", 304: "Not Modified"}


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    path: str
    headers: dict[str, str]

    @property
    def is_page(self) -> bool:
        """Whether it is a page of the list, and not a record."""
        return urlsplit(self.path).path == LIST


@dataclass(frozen=True)
class Reply:
    """An answer, sound or not.

    Attributes:
        body: As it is sent, after the headers.
        status: The HTTP status.
        headers: Beside Content-Length, which they may set as well.
        cut: How many bytes of the body are sent before the connection is closed; None for all.
        hangs: Whether the connection stays open after a cut, and nothing more comes.
        drips: Whether the body comes byte by byte, ten in a second.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    hangs: bool = False
    drips: bool = False


Hook = Callable[[Request], Reply | None]


def pokemon(number: int, **changes: object) -> dict[str, object]:
    """A sound record, as the API has it, with much that no contract names."""
    record: dict[str, object] = {
        "id": number,
        "name": f"pokemon-{number}",
        "height": 7,
        "weight": 69,
        "types": [{"slot": 1, "type": {"name": "grass", "url": "/api/v2/type/12/"}}],
        "base_experience": 64 if number % 3 else None,
        "moves": [{"move": {"name": f"move-{n}"}} for n in range(5)],
    }
    return record | changes


class Upstream:
    """The API: records in their order, requests as they came, hooks that answer in its place."""

    def __init__(self, numbers: range | list[int] = range(0)) -> None:
        self.records = {number: pokemon(number) for number in numbers}
        self.requests: list[Request] = []
        self.hooks: list[Hook] = []
        self.tags = True
        self.prefix = ""
        """What stands before the addresses in the list: nothing, or scheme and host."""

    def pages(self) -> list[str]:
        """The pages that were asked for."""
        return [each.path for each in self.requests if each.is_page]

    def asked(self) -> list[str]:
        """The records that were asked for."""
        return [each.path for each in self.requests if not each.is_page]

    def forget(self) -> None:
        """Begins to count anew."""
        self.requests.clear()

    def first(self, times: int, reply: Reply, path: str) -> None:
        """Gives this answer to the next requests for a path."""
        left = [times]

        def instead(request: Request) -> Reply | None:
            if request.path != path or not left[0]:
                return None
            left[0] -= 1
            return reply

        self.hooks.append(instead)

    def at(self, path: str, reply: Reply) -> None:
        """Gives this answer to every request for a path."""
        self.hooks.append(lambda request: reply if request.path == path else None)

    def answer(self, request: Request) -> Reply:
        """What is sent back."""
        self.requests.append(request)
        for hook in self.hooks:
            reply = hook(request)
            if reply is not None:
                return reply
        document = self.page(request) if request.is_page else self._record(request)
        if document is None:
            return Reply(b'{"detail": "Not found."}', 404)
        return self.tagged(request, json.dumps(document).encode())

    def tagged(self, request: Request, body: bytes) -> Reply:
        """The body, or 304 where it is known already."""
        if not self.tags:
            return Reply(body)
        tag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = {"ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Reply(status=304, headers=headers)
        return Reply(body, headers=headers)

    def page(self, request: Request) -> dict[str, object]:
        """A page of the list, as it is now."""
        query = parse_qs(urlsplit(request.path).query)
        limit, offset = int(query["limit"][0]), int(query["offset"][0])
        numbers = list(self.records)
        following = f"{self.prefix}{LIST}?limit={limit}&offset={offset + limit}"
        return {
            "count": len(numbers),
            "next": following if offset + limit < len(numbers) else None,
            "previous": None,
            "results": [
                {"name": f"pokemon-{number}", "url": f"{self.prefix}{LIST}{number}/"}
                for number in numbers[offset : offset + limit]
            ],
        }

    def _record(self, request: Request) -> dict[str, object] | None:
        number = request.path.removeprefix(LIST).rstrip("/")
        return self.records.get(int(number)) if number.isdigit() else None


class Server:
    """Serves whichever API it is given, so that one server serves all tests of a module."""

    def __init__(self) -> None:
        self.api = Upstream()
        self.url = ""

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the requests of one connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            last = None
            while last is None:
                begin = await reader.readexactly(1)
                if begin == _TLS:
                    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    break
                last = await self._answer(await reader.readuntil(b"\r\n\r\n"), writer)
            if last is not None and last.hangs:
                await reader.read()  # until the client has enough
        writer.close()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> Reply | None:
        """Sends the answer; which it was where the connection has no more after it."""
        first, *lines = head.decode().splitlines()
        named = (line.partition(":") for line in lines if line)
        headers = {name.lower(): value.strip() for name, _, value in named}
        reply = self.api.answer(Request(first.split()[1], headers))
        reason = _REASONS.get(reply.status, "Other")
        sent = {"Content-Length": str(len(reply.body)), **reply.headers}
        told = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        writer.write(f"HTTP/1.1 {reply.status} {reason}\r\n{told}\r\n".encode())
        if reply.drips:
            for place in range(len(reply.body)):
                writer.write(reply.body[place : place + 1])
                await asyncio.sleep(0.1)
        else:
            writer.write(reply.body[: reply.cut])
        await writer.drain()
        return None if reply.cut is None else reply


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server in a thread of its own, on a free loopback port; with TLS if a context is given."""
    server, started = Server(), threading.Event()
    ends: list[Callable[[], object]] = []

    async def serve() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(ended.set))
        listener = await asyncio.start_server(server.converse, "127.0.0.1", 0, ssl=context)
        port = listener.sockets[0].getsockname()[1]
        server.url = f"http{'s' if context else ''}://127.0.0.1:{port}{BASE}"
        started.set()
        await ended.wait()
        listener.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(10)
    try:
        yield server
    finally:
        ends[0]()
        thread.join(timeout=10)
