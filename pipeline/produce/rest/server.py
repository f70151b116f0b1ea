"""Runs the application on a socket until it is told to stop, and then lets it finish."""

import functools
import logging
import signal
import socket
from http import HTTPStatus
from types import FrameType
from typing import Final, NoReturn, cast

import uvicorn
from starlette.types import ASGIApp

from pipeline.errors import SettingsError
from pipeline.produce.rest.exchange import Exchange, request_id
from pipeline.produce.rest.problems import MEDIA_TYPE, Problem
from pipeline.produce.rest.protocol import Protocol
from pipeline.produce.rest.service import Service

_BACKLOG: Final = 512


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        SettingsError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise SettingsError.of_port(port, error) from None


def make_server(app: ASGIApp, service: Service) -> uvicorn.Server:
    """Uvicorn with this service's bounds."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # the rest is in our own lines
    limits = service.limits
    protocol = functools.partial(
        Protocol, limits=limits, refused=functools.partial(_refused, service)
    )
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=cast("type[Protocol]", protocol),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=limits.idle_seconds,
            timeout_graceful_shutdown=limits.stop_seconds,
        )
    )


def run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serves until SIGTERM or SIGINT: then new connections are refused, and begun requests end."""
    for each in (signal.SIGTERM, signal.SIGINT):
        # Uvicorn puts its own in place meanwhile, and raises the signal again at the end.
        signal.signal(each, _leave)
    server.run(sockets=[listener])


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _refused(service: Service, problem: Problem) -> bytes:
    """Tells of a request that no route has seen, as of the others."""
    exchange = Exchange(request_id(None), status=problem.kind.status, outcome=problem.reason)
    body = problem.body(exchange.error())
    service.metrics.rejected(problem.reason)
    service.metrics.answered(exchange, "none")
    exchange.tell("none", "none")
    return _response(problem, body)


def _response(problem: Problem, body: bytes) -> bytes:
    status = HTTPStatus(problem.kind.status)
    headers = {
        **problem.headers,
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "connection": "close",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{lines}\r\n".encode() + body
