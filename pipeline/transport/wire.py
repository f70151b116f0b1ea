"""POST over libcurl: connections that are kept, TLS that is checked, and botocore's exceptions.

libcurl does a request without Python's lock, so that threads do not wait for each other.
"""

import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import pycurl
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

_LOOK: Final = 0.2  # seconds: a thread that waits does not notice a signal that another one took

FAILURES: Final = (HTTPClientError, BotoConnectionError)
"""What botocore raises where no answer comes; it tries most of these again."""

Failure = HTTPClientError | BotoConnectionError
"""One of them."""

_TLS: Final = (
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_SSL_CERTPROBLEM,
    pycurl.E_SSL_CIPHER,
    pycurl.E_PEER_FAILED_VERIFICATION,
    pycurl.E_SSL_CACERT_BADFILE,
    pycurl.E_SSL_ISSUER_ERROR,
)
_CUT: Final = (
    pycurl.E_GOT_NOTHING,
    pycurl.E_PARTIAL_FILE,
    pycurl.E_RECV_ERROR,
    pycurl.E_SEND_ERROR,
    pycurl.E_FTP_WEIRD_SERVER_REPLY,  # of any protocol, as what speaks no HTTP
    pycurl.E_UNSUPPORTED_PROTOCOL,  # what sends no HTTP headers at all is taken for HTTP/0.9
)
# libcurl's codes, by what botocore raises where they come about. Source: libcurl-errors(3).
_KINDS: Final[dict[int, type[BotoConnectionError | HTTPClientError]]] = {
    pycurl.E_COULDNT_RESOLVE_HOST: EndpointConnectionError,
    pycurl.E_COULDNT_CONNECT: EndpointConnectionError,
    **dict.fromkeys(_TLS, SSLError),
    **dict.fromkeys(_CUT, ConnectionClosedError),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status_code: The HTTP status, by the name that handlers of botocore's events know.
        lines: The headers as they came, with those of interim answers or of a proxy before them.
        body: As it came. It may hold anybody's data, and shows in no representation.
    """

    status_code: int
    lines: list[bytes] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case names."""
        headers: dict[str, str] = {}
        for line in self.lines:
            name, colon, value = line.decode("latin-1").partition(":")
            if colon:
                headers[name.strip().lower()] = value.strip()
            elif line.startswith(b"HTTP/"):
                headers.clear()
        return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait.

    Attributes:
        connect_seconds: For a connection.
        read_seconds: For an answer, from the connection on.
    """

    connect_seconds: float
    read_seconds: float


class Exchange:
    """A request and its answer, over a handle of libcurl that is used again and again."""

    def __init__(self) -> None:
        self.curl = pycurl.Curl()
        self._lines: list[bytes] = []
        self._parts: list[bytes] = []
        self.curl.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        self.curl.setopt(pycurl.WRITEFUNCTION, self._parts.append)

    def prepare(self, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Sets what is sent next."""
        self._lines.clear()
        self._parts.clear()
        self.curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers])
        self.curl.setopt(pycurl.POSTFIELDS, body)

    def answer(self) -> Answer:
        """What has come back."""
        status: int = self.curl.getinfo(pycurl.RESPONSE_CODE)
        answer = Answer(status, self._lines.copy(), b"".join(self._parts))
        self._parts.clear()  # or what it holds would stay for as long as the connection
        return answer


class Multi:
    """Exchanges of one thread that are under way at the same time.

    Args:
        wire: Where they lead.
    """

    def __init__(self, wire: "Wire") -> None:
        self._wire = wire
        self._multi = pycurl.CurlMulti()
        self._idle: list[Exchange] = []
        self._under_way: dict[pycurl.Curl, Exchange] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def begin(self, headers: Iterable[tuple[str, str]], body: bytes) -> pycurl.Curl:
        """Begins an exchange; what it is called when it has ended."""
        exchange = self._idle.pop() if self._idle else self._wire.exchange()
        exchange.prepare(headers, body)
        self._multi.add_handle(exchange.curl)
        self._under_way[exchange.curl] = exchange
        return exchange.curl

    def ended(self) -> list[tuple[pycurl.Curl, Answer | Failure]]:
        """The exchanges that have ended; waits a moment where none has."""
        self._multi.perform()
        ended = self._collect()
        if not ended and self._under_way:
            self._multi.select(_LOOK)
            self._multi.perform()
            ended = self._collect()
        return ended

    def _collect(self) -> list[tuple[pycurl.Curl, Answer | Failure]]:
        ended: list[tuple[pycurl.Curl, Answer | Failure]] = []
        left = 1
        while left:
            left, answered, failed = self._multi.info_read()
            for curl in answered:
                if (exchange := self._take_out(curl)) is not None:
                    ended.append((curl, exchange.answer()))
                    self._idle.append(exchange)
            for curl, code, _ in failed:
                # One that has failed is not used again, as its connection is not.
                if (exchange := self._take_out(curl)) is not None:
                    ended.append((curl, self._wire.failure(exchange, code)))
        return ended

    def _take_out(self, curl: pycurl.Curl) -> Exchange | None:
        """An exchange that is over; None where the thread was interrupted when it was to begin."""
        self._multi.remove_handle(curl)
        return self._under_way.pop(curl, None)


class Wire:
    """Connections to one address, each used by one thread at a time.

    Args:
        url: The address.
        patience: How long to wait.
        authorities: The file of certificate authorities.
        proxy: Through which proxy; none by default, whatever the environment says.
    """

    def __init__(
        self, url: str, patience: Patience, authorities: str, proxy: str | None = None
    ) -> None:
        self.url = url
        self._patience = patience
        self._authorities = authorities
        self._proxy = proxy or ""
        # The last one to come back goes first: what is not needed grows old, and libcurl drops it.
        self._idle: deque[Exchange] = deque()
        self.multis: deque[Multi] = deque()

    def post(self, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        """Sends a request, on a connection that is kept where there is one.

        Raises:
            BotoCoreError: The kind that botocore raises for it, and without what was sent.
        """
        exchange = self._take()
        exchange.prepare(headers, body)
        try:
            exchange.curl.perform()
        except pycurl.error as error:
            raise self.failure(exchange, int(error.args[0])) from None
        answer = exchange.answer()
        self._idle.append(exchange)
        return answer

    def _take(self) -> "Exchange":
        with contextlib.suppress(IndexError):  # another thread may take the last one
            return self._idle.pop()
        return self.exchange()

    def exchange(self) -> "Exchange":
        """A handle that leads to the address."""
        exchange = Exchange()
        curl = exchange.curl
        curl.setopt(pycurl.URL, self.url)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        # SQS speaks no other, and a connection of one call at a time gains nothing by HTTP/2.
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.NOSIGNAL, 1)  # signals are Python's, and do not go with threads
        connect, read = self._patience.connect_seconds, self._patience.read_seconds
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(1000 * connect))
        curl.setopt(pycurl.TIMEOUT_MS, int(1000 * (connect + read)))
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.PROXY, self._proxy)
        curl.setopt(pycurl.SSL_VERIFYPEER, 1)
        curl.setopt(pycurl.SSL_VERIFYHOST, 2)
        curl.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        curl.setopt(pycurl.CAINFO, self._authorities)
        return exchange

    def failure(self, exchange: "Exchange", code: int) -> Failure:
        """An error of libcurl as botocore tells it, without its own text, which may hold values."""
        told = RuntimeError(f"libcurl's error {code}")
        if code == pycurl.E_COULDNT_RESOLVE_PROXY:
            return ProxyConnectionError(proxy_url="the proxy", error=told)
        if code == pycurl.E_OPERATION_TIMEDOUT:
            connected = exchange.curl.getinfo(pycurl.PRETRANSFER_TIME) > 0
            late = ReadTimeoutError if connected else ConnectTimeoutError
            return late(endpoint_url=self.url, error=told)
        return _KINDS.get(code, HTTPClientError)(endpoint_url=self.url, error=told)
