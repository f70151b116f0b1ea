"""Calls the embedded queue on the test's own loop, so that who waits when is certain."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from pipeline.local.queue.server import QueueApp
from pipeline.local.queue.wire import CUT

URL = "http://localhost/000000000000/q"


class Caller:
    """A client that may hang up, and whose connection may be cut."""

    def __init__(self, app: QueueApp) -> None:
        self.app = app
        self._gone: list[asyncio.Event] = []

    def hang_up(self) -> None:
        """Leave all calls under way."""
        for gone in self._gone:
            gone.set()

    def start(self, operation: str, **content: object) -> asyncio.Task[dict[str, Any]]:
        """Begin a call on queue `q`; its outcome is the body of the reply."""
        return asyncio.ensure_future(self.call(operation, **content))

    async def call(self, operation: str, **content: object) -> dict[str, Any]:
        """Make a call on queue `q`; the body of the reply, or `CUT` alone if there is none."""
        return await self.post(f"AmazonSQS.{operation}", {"QueueUrl": URL, **content})

    async def steer(self, operation: str, **content: object) -> dict[str, Any]:
        """Make a call that steers the queue."""
        return await self.post(f"QueueControl.{operation}", content)

    async def post(self, target: str, content: dict[str, object]) -> dict[str, Any]:
        events = [{"type": "http.request", "body": json.dumps(content).encode()}]
        sent: list[MutableMapping[str, Any]] = []
        cuts: list[str] = []
        gone = asyncio.Event()
        self._gone.append(gone)

        async def receive() -> MutableMapping[str, Any]:
            if not events:
                await gone.wait()
                return {"type": "http.disconnect"}
            return events.pop()

        def cut() -> None:
            cuts.append(target)
            gone.set()

        async def send(event: MutableMapping[str, Any]) -> None:
            sent.append(event)

        scope = {
            "type": "http",
            "method": "POST",
            "headers": [(b"host", b"localhost"), (b"x-amz-target", target.encode())],
            "extensions": {CUT: {"cut": cut}},
        }
        await self.app(scope, receive, send)
        if cuts:
            assert sent == []
            return {CUT: True}
        answer: dict[str, Any] = json.loads(sent[1]["body"])
        return answer

    async def waiting(self, count: int, seconds: int = 20) -> list[asyncio.Task[dict[str, Any]]]:
        """So many receivers, each already asleep."""
        polls = [self.start("ReceiveMessage", WaitTimeSeconds=seconds) for _ in range(count)]
        await settled()
        assert not any(poll.done() for poll in polls)
        return polls


async def settled() -> None:
    """Let every task run until it waits for something from outside."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(app: QueueApp, scenario: Callable[[Caller], Awaitable[None]]) -> None:
    """Play a scenario against an application."""

    async def main() -> None:
        caller = Caller(app)
        await scenario(caller)
        caller.app.release_waiting()
        await settled()

    asyncio.run(main())
