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
        self._idle: deque[pycurl.Curl] = deque()

    def post(self, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        """Sends a request, on a connection that is kept where there is one.

        Raises:
            BotoCoreError: The kind that botocore raises for it, and without what was sent.
        """
        curl = self._take()
        lines: list[bytes] = []
        curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers])
        curl.setopt(pycurl.POSTFIELDS, body)
        curl.setopt(pycurl.HEADERFUNCTION, lines.append)
        try:
            content = curl.perform_rb()
        except pycurl.error as error:
            raise self._translated(curl, error) from None
        status: int = curl.getinfo(pycurl.RESPONSE_CODE)
        self._idle.append(curl)
        return Answer(status, lines, content)

    def _take(self) -> pycurl.Curl:
        with contextlib.suppress(IndexError):  # another thread may take the last one
            return self._idle.pop()
        return self._make()

    def _make(self) -> pycurl.Curl:
        curl = pycurl.Curl()
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
        return curl

    def _translated(self, curl: pycurl.Curl, error: pycurl.error) -> Failure:
        """As botocore tells it; libcurl's own text, which may hold addresses, is left out."""
        code = int(error.args[0])
        told = RuntimeError(f"libcurl's error {code}")
        if code == pycurl.E_COULDNT_RESOLVE_PROXY:
            return ProxyConnectionError(proxy_url="the proxy", error=told)
        if code == pycurl.E_OPERATION_TIMEDOUT:
            connected = curl.getinfo(pycurl.PRETRANSFER_TIME) > 0
            late = ReadTimeoutError if connected else ConnectTimeoutError
            return late(endpoint_url=self.url, error=told)
        return _KINDS.get(code, HTTPClientError)(endpoint_url=self.url, error=told)
