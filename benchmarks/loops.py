"""The loops that people write, and the bare calls, each in a process of its own.

    python -m benchmarks.loops NAME

reads a task as JSON from standard input, works it off and prints what it took as JSON. What is
measured begins when clients and connections are made; the loops store what they are sent as it
is, mask nothing, and may store a message twice: they have less to do than ours.

Each process imports what its loop needs and no more, so that its memory is its own.
`psycopg2` is there because dagster-postgres brings it.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

import boto3
import psycopg
import psycopg2  # type: ignore[import-untyped]
from botocore.config import Config
from psycopg2.extras import execute_values  # type: ignore[import-untyped]

from benchmarks.bare import receive_and_delete
from benchmarks.memory import peak_mib
from benchmarks.threads import in_threads
from pipeline.resources.sqs_client import Endpoint, make_clients

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

PLAIN: Final = "benchmark.plain"
"""The table of the loops that people write: the fields of a login as they were sent."""

NAMES: Final = ("user_id", "device_type", "ip", "device_id", "locale", "app_version")
"""Its columns."""

_WELL_MADE_THREADS: Final = 10
BARE_THREADS: Final = 8
"""That make bare calls: as many calls under way as the loops of others have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a loop is to do.

    Attributes:
        messages: How many are on the queue.
        endpoint: Of SQS.
        queue_url: The queue's.
        postgres_url: The warehouse; it holds a password, and shows in no representation.
        keyring: The file of the keys.
        distinct: Share of distinct values, for those who make the messages themselves.
    """

    messages: int
    endpoint: str
    queue_url: str
    postgres_url: str = field(repr=False)
    keyring: str
    distinct: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the work took.

    Attributes:
        seconds: By the clock.
        cpu_seconds: Of a core, all threads together.
        peak_mib: The most memory that the process had.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float


Prepare = Callable[[Task], Callable[[], object]]
"""Makes what the work needs, and returns the work."""


def main(name: str) -> None:
    """Does one task.

    Args:
        name: Of the loop.
    """
    work = _find(name)(Task(**json.load(sys.stdin)))
    started, spent = time.perf_counter(), time.process_time()
    work()
    spent, took = time.process_time() - spent, time.perf_counter() - started
    print(json.dumps(asdict(Spent(seconds=took, cpu_seconds=spent, peak_mib=peak_mib()))))


def _find(name: str) -> Prepare:
    if name in _LOOPS:
        return _LOOPS[name]
    from benchmarks.own_loops import OWN_LOOPS  # noqa: PLC0415 - its memory is not that of others

    return OWN_LOOPS[name]


def _simplest(task: Task) -> Callable[[], object]:
    """One message after the other, as first tutorials do it."""
    client = _plain_client(task, connections=1)
    connection = psycopg.connect(task.postgres_url)
    places = ", ".join(["%s"] * len(NAMES))
    insert = f"INSERT INTO {PLAIN} ({', '.join(NAMES)}) VALUES ({places})"  # noqa: S608 - constants

    def step(_: int) -> int:
        url = task.queue_url
        answer = client.receive_message(QueueUrl=url, MaxNumberOfMessages=1, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            connection.execute(insert, _row(message))
            connection.commit()
            client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(answer.get("Messages", []))

    return lambda: in_threads(step, messages=task.messages, threads=1)


def _well_made(task: Task) -> Callable[[], object]:
    """By tens with ten threads: one statement, one commit and one delete for each ten."""
    client = _plain_client(task, connections=_WELL_MADE_THREADS)
    connections = _Pool(task.postgres_url, _WELL_MADE_THREADS)
    insert = f"INSERT INTO {PLAIN} ({', '.join(NAMES)}) VALUES %s"  # noqa: S608 - constants

    def step(count: int) -> int:
        answer = client.receive_message(
            QueueUrl=task.queue_url, MaxNumberOfMessages=count, WaitTimeSeconds=1
        )
        messages = answer.get("Messages", [])
        if not messages:
            return 0
        with connections.one() as connection, connection.cursor() as cursor:
            execute_values(cursor, insert, [_row(message) for message in messages])
            connection.commit()
        client.delete_message_batch(
            QueueUrl=task.queue_url,
            Entries=[
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
                for place, message in enumerate(messages)
            ],
        )
        return len(messages)

    return lambda: in_threads(step, messages=task.messages, threads=_WELL_MADE_THREADS)


def _bare(task: Task, *, lean: bool) -> Callable[[], object]:
    endpoint = Endpoint(task.endpoint, embedded=True, lean=lean)
    _, client = make_clients(endpoint, read_seconds=30, connections=BARE_THREADS)
    return lambda: receive_and_delete(
        client, task.queue_url, messages=task.messages, threads=BARE_THREADS
    )


_LOOPS: Final[dict[str, Prepare]] = {
    "simplest": _simplest,
    "well-made": _well_made,
    "bare boto3": lambda task: _bare(task, lean=False),
    "bare lean": lambda task: _bare(task, lean=True),
}


def _plain_client(task: Task, *, connections: int) -> "SQSClient":
    """As boto3 makes it by itself, but for a connection for each thread."""
    return boto3.client(
        "sqs",
        endpoint_url=task.endpoint,
        region_name="us-east-1",
        aws_access_key_id="embedded",
        aws_secret_access_key="embedded",  # noqa: S106 - the embedded queue checks none
        config=Config(max_pool_connections=connections),
    )


def _row(message: Mapping[str, Any]) -> tuple[object, ...]:
    record = json.loads(message["Body"])
    return tuple(record.get(name) for name in NAMES)


class _Pool:
    """As many connections as there are threads; a thread has one to itself while it uses it."""

    def __init__(self, url: str, count: int) -> None:
        self._free: SimpleQueue[Any] = SimpleQueue()
        for _ in range(count):
            self._free.put(psycopg2.connect(url))

    @contextmanager
    def one(self) -> Iterator[Any]:
        connection = self._free.get()
        try:
            yield connection
        finally:
            self._free.put(connection)


if __name__ == "__main__":
    main(sys.argv[1])
