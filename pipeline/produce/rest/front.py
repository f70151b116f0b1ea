"""What every request passes: who sends it, what may go wrong with it, and what is told of it."""

import ipaddress
import logging
from typing import TYPE_CHECKING, Final

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline import log_ids, trace_context
from pipeline.produce.rest.body import CallerGone
from pipeline.produce.rest.exchange import CALLER_GONE, Exchange, request_id
from pipeline.produce.rest.problems import (
    FORBIDDEN,
    INTERNAL,
    MEDIA_TYPE,
    MISDIRECTED,
    NOT_FOUND,
    UNAUTHORIZED,
    Problem,
)
from pipeline.produce.rest.senders import LOCAL, Sender
from pipeline.produce.rest.service import Service
from pipeline.tracing.setting import find_tracing

if TYPE_CHECKING:
    from pipeline.tracing.requests import RequestTrace

_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
_OPEN: Final = ("/healthz", "/readyz", "/metrics", "/problems")
_FEEDS: Final = "/v1/feeds/"
_TRACEPARENT: Final = trace_context.NAME.encode()

_logger: Final = logging.getLogger(__name__)


class Front:
    """Middleware: the outermost of ours, through which no exception leaves.

    Args:
        app: What answers.
        service: What it works with.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        exchange = Exchange(request_id(headers.get(b"x-request-id")))
        scope.setdefault("state", {})["exchange"] = exchange
        with log_ids.bound(request_id=exchange.request_id):
            await self._answer(scope, headers, exchange, receive, send)

    async def _answer(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        exchange: Exchange,
        receive: Receive,
        send: Send,
    ) -> None:
        # Whoever may GET may HEAD: the server leaves out the body.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        answer = _Answer(send, exchange, expects=b"expect" in headers)
        try:
            exchange.sender = self._admitted(scope, headers)
            exchange.trace = _trace_of(scope)  # nobody else's requests fill the collector
            if not scope["path"].isprintable():  # a route would not see a line break at its end
                raise Problem(NOT_FOUND, "There is nothing at this path")
            await self._app(inner, receive, answer)
        except Problem as problem:
            await self._refuse(problem, exchange)(scope, receive, answer)
        except CallerGone:
            self._service.metrics.rejected(exchange.outcome)
        except Exception:
            _logger.exception("error %s", exchange.error())
            if not answer.begun:
                unforeseen = Problem(INTERNAL, "The service's log has more under the error id")
                await self._refuse(unforeseen, exchange)(scope, receive, answer)
        finally:
            self._tell(exchange, scope["method"], inner)

    def _admitted(self, scope: Scope, headers: dict[bytes, bytes]) -> Sender:
        """Who sends the request; what needs no key is for everybody."""
        path: str = scope["path"]
        senders = self._service.senders
        if senders is None:
            if not _is_loopback(headers.get(b"host", b"")):  # a web page with a name of its own
                raise Problem(MISDIRECTED, "Without API keys this service answers to localhost")
            return LOCAL
        if path.startswith(_OPEN):
            return LOCAL
        key = _presented(scope)
        sender = senders.find(key) if key else None
        if sender is None:
            detail = "The Authorization header has no key that is known here"
            raise Problem(UNAUTHORIZED, detail, headers={"www-authenticate": "Bearer"})
        # Before any route is looked for: nobody learns which other feeds there are.
        if path.startswith(_FEEDS) and not sender.may_write(path.split("/")[3]):
            raise Problem(FORBIDDEN, "The key is not bound to a feed of that name")
        return sender

    def _refuse(self, problem: Problem, exchange: Exchange) -> Response:
        exchange.outcome = problem.reason
        self._service.metrics.rejected(problem.reason)
        return Response(
            problem.body(exchange.error()),
            problem.kind.status,
            problem.headers,
            media_type=MEDIA_TYPE,
        )

    def _tell(self, exchange: Exchange, method: str, scope: Scope) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        self._service.metrics.answered(exchange, route)
        exchange.tell(method, route)


class _Answer:
    """`send`, with what every answer says added to it."""

    def __init__(self, send: Send, exchange: Exchange, *, expects: bool) -> None:
        self._send = send
        self._exchange = exchange
        self._expects = expects
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self._exchange.status = message["status"]
            if self._exchange.outcome == CALLER_GONE:
                self._exchange.outcome = "ok"
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self._exchange.request_id
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if self._expects and not self._exchange.body_read:
                # Told to wait, the caller may send its body or may not: only a new connection
                # can tell the next request from it.
                headers["connection"] = "close"
        await self._send(message)


def _presented(scope: Scope) -> str | None:
    """The key of the one Authorization header; of two, nobody could tell which counts."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, key = (given[0] if len(given) == 1 else b"").decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def _trace_of(scope: Scope) -> "RequestTrace | None":
    """The trace of a request that may send; of two headers, nobody could tell which counts."""
    if not scope["path"].startswith(_FEEDS) or (tracing := find_tracing()) is None:
        return None
    given = [value for name, value in scope["headers"] if name == _TRACEPARENT]
    return tracing.request(given[0] if len(given) == 1 else None)


def _is_loopback(host: bytes) -> bool:
    name = host.decode("latin-1")
    if name.rpartition(":")[2].isdigit() and not name.endswith("]"):
        name = name.rpartition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
