"""A service that notes what reaches it: uvicorn, and the parser that the REST service has."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import uvicorn

from pipeline_tests.queue_fixtures import serving

ANSWER: Final = b'{"event_id":"noted"}'


@dataclass
class Noted:
    """A request that reached the service.

    Attributes:
        target: Path and query, as they were sent.
        headers: By their names in lower case; more values of a name stand in a list.
        body: What came of its body so far.
        ended: Whether the body has ended, or the connection has.
    """

    method: str
    target: str
    headers: dict[str, list[str]]
    body: bytes = b""
    ended: bool = False


class Upstream:
    """An ASGI application that notes requests, and answers 202 once the body is whole.

    `/v1/early` is answered 401 before its body is read; `/v1/silent` never.
    """

    def __init__(self) -> None:
        self.requests: list[Noted] = []
        self._changed = threading.Condition()

    def wait(self, until: Callable[[list[Noted]], bool]) -> bool:
        """Whether the requests become what a test waits for, within five seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: until(self.requests), timeout=5)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        noted = Noted(scope["method"], target(scope), headers(scope))
        with self._changed:
            self.requests.append(noted)
            self._changed.notify_all()
        if scope["path"] == "/v1/early":
            await answer(send, 401)
            return
        more = True
        while more:
            event = await receive()
            more = event.get("more_body", False)
            with self._changed:
                noted.body += event.get("body", b"")
                noted.ended = not more
                self._changed.notify_all()
        if scope["path"] == "/v1/silent":
            await asyncio.get_running_loop().create_future()
        await answer(send, 202)


async def answer(send: Any, status: int) -> None:  # noqa: ANN401 - ASGI
    """Send one JSON answer."""
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(ANSWER)),
        (b"x-request-id", b"of-the-service"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": ANSWER})


def target(scope: dict[str, Any]) -> str:
    """Path and query as they were sent."""
    query = scope["query_string"]
    path = scope["raw_path"] + (b"?" + query if query else b"")
    return str(path, "latin-1")


def headers(scope: dict[str, Any]) -> dict[str, list[str]]:
    """All values of each header."""
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return found


@contextlib.contextmanager
def upstream() -> Iterator[tuple[Upstream, str]]:
    """A noting service, and its host and port."""
    noting = Upstream()
    config = uvicorn.Config(
        noting,
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    with serving(uvicorn.Server(config)) as url:
        yield noting, url.removeprefix("http://")
