"""The exporter's HTTP server: `/metrics` for Prometheus, `/healthz` for whoever starts it."""

import functools
import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from pipeline.errors import SettingsError
from pipeline.operate.told_to_stop import ToldToStop

_PATIENCE: Final = 10  # seconds for one who connects and says nothing
_STOPS_WITHIN: Final = 0.2  # seconds

_Environ = dict[str, Any]
_StartResponse = Callable[[str, list[tuple[str, str]]], object]


class _Handler(WSGIRequestHandler):
    """One request a connection, within bounds, and no line of a log for it."""

    timeout = _PATIENCE

    def log_message(self, *_: object) -> None:
        """Prometheus asks every few seconds: nobody wants to read of it."""

    def address_string(self) -> str:
        """The address, for which no name server is asked."""
        return str(self.client_address[0])


class _Server(ThreadingMixIn, WSGIServer):
    """One thread a connection; those under way are waited for when it closes."""

    daemon_threads = False
    request_queue_size = 32

    def server_bind(self) -> None:
        """As any server's; the one of HTTP asks a name server who we are."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, *_: object) -> None:
        """Who hangs up early is no news."""


class _ServerOfV6(_Server):
    address_family = socket.AF_INET6


def make_app(registry: CollectorRegistry) -> Callable[[_Environ, _StartResponse], Iterable[bytes]]:
    """The WSGI application over a registry."""
    metrics = make_wsgi_app(registry)

    def app(environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        asked = environ.get("REQUEST_METHOD") in {"GET", "HEAD"}
        match environ.get("PATH_INFO"):
            case "/metrics" if asked:
                answer: Iterable[bytes] = metrics(environ, start_response)
                return answer
            case "/healthz" if asked:
                return _say(start_response, "200 OK", b"ok\n")
            case "/metrics" | "/healthz":
                return _say(start_response, "405 Method Not Allowed", b"GET only\n")
        return _say(start_response, "404 Not Found", b"see /metrics\n")

    return app


def _say(start_response: _StartResponse, status: str, body: bytes) -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]


def listen(host: str, port: int, registry: CollectorRegistry) -> WSGIServer:
    """A server that listens; port 0 takes a free one.

    Raises:
        SettingsError: The address cannot be had.
    """
    try:
        server = (_ServerOfV6 if ":" in host else _Server)((host, port), _Handler)
    except (OSError, OverflowError) as error:
        raise SettingsError.of_port(port, error) from None
    server.set_app(make_app(registry))
    return server


def run(server: WSGIServer) -> None:
    """Serves until SIGTERM or SIGINT; what is being answered is answered to its end."""
    with ToldToStop() as told:
        serving = threading.Thread(
            target=functools.partial(server.serve_forever, poll_interval=_STOPS_WITHIN)
        )
        serving.start()
        told.until(told.stop.wait)
        server.shutdown()
        serving.join()
        server.server_close()
