"""The lean transport beside boto3: what a call costs, and how many messages a second come of it.

`many` is how a drain uses it: one thread that keeps as many calls under way as the others have
threads.

Both receive and delete by tens from a server that gives ready-made answers at once, so that what
is measured is the client: its time of a core for a call, and its rate over some threads.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from pipeline.resources.sqs_client import Endpoint, make_clients
from pipeline.transport.client import DELETE, RECEIVE
from pipeline.transport.many import Kind, Many

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from pipeline.transport.client import LeanClient

_TEN: Final = 10
_QUEUE: Final = "http://127.0.0.1/000000000000/bench"
_RECEIVE: Final[Any] = {
    "QueueUrl": _QUEUE,
    "MaxNumberOfMessages": _TEN,
    "WaitTimeSeconds": 1,
    "VisibilityTimeout": 60,
    "MessageSystemAttributeNames": ["SentTimestamp", "ApproximateReceiveCount"],
    "MessageAttributeNames": ["event_id"],
}
_DELETE: Final[Any] = {
    "QueueUrl": _QUEUE,
    "Entries": [{"Id": str(place), "ReceiptHandle": "r" * 200} for place in range(_TEN)],
}
_WARM_UP: Final = 20  # pairs of calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of one transport.

    Attributes:
        transport: Which.
        threads: That called.
        call_us: Microseconds of a core for one call.
        messages: A second that were received and deleted.
    """

    transport: str
    threads: int
    call_us: float
    messages: float

    def line(self) -> str:
        """One row of the table."""
        return (
            f"{self.transport:<6} {self.threads:>2} threads   "
            f"{self.call_us:6.0f} µs of a core a call   {self.messages:7.0f} messages/s"
        )


def transport(
    pairs: Annotated[int, typer.Option(help="Receives, each with a delete.", min=8)] = 3_000,
    threads: Annotated[int, typer.Option(help="In the second round.", min=2)] = 8,
    report: Annotated[Path | None, typer.Option(help="Write the figures here: JSON.")] = None,
) -> None:
    """Receive and delete by tens, over boto3 and over the lean transport."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.canned"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None  # noqa: S101 - as it was asked for
        endpoint = Endpoint(json.loads(process.stdout.readline())["url"], embedded=True)
        boto3, lean = make_clients(endpoint, read_seconds=30, connections=threads)
        figures = []
        for count in (1, threads):
            for name, client in (("boto3", boto3), ("lean", lean)):
                figures.append(_measure(name, client, pairs, count))
                print(figures[-1].line(), flush=True)
        figures.append(_measure_many(cast("LeanClient", lean), pairs, threads))
        print(figures[-1].line(), flush=True)
    finally:
        process.terminate()
        process.communicate()
    if report is not None:
        report.write_text(json.dumps([asdict(each) for each in figures], indent=2))


def _measure(name: str, client: "SQSClient | LeanClient", pairs: int, threads: int) -> Figures:
    _work(client, _WARM_UP)
    began, spent = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: _work(client, pairs // threads), range(threads)))
    spent, passed = time.process_time() - spent, time.perf_counter() - began
    done = pairs // threads * threads
    return Figures(
        transport=name,
        threads=threads,
        call_us=spent / (2 * done) * 1e6,
        messages=_TEN * done / passed,
    )


def _measure_many(client: "LeanClient", pairs: int, at_once: int) -> Figures:
    """One thread that keeps so many calls under way."""
    _work(client, _WARM_UP)
    began, spent = time.perf_counter(), time.process_time()
    for operation, request in ((RECEIVE, _RECEIVE), (DELETE, _DELETE)):
        kind: Kind[Mapping[str, object], object] = Kind(operation, _itself, _of_it, nullcontext)
        with closing(Many(client, kind, at_once)) as calls:
            left = pairs
            while left or calls.under_way:
                while left and calls.under_way < at_once:
                    calls.begin(request)
                    left -= 1
                calls.ended()
    spent, passed = time.process_time() - spent, time.perf_counter() - began
    return Figures(
        transport="many",
        threads=1,
        call_us=spent / (2 * pairs) * 1e6,
        messages=_TEN * pairs / passed,
    )


def _itself(request: Mapping[str, object]) -> Mapping[str, object]:
    return request


def _of_it(_request: Mapping[str, object], answer: object) -> object:
    return answer


def _work(client: "SQSClient | LeanClient", pairs: int) -> None:
    for _ in range(pairs):
        answer = client.receive_message(**_RECEIVE)
        client.delete_message_batch(
            QueueUrl=_QUEUE,
            Entries=[
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
                for place, message in enumerate(answer["Messages"])
            ],
        )
