"""What tests do to the outside world: ask the warehouse, script a queue, lose an answer of it."""

import contextlib
import io
import itertools
import json
import selectors
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.compat import HTTPHeaders
from mypy_boto3_sqs import SQSClient

from pipeline.messages import Ask, Calls, Message, Outcome, Refusals
from pipeline.threaded_calls import ThreadedCalls

KMS_REFUSALS: Final = (
    "KmsAccessDenied",
    "KmsDisabled",
    "KmsInvalidKeyUsage",
    "KmsInvalidState",
    "KmsNotFound",
    "KmsOptInRequired",
    "KmsThrottled",
)
"""Of SQS's own model, for `SendMessage` and `ReceiveMessage` alike."""


def ask(url: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """The rows that a statement answers with, in a transaction of its own."""
    with psycopg.connect(url) as connection:
        # Bytes, because statements are put together here; without parameters, several may come.
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def _nothing_refused(_messages: Sequence[Message]) -> Refusals[Message]:
    return Refusals()


class StandInQueue:
    """A queue that records every call and answers as it is told.

    Args:
        receive: What `receive(count)` answers; nothing by default.
        delete: What `delete` answers; refuses nothing by default.
        hide: What `hide` answers; refuses nothing by default.
    """

    def __init__(
        self,
        *,
        receive: Callable[[int], list[Message]] = lambda _count: [],
        delete: Callable[[Sequence[Message]], Refusals[Message]] = _nothing_refused,
        hide: Callable[[Sequence[Message]], Refusals[Message]] = _nothing_refused,
    ) -> None:
        self._receive, self._delete, self._hide = receive, delete, hide
        self.asked: list[int] = []
        self.deleted: list[list[Message]] = []
        self.hidden: list[tuple[list[Message], int]] = []

    def receive(self, count: int) -> list[Message]:
        self.asked.append(count)
        return self._receive(count)

    def delete(self, messages: Sequence[Message]) -> Refusals[Message]:
        self.deleted.append(list(messages))
        return self._delete(messages)

    def receives(self, at_once: int) -> Calls[int, list[Message]]:
        return ThreadedCalls(self.receive, at_once)

    def deletes(self, at_once: int) -> Calls[Sequence[Message], Refusals[Message]]:
        return ThreadedCalls(self.delete, at_once)

    def hide(self, messages: Sequence[Message], seconds: int) -> Refusals[Message]:
        self.hidden.append((list(messages), seconds))
        return self._hide(messages)


def all_of(calls: Calls[Ask, Outcome]) -> list[Outcome | Exception]:
    """What the calls that are under way come to."""
    outcomes: list[Outcome | Exception] = []
    while calls.under_way:
        outcomes += [outcome for _, outcome in calls.ended()]
    return outcomes


class _Raw(io.BytesIO):
    """The part of urllib3's response that botocore reads."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


@contextlib.contextmanager
def answered(
    client: SQSClient, operation: str, *bodies: dict[str, object], status: int = 200, code: str = ""
) -> Iterator[list[AWSRequest]]:
    """Answers the first calls of an operation in SQS's place; those after them reach it.

    Args:
        client: Whose calls.
        operation: As SQS names it: `SendMessageBatch`.
        *bodies: One body for each call that is answered.
        status: The HTTP status of these answers.
        code: The error code, as it stands in the header that the SDKs read.

    Yields:
        The requests of this operation, as they come; those that SQS answers too.
    """
    requests: list[AWSRequest] = []

    def instead(request: AWSRequest, **_: object) -> AWSResponse | None:
        requests.append(request)
        if len(requests) > len(bodies):
            return None
        raw = _Raw(json.dumps(bodies[len(requests) - 1]).encode())
        headers = HTTPHeaders()
        if code:
            headers["x-amzn-query-error"] = f"{code};Sender"
        return AWSResponse(request.url or "", status, headers, raw)

    event = f"before-send.sqs.{operation}"
    client.meta.events.register(event, instead)  # type: ignore[arg-type] # it may answer
    try:
        yield requests
    finally:
        client.meta.events.unregister(event, instead)  # type: ignore[arg-type] # as above


def refusing(
    client: SQSClient, operation: str, code: str, *, status: int = 400, times: int = 1
) -> contextlib.AbstractContextManager[list[AWSRequest]]:
    """Refuses the first calls of an operation with an error code of SQS."""
    body: dict[str, object] = {"__type": f"com.amazonaws.sqs#{code}", "message": "withheld"}
    bodies = itertools.repeat(body, times)
    return answered(client, operation, *bodies, status=status, code=code)


@contextlib.contextmanager
def unused_port() -> Iterator[int]:
    """A loopback port that is taken, and at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A loopback port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def cut_at_commit(url: str, *, delivered: bool) -> Iterator[str]:
    """A way to the warehouse on which one connection breaks at its COMMIT.

    Args:
        url: The warehouse.
        delivered: Whether the server gets the COMMIT, and only its answer is lost.

    Yields:
        The URL that leads there.
    """
    target = urlsplit(url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)  # seconds, for a test that never connects
        place = (target.hostname or "", target.port or 5432)
        proxy = threading.Thread(target=_pass_on, args=(listener, place, delivered))
        proxy.start()
        port = listener.getsockname()[1]
        yield url.replace(f"{target.hostname}:{target.port}", f"127.0.0.1:{port}")
        proxy.join(timeout=10)


def _pass_on(listener: socket.socket, place: tuple[str, int], delivered: bool) -> None:  # noqa: FBT001 - called by a thread
    client, _ = listener.accept()
    server = socket.create_connection(place)
    other = {client: server, server: client}
    committing, said = False, b""
    with client, server, selectors.DefaultSelector() as waiting:
        for each in other:
            waiting.register(each, selectors.EVENT_READ, data=each)
        while True:
            for key, _ in waiting.select():
                side = key.data
                heard = side.recv(65_536)
                if not heard or (committing and side is server):
                    return
                if side is client:
                    said = said[-8:] + heard
                    committing = b"COMMIT\0" in said
                    if committing and not delivered:
                        return
                other[side].sendall(heard)
