"""What uvicorn's HTTP leaves open: bounds for heads and connections, and refusals as problems."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NoReturn

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pipeline.produce.rest.limits import Limits
from pipeline.produce.rest.problems import (
    BAD_REQUEST,
    HEADERS_TOO_LARGE,
    OVERLOADED,
    TIMEOUT,
    URI_TOO_LONG,
    Problem,
)

_HEAD_BYTES: Final = 32 * 1024
_HEADERS: Final = 100
_URI_BYTES: Final = 4 * 1024

_PIPELINED: Final = 20
"""Requests of a connection that wait for the one before; one read may bring thousands."""

_SPARE: Final = 100
"""Connections beyond the cap that are still told why they are not served."""

_DRAIN_BYTES: Final = 16 * 2**20
"""What is still heard, for a moment, of a request that is answered already: a caller that is cut
off while it writes never reads its answer."""


class Protocol(HttpToolsProtocol):
    """One connection.

    Args:
        limits: The service's bounds.
        refused: Is told of each problem that ends a connection; returns the whole answer.
        **given: As uvicorn hands it on.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        refused: Callable[[Problem], bytes],
        **given: Any,  # noqa: ANN401 - uvicorn's own
    ) -> None:
        super().__init__(**given)
        self._limits = limits
        self._refused = refused
        self._problem: Problem | None = None
        self._in_head = False  # a request has begun, and its headers are not complete
        self._in_body = False  # its headers are complete, and its body is not
        self._unparsed = 0  # bytes of the head that came in pieces
        self._sizes: list[int] = []
        self._ended = False  # the last answer is written
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None  # while the caller does not read
        self._running: RequestResponseCycle | None = None  # that others may wait for
        self._surplus = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """As asyncio calls it."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # tells of all that the caller does not read
        # Decided once: who comes later takes no place away.
        self._surplus = len(self.connections) > self._limits.connections
        if len(self.connections) > self._limits.connections + _SPARE:
            transport.abort()
        self._set_timer(self._limits.head_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio calls it."""
        self._unset_timer()
        self._unset_unread()
        if self._running is not None:  # uvicorn tells the request that came last, which may wait
            self._running.disconnected = True
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """As asyncio calls it, where the caller does not read; a close would wait for it too."""
        super().pause_writing()
        self._unread = self.loop.call_later(self._limits.answer_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """As asyncio calls it, once the caller has read enough."""
        self._unset_unread()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """As asyncio calls it."""
        if self._ended:
            self._drop(len(data))
            return
        head = self.scope if self._in_head else None
        super().data_received(data)
        if self._in_head and self.scope is head:
            self._unparsed += len(data)
            if self._unparsed > _HEAD_BYTES:
                self._problem = _headers_too_large()
                self.send_400_response("")
        elif self._is_idle() and not (self._timer or self.timeout_keep_alive_task):
            # Empty lines between requests end uvicorn's own timer, and begin no request.
            self._set_timer(self._limits.head_seconds, self._head_is_late)

    def on_message_begin(self) -> None:
        """As httptools calls it."""
        super().on_message_begin()
        self._in_head = True
        self._unparsed = 0
        self._sizes.clear()
        if self._timer is None:
            self._set_timer(self._limits.head_seconds, self._head_is_late)

    def on_url(self, url: bytes) -> None:
        """As httptools calls it, perhaps several times."""
        super().on_url(url)
        if len(self.url) > _URI_BYTES:
            self._stop(Problem(URI_TOO_LONG, f"The request line has more than {_URI_BYTES} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """As httptools calls it; for what follows a chunked body as well, which nobody reads."""
        self._sizes.append(len(name) + len(value))
        if len(self._sizes) > _HEADERS or sum(self._sizes) > _HEAD_BYTES:
            self._stop(_headers_too_large())
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """As httptools calls it."""
        self._unset_timer()
        self._in_head = False
        if len(self.pipeline) >= _PIPELINED:
            self._stop(Problem(OVERLOADED, "Too many requests came at once", retry_after=1))
        self._check_head()
        super().on_headers_complete()
        self._in_body, self._dropped = True, 0
        if self.parser.should_upgrade():  # to what is not spoken here: the request stands alone
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """As httptools calls it."""
        super().on_body(body)
        if self.cycle.response_complete:
            self._drop(len(body))

    def on_message_complete(self) -> None:
        """As httptools calls it."""
        self._in_body = False
        super().on_message_complete()
        if self.cycle.response_complete:
            self._unset_timer()
            self._await_next()

    def on_response_complete(self) -> None:
        """As uvicorn calls it."""
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete:
            self._unset_keepalive_if_required()
            self._set_timer(self._limits.drain_seconds, self.transport.close)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own words
        """As uvicorn calls it, where a request is not sound: answers it and ends the connection."""
        self._unset_timer()
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn begins with none
        if cycle is not None and not (cycle.response_complete or self._in_body):
            # A sound request came before: its answer must not be taken for this one's.
            cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if self.pipeline:
            self.transport.close()
            return
        if cycle is None or not (self._in_body and cycle.response_started):
            problem = self._problem or Problem(BAD_REQUEST, "The request is not sound HTTP")
            self.transport.write(self._refused(problem))
        if cycle is not None:
            cycle.disconnected = True  # the rest of its body will not come
            cycle.message_event.set()
        self._end()

    def _is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn begins with none
        answered = cycle is None or cycle.response_complete
        return answered and not (self._in_head or self._in_body)

    def _end(self) -> None:
        """Says no more, and hears the caller out for a moment before the connection is closed."""
        self._ended, self._in_head, self._dropped = True, False, 0
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self._set_timer(self._limits.drain_seconds, self.transport.close)

    def _drop(self, size: int) -> None:
        self._dropped += size
        if self._dropped > _DRAIN_BYTES:
            self.transport.close()

    def _check_head(self) -> None:
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() != "1.0"):
            self._stop(Problem(BAD_REQUEST, "A request has one Host header"))
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings not in ([], [b"chunked"]):
            self._stop(Problem(BAD_REQUEST, "The only Transfer-Encoding is chunked"))
        if self._surplus:
            self._stop(Problem(OVERLOADED, "All connections are taken", retry_after=1))

    def _stop(self, problem: Problem) -> NoReturn:
        """Ends the parsing: whatever is raised in one of its calls, uvicorn asks for a 400."""
        self._problem = problem
        raise ValueError

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _head_is_late(self) -> None:
        self._timer = None
        if self._in_head:
            self._problem = Problem(TIMEOUT, "The headers were not complete in time")
            self.send_400_response("")
        else:
            self.transport.close()

    def _await_next(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _set_timer(self, seconds: float, act: Callable[[], None]) -> None:
        self._unset_timer()
        self._timer = self.loop.call_later(seconds, act)

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _unset_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def _headers_too_large() -> Problem:
    detail = f"There are more than {_HEADERS} headers, or more than {_HEAD_BYTES} bytes of them"
    return Problem(HEADERS_TOO_LARGE, detail)
