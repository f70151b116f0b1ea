"""A webhook and a mail server on loopback, which keep what they are sent."""

import contextlib
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from pipeline_tests.samples import CANARY

SECRET: Final = "T0K3N-of-the-address"  # noqa: S105 - a test's


@dataclass
class Taken:
    """What a server has been sent, and how it answers.

    Attributes:
        url: Its address, with a secret in it.
        bodies: What came, as JSON.
        status: What it answers.
        headers: What goes with the answer.
        drips: Whether the answer comes a byte at a time, for ever.
    """

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drips: threading.Event = field(default_factory=threading.Event)

    def titles(self) -> list[str]:
        """Of each alert: whether it is new, its code, how many times."""
        return [f"{each['standing']} {each['code']} {each['count']}" for each in self.bodies]


@contextlib.contextmanager
def webhook() -> Iterator[Taken]:
    """A web server that keeps what it is sent."""
    taken, over = Taken(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.paths.append(self.path)
            taken.bodies.append(json.loads(body))
            while taken.drips.is_set() and not over.wait(0.2):
                with contextlib.suppress(OSError):
                    self.wfile.write(b"H")
            with contextlib.suppress(OSError):
                self.send_response(taken.status)
                for name, value in taken.headers.items():
                    self.send_header(name, value)
                self.end_headers()

        def do_GET(self) -> None:
            taken.paths.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    taken.url = f"http://127.0.0.1:{server.server_port}/hooks/{SECRET}"
    with _served(server):
        try:
            yield taken
        finally:
            over.set()


@dataclass
class Mailbox:
    """What a mail server has taken.

    Attributes:
        port: Where it listens.
        letters: What came.
        recipients: To whom, as the envelope says.
        secure: Whether each came over TLS.
        logins: Who logged in, as they were sent.
        refuses: Whether it takes no recipient.
        polite: Whether it says good-bye as it is to be said.
        slow: Seconds before each answer.
        left: Whether a conversation has ended.
    """

    port: int = 0
    letters: list[Message] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    refuses: bool = False
    polite: bool = True
    slow: float = 0.0
    left: threading.Event = field(default_factory=threading.Event)


class _MailServer(socketserver.ThreadingTCPServer):
    """Where conversations find the mailbox, and whether there is TLS."""

    daemon_threads = True

    def __init__(self, box: Mailbox, context: ssl.SSLContext | None, secure: bool) -> None:  # noqa: FBT001 - as below
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.box, self.context, self.secure = box, context, secure


class _Conversation(socketserver.BaseRequestHandler):
    """As much of SMTP as is needed."""

    server: _MailServer

    def handle(self) -> None:
        self._secure = False
        with contextlib.suppress(OSError):
            if self.server.secure:
                self._turn_to_tls()
            self._heard = self.request.makefile("rb")
            self._say("220 loopback")
            while line := self._heard.readline().decode().strip():
                self._answer(line.split()[0].upper(), line)

    def _answer(self, verb: str, line: str) -> None:
        box = self.server.box
        match verb:
            case "EHLO":
                offer = "STARTTLS" if self.server.context and not self._secure else "AUTH PLAIN"
                self._say("250-loopback")
                self._say(f"250 {offer}")
            case "STARTTLS":
                self._say("220 go on")
                self._turn_to_tls()
                self._heard = self.request.makefile("rb")
            case "AUTH":
                box.logins.append(line.rpartition(" ")[2])
                self._say("235 welcome")
            case "RCPT":
                box.recipients.append(line)
                self._say(f"550 {CANARY}" if box.refuses else "250 ok")
            case "DATA":
                self._say("354 go on")
                box.letters.append(message_from_bytes(b"".join(self._data())))
                box.secure.append(self._secure)
                self._say("250 taken")
            case _:
                self._say("221 bye" if verb == "QUIT" and box.polite else "250 ok")

    def _data(self) -> Iterator[bytes]:
        while (line := self._heard.readline()).strip() != b".":
            yield line

    def _say(self, line: str) -> None:
        threading.Event().wait(self.server.box.slow)
        self.request.sendall(f"{line}\r\n".encode())

    def _turn_to_tls(self) -> None:
        assert self.server.context
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self._secure = True

    def finish(self) -> None:
        self.request.close()
        self.server.box.left.set()


@contextlib.contextmanager
def mail_server(
    context: ssl.SSLContext | None = None, *, at_once: bool = False
) -> Iterator[Mailbox]:
    """A mail server.

    Args:
        context: With which it takes STARTTLS; None where it has no TLS.
        at_once: Whether a connection begins with TLS instead.
    """
    box = Mailbox()
    server = _MailServer(box, context, at_once)
    box.port = server.server_address[1]
    with _served(server):
        yield box


@contextlib.contextmanager
def _served(server: socketserver.TCPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()
