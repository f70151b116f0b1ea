"""HTTP byte by byte, for requests that no client would send, and how to read what comes back."""

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

CHUNKED: Final = b"Transfer-Encoding: chunked"
PATH: Final = b"/v1/feeds/user_logins/messages"


@dataclass(frozen=True)
class Reply:
    """One answer, as it came.

    Attributes:
        headers: By their names in lower case.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The members of a refusal, which must be one of RFC 9457."""
        assert self.headers["content-type"] == "application/problem+json", self
        members: dict[str, Any] = json.loads(self.body)
        assert members["status"] == self.status
        assert members["type"].startswith("/problems/")
        assert members["error_id"]
        return members


def head(*lines: bytes, method: bytes = b"POST", path: bytes = PATH) -> bytes:
    """The head of a request of JSON, with further header lines."""
    given = (b"Host: localhost", b"Content-Type: application/json", *lines)
    return b"\r\n".join((method + b" " + path + b" HTTP/1.1", *given, b"", b""))


def post(body: bytes, *lines: bytes) -> bytes:
    """A whole request whose length is true, after which the connection is to be closed."""
    return head(b"Content-Length: %d" % len(body), b"Connection: close", *lines) + body


@contextlib.contextmanager
def connected(port: int, *, patience: float = 10) -> Iterator[socket.socket]:
    """A connection whose reads wait so many seconds."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        yield connection


def exchange(port: int, *pieces: bytes) -> list[Reply]:
    """All that is answered to some bytes, until the other side closes the connection."""
    with connected(port) as connection:
        # Whoever is refused early may be cut off while it is still writing.
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
        return replies(read_to_end(connection))


def exchanges(port: int, *requests: bytes) -> list[list[Reply]]:
    """What is answered to each of some requests that wait at the same time."""
    with contextlib.ExitStack() as open_ones:
        connections = [open_ones.enter_context(connected(port)) for _ in requests]
        for connection, request in zip(connections, requests, strict=True):
            connection.sendall(request)
        return [replies(read_to_end(connection)) for connection in connections]


def read_to_end(connection: socket.socket) -> bytes:
    """What still comes, until the other side closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while block := connection.recv(65536):
            received += block
    return received


def replies(received: bytes) -> list[Reply]:
    """The answers in what came back; all of them whole, and nothing after them."""
    found: list[Reply] = []
    while received:
        first, _, rest = received.partition(b"\r\n\r\n")
        status, *lines = first.decode("latin-1").split("\r\n")
        version, code, _ = status.split(" ", 2)
        assert version == "HTTP/1.1"
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers.get("content-length", "0"))
        assert len(rest) >= length, "an answer was cut off"
        found.append(Reply(int(code), headers, rest[:length]))
        received = rest[length:]
    return found
