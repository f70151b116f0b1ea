"""The ways to people: a webhook, Slack's incoming webhook, e-mail. No address is ever told."""

import json
import queue
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from http.client import HTTPMessage
from typing import IO, ClassVar, Final, Protocol
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from pipeline.errors import AlertError
from pipeline.operate.alerts.alert import Alert

_STEP_SECONDS: Final = 3.0  # for a connection, and for each answer
_ALL_SECONDS: Final = 5.0  # the daemon evaluates one sensor after the other: none waits for long
_LETTER_SECONDS: Final = 15.0  # some ten answers, of a server that may take its time for each
_REMEDY: Final = "Check its setting and whether it can be reached; `pipeline alert --test` tries it"


class Channel(Protocol):
    """A way to people."""

    @property
    def name(self) -> str:
        """How it is called where something is told of it."""

    def deliver(self, alert: Alert, link: str | None) -> None:
        """Delivers an alert, within seconds.

        Raises:
            AlertError: It was not taken.
        """


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts an alert as JSON."""

    name: ClassVar[str] = "webhook"
    url: str = field(repr=False)

    def deliver(self, alert: Alert, link: str | None) -> None:
        """As `Channel`."""
        _delivered(self.name, lambda: _post(self.url, alert.document(link)))


@dataclass(frozen=True, slots=True)
class Slack:
    """Posts an alert to an incoming webhook of Slack, or of what is compatible with it."""

    name: ClassVar[str] = "slack"
    url: str = field(repr=False)

    def deliver(self, alert: Alert, link: str | None) -> None:
        """As `Channel`."""
        text = "\n".join(alert.lines(link))
        # The three characters that Slack reads as markup: docs.slack.dev, "Formatting message text"
        for letter, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(letter, name)
        _delivered(self.name, lambda: _post(self.url, {"text": text}))


@dataclass(frozen=True, slots=True)
class Email:
    """Sends an alert by a mail server.

    Attributes:
        host: The server.
        port: Its port.
        sender: The address that it comes from.
        recipients: Whom it goes to.
        security: Whether the connection turns to TLS before anything is said, begins with it, or
            has none.
        user: The log-in; None where there is none.
        password: Its password.
    """

    name: ClassVar[str] = "e-mail"
    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    security: str = "starttls"
    user: str | None = None
    password: str = field(default="", repr=False)

    def deliver(self, alert: Alert, link: str | None) -> None:
        """As `Channel`."""
        letter = EmailMessage()
        letter["From"], letter["To"] = self.sender, ", ".join(self.recipients)
        letter["Subject"] = " ".join(alert.title.split())
        letter["Date"] = formatdate(alert.at)
        # The same at each try: a letter that was taken though we gave it up is known by it.
        domain = self.sender.rpartition("@")[2]
        letter["Message-ID"] = f"<{alert.identity}.sqs-postgres-pipeline@{domain}>"
        letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holidays answer it
        letter.set_content("\n".join(alert.lines(link)))
        line = _Line()
        _delivered(
            self.name, lambda: self._send(letter, line), seconds=_LETTER_SECONDS, give_up=line.cut
        )

    def _send(self, letter: EmailMessage, line: "_Line") -> None:
        with closing(self._connect()) as server:
            line.hold(server)
            if self.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if self.user is not None:
                server.login(self.user, self.password)
            line.hold(server)
            server.send_message(letter)
            with suppress(OSError):  # it is taken, whatever becomes of the good-bye
                server.quit()

    def _connect(self) -> smtplib.SMTP:
        at, mine = (self.host, self.port), socket.gethostname()
        if self.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(
                *at, local_hostname=mine, timeout=_STEP_SECONDS, context=context
            )
        return smtplib.SMTP(*at, local_hostname=mine, timeout=_STEP_SECONDS)


class _Line:
    """The line to a mail server, which whoever gives up cuts: no letter goes out after that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: smtplib.SMTP | None = None
        self._is_cut = False

    def hold(self, server: smtplib.SMTP) -> None:
        """Takes over a connection.

        Raises:
            TimeoutError: The line is cut.
        """
        with self._lock:
            self._server = server
            if self._is_cut:
                raise TimeoutError

    def cut(self) -> None:
        """Ends the connection under whoever talks; closing it is theirs."""
        with self._lock, suppress(OSError):
            self._is_cut = True
            if self._server is not None and self._server.sock is not None:
                # Not TLS's own shutdown, after which the socket would go on in the clear.
                socket.socket.shutdown(self._server.sock, socket.SHUT_RDWR)


class _NoRedirect(HTTPRedirectHandler):
    """An address is a secret: it is told to no other server."""

    def redirect_request(  # noqa: PLR0917 - as urllib calls it
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """Nothing is requested; the answer that redirects is an error."""


def _post(url: str, document: object) -> None:
    context = ssl.create_default_context()
    # Without TLS it is on this machine, and no proxy is to see it.
    proxies = ProxyHandler({} if url.lower().startswith("http:") else None)
    opener = build_opener(_NoRedirect, HTTPSHandler(context=context), proxies)
    request = Request(  # noqa: S310 - its scheme is looked at where the setting is read
        url,
        json.dumps(document).encode(),
        {"Content-Type": "application/json", "User-Agent": "sqs-postgres-pipeline"},
    )
    with opener.open(request, timeout=_STEP_SECONDS):
        pass  # an answer that is no success is raised


def _delivered(
    name: str,
    work: Callable[[], None],
    *,
    seconds: float = _ALL_SECONDS,
    give_up: Callable[[], None] = lambda: None,
) -> None:
    """Does the work of a channel; what it meets is told by type or status, never by its text."""
    try:
        _within(seconds, work, give_up)
    except Exception as error:  # noqa: BLE001 - whatever it is, it holds the address
        raise AlertError(f"{name} took no alert ({_why(error)})", remedy=_REMEDY) from None


def _why(error: Exception) -> str:
    if isinstance(error, HTTPError):
        error.close()
        return f"HTTP {error.code}"
    reason = error.reason if isinstance(error, URLError) else error
    return type(reason).__name__


def _within(seconds: float, work: Callable[[], None], give_up: Callable[[], None]) -> None:
    """Does something, or leaves it behind: a server that drips its answer would never end it.

    Args:
        seconds: How long it may take.
        work: What is done, in a thread of its own.
        give_up: What is done where it takes longer.

    Raises:
        TimeoutError: It is not done in time.
    """
    ended: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised by the thread that waits
            ended.put(error)
        else:
            ended.put(None)

    threading.Thread(target=run, name="alert", daemon=True).start()
    try:
        error = ended.get(timeout=seconds)
    except queue.Empty:
        give_up()
        raise TimeoutError from None
    if error is not None:
        raise error
