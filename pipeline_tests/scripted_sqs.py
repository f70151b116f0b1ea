"""A server that answers POSTs as it is told, one after the other, and keeps what it was sent."""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final


@dataclass(frozen=True)
class Reply:
    """An answer, sound or not.

    Attributes:
        body: As it is sent.
        status: The HTTP status.
        headers: Beside `Content-Length`.
        cut: How many bytes of the body are sent before the connection is closed; None for all.
        raw: What is sent instead of all that, before the connection is closed.
        hangs: Whether nothing is sent until the server ends.
    """

    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    raw: bytes | None = None
    hangs: bool = False


SOUND: Final = Reply(json.dumps({"Messages": []}).encode())


def refusal(code: str, status: int = 400, *, old: str | None = None) -> Reply:
    """An error as SQS tells it; `old` is its code from before SQS spoke JSON."""
    body = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "withheld"})
    headers = {"x-amzn-query-error": f"{old};Sender"} if old else {}
    return Reply(body.encode(), status, headers)


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    target: str
    headers: dict[str, str]
    body: bytes


class ScriptedSqs:
    """What the server says, and what it was asked.

    Attributes:
        url: Where it is.
        replies: What is still to be said; once they are over, `SOUND`.
        asked: What came, in order.
        connections: How many connections have been made.
    """

    def __init__(self) -> None:
        self.url = ""
        self.replies: list[Reply] = []
        self.asked: list[Asked] = []
        self.connections = 0
        self.over = threading.Event()


@contextlib.contextmanager
def scripted(context: ssl.SSLContext | None = None) -> Iterator[ScriptedSqs]:
    """Serves on loopback, in threads; over TLS where there is a context."""
    script = ScriptedSqs()
    server = _Server(script, context)
    script.url = f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield script
    finally:
        script.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a client may keep its connection for longer than the server lives

    def __init__(self, script: ScriptedSqs, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        if context is not None:
            # In the connection's own thread: a handshake that fails is its own matter.
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def handle_error(self, *_: object) -> None:
        """Says nothing of clients that leave."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body follows its headers at once
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.script.connections += 1

    def do_POST(self) -> None:
        script = self.server.script
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        script.asked.append(Asked(self.path, headers, body))
        self._say(script.replies.pop(0) if script.replies else SOUND)

    def _say(self, reply: Reply) -> None:
        if reply.hangs:
            self.server.script.over.wait()
        if reply.hangs or reply.raw is not None:
            self.wfile.write(reply.raw or b"")
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body[: reply.cut])
        self.close_connection = reply.cut is not None

    def log_message(self, *_: object) -> None:
        """Prints nothing."""
