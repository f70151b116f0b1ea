"""The embedded queue with every call counted, and with gates at which calls stop."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Final

from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import QueueApp
from pipeline.local.queue.wire import Receive, Send

_DENIED: Final = b'{"__type": "com.amazonaws.sqs#AccessDenied", "message": "by the test"}'


class Gate:
    """Stops an operation from its n-th call on, before or after the queue has done it."""

    def __init__(self, operation: str, nth: int, *, performed: bool) -> None:
        self.operation = operation
        self.nth = nth
        self.performed = performed
        self.reached = threading.Event()
        self.opened = asyncio.Event()


class ObservedApp(QueueApp):
    """The embedded queue, with every call counted, and with gates and hooks for tests."""

    def __init__(self, queues: Queues) -> None:
        super().__init__(queues)
        self.calls: Counter[str] = Counter()
        self.hooks: dict[tuple[str, int], Callable[[], None]] = {}
        self._gates: list[Gate] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        target = dict(scope["headers"]).get(b"x-amz-target", b"").decode()
        operation = target.removeprefix("AmazonSQS.")
        self.calls[operation] += 1
        call = self.calls[operation]
        for gate in self._gates:
            if gate.operation == operation and call >= gate.nth:
                await self._stop_at(gate, scope, receive, send)
                return
        hook = self.hooks.get((operation, call))
        if hook is not None:
            hook()
        await super().__call__(scope, receive, send)

    async def _stop_at(
        self, gate: Gate, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        if gate.performed and not gate.reached.is_set():
            await super().__call__(scope, receive, _discard)
        gate.reached.set()
        await gate.opened.wait()
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": _DENIED})

    @contextlib.contextmanager
    def gate(self, operation: str, nth: int, *, performed: bool = False) -> Iterator[Gate]:
        """Holds the n-th call from now on and all later ones, until `let_fail` or the end."""
        gate = Gate(operation, self.calls[operation] + nth, performed=performed)
        self._gates.append(gate)
        try:
            yield gate
        finally:
            self._gates.remove(gate)
            self.let_fail(gate)

    def let_fail(self, gate: Gate) -> None:
        """Answers the calls that a gate holds, and those that still come, with a refusal."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(gate.opened.set)


async def _discard(_event: MutableMapping[str, Any]) -> None:
    """Takes an answer that the client is never to see."""
