"""Fixtures: a real embedded queue over HTTP, empty for every test, and a boto3 client for it."""

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import boto3
import botocore.config
import pytest
import uvicorn
from mypy_boto3_sqs import SQSClient

from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.messages import Place
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import QueueApp, QueueServer
from pipeline.local.queue.wire import Receive, Send


@contextlib.contextmanager
def serving(server: uvicorn.Server) -> Iterator[str]:
    """Run a server in a thread, on a free loopback port; its URL is the value."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # The listener queues connections before the server's loop has started.
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class FreshApp(QueueApp):
    """An application that stands before those of single tests, so that one server serves all.

    Args:
        fresh: Makes the queues that a test begins with.
    """

    def __init__(self, fresh: Callable[[], Queues] | None = None) -> None:
        self._fresh = fresh or new_queues
        self._app = QueueApp(self._fresh())
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        await self._app(scope, receive, send)

    def release_waiting(self) -> None:
        self._app.release_waiting()

    def replace(self, app: QueueApp | None = None) -> None:
        """Begin with empty queues, or with those of an app; end the long polls on the old ones."""
        old, self._app = self._app, app or QueueApp(self._fresh())
        if self._loop is not None:
            self._loop.call_soon_threadsafe(old.release_waiting)


def new_queues() -> Queues:
    """Empty queues on the real clock."""
    return Queues(clock=time.time, rng=random.SystemRandom())


def seeded_queues(clock: Callable[[], float], **attributes: str) -> Queues:
    """Queues on a clock of the test's own, with one queue `q` and room for 50 in flight."""
    rng = random.Random(1)  # noqa: S311 - ids that are the same in every run
    queues = Queues(clock=clock, rng=rng, max_in_flight=50)
    queues.create("q", attributes, {})
    return queues


def send(queues: Queues, *bodies: str) -> list[str]:
    """Put bodies on queue `q`; the ids of the messages."""
    return [queues.send("q", body, attributes={}).id for body in bodies]


def counts(queues: Queues, name: str = "q") -> tuple[int, int, int]:
    """How many messages of a queue are ready, delayed and in flight."""
    queue = queues.get(name)
    return queue.count(Place.READY), queue.count(Place.DELAYED), queue.count(Place.IN_FLIGHT)


def refusal(act: Callable[[], object]) -> str:
    """The code with which the queue refuses an action."""
    with pytest.raises(SqsError) as caught:
        act()
    return caught.value.code


def client_for(url: str, aws: boto3.Session) -> SQSClient:
    """A boto3 client with credentials and region of its own, whatever the environment says."""
    return aws.client(
        "sqs",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the embedded queue checks none
        config=botocore.config.Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=5,
            read_timeout=30,
        ),
    )


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until the test moves it."""
    return Clock()


@pytest.fixture
def queues(clock: Clock) -> Queues:
    """Queues on that clock, with one empty queue `q`."""
    return seeded_queues(clock)


@pytest.fixture(scope="session")
def aws_session() -> boto3.Session:
    """One session for all clients: it loads SQS's model only once."""
    return boto3.Session()


@pytest.fixture(scope="session")
def queue_server() -> Iterator[tuple[str, FreshApp]]:
    """The URL of the one server, and the application whose queues each test replaces."""
    app = FreshApp()
    with serving(QueueServer(app)) as url:
        yield url, app


@pytest.fixture
def queue_endpoint(queue_server: tuple[str, FreshApp]) -> Iterator[str]:
    """The URL of an embedded queue server without queues."""
    url, app = queue_server
    app.replace()
    yield url
    app.replace()


@pytest.fixture
def sqs(queue_endpoint: str, aws_session: boto3.Session) -> Iterator[SQSClient]:
    """A boto3 client for `queue_endpoint`."""
    with contextlib.closing(client_for(queue_endpoint, aws_session)) as client:
        yield client
