"""The embedded queue under load, with and without rules, beside moto's queue.

One process serves and this one calls, over a few connections that each have one call under way:
on two cores each has one. The share of a core that the client took says what bounds a figure:
where it is far from all of it, the server does. The client is bare asyncio streams with
ready-made requests; boto3 would take longer than the servers do.

moto's own server wants Flask, which this project does without. So its responses are served by
werkzeug, the server under Flask: `python -m benchmarks.queue` in a process of its own.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from werkzeug.serving import WSGIRequestHandler, make_server

_BATCH: Final = 10
_BODY: Final = "x" * 300  # characters: about one login
# Each kind of fault that neither waits nor breaks off what the measurement counts.
_RULES: Final = [
    {"operation": operation, "effect": effect, "probability": 0.1}
    for operation, effect in (
        ("ReceiveMessage", {"kind": "duplicate"}),
        ("ReceiveMessage", {"kind": "redeliver"}),
        ("ReceiveMessage", {"kind": "reorder"}),
        ("ReceiveMessage", {"kind": "short"}),
        ("ReceiveMessage", {"kind": "empty"}),
        ("DeleteMessageBatch", {"kind": "undelete"}),
        ("DeleteMessageBatch", {"kind": "part"}),
        ("*", {"kind": "fail", "code": "RequestThrottled"}),
    )
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of one queue.

    Attributes:
        server: Which queue.
        backlog: Messages that waited all the while.
        calls: A second: a third each of batches of ten sent, receives, and batches deleted.
        delivered: Messages a second that were received.
        client_share: Of one core, that the client took.
    """

    server: str
    backlog: int
    calls: float
    delivered: float
    client_share: float

    def line(self) -> str:
        """One row of the table."""
        return (
            f"{self.server:<20} backlog {self.backlog:>6}   {self.calls:7.0f} calls/s   "
            f"{self.delivered:7.0f} messages/s   client {self.client_share:4.0%} of a core"
        )


def queue(
    seconds: Annotated[float, typer.Option(help="How long each measurement takes.")] = 3.0,
    connections: Annotated[int, typer.Option(help="Calls under way at once.")] = 16,
    backlog: Annotated[int, typer.Option(help="Messages that wait in the second round.")] = 1_000,
    report: Annotated[Path | None, typer.Option(help="Write the figures here: JSON.")] = None,
) -> None:
    """Send, receive and delete by tens as quickly as can be, on each queue."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="pipeline-bench-") as folder:
        rules = Path(folder) / "rules.json"
        rules.write_text(json.dumps(_RULES))
        ours = ("pipeline.local.queue",)
        for name, module in (
            ("embedded", ours),
            ("embedded with rules", (*ours, "--rules", str(rules), "--seed", "1")),
            ("moto", ("benchmarks.queue",)),
        ):
            for waiting in (0, backlog):
                bench = _Bench(connections, seconds, waiting)
                figures.append(bench.measure(name, module))
                print(figures[-1].line(), flush=True)
    if report is not None:
        report.write_text(json.dumps([asdict(each) for each in figures], indent=2))


class _Bench:
    def __init__(self, connections: int, seconds: float, backlog: int) -> None:
        self._connections = connections
        self._seconds = seconds
        self._backlog = backlog

    def measure(self, name: str, module: Iterable[str]) -> Figures:
        """Run a server, load it, and stop it."""
        process = subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", *module], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None  # noqa: S101 - as it was asked for
            url = json.loads(process.stdout.readline())["url"]
            return asyncio.run(self._load(name, url))
        finally:
            process.terminate()
            process.communicate()

    async def _load(self, name: str, url: str) -> Figures:
        host, port = url.removeprefix("http://").split(":")
        first = _Caller(host, int(port))
        made = await first.call("CreateQueue", {"QueueName": "bench"})
        place = made["QueueUrl"]
        for _ in range(self._backlog // _BATCH):
            await first.call("SendMessageBatch", {"QueueUrl": place, "Entries": _ENTRIES})
        callers = [_Caller(host, int(port)) for _ in range(self._connections)]
        busy, started = time.process_time(), time.perf_counter()
        until = started + self._seconds
        await asyncio.gather(*(_deliver(caller, place, until) for caller in callers))
        took = time.perf_counter() - started
        return Figures(
            server=name,
            backlog=self._backlog,
            calls=sum(caller.calls for caller in callers) / took,
            delivered=sum(caller.received for caller in callers) / took,
            client_share=(time.process_time() - busy) / took,
        )


_ENTRIES: Final = [{"Id": str(number), "MessageBody": _BODY} for number in range(_BATCH)]


class _Caller:
    """One connection, made again where the server closes it, and how much went over it."""

    def __init__(self, host: str, port: int) -> None:
        self._place = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.calls = 0
        self.received = 0

    async def call(self, operation: str, content: dict[str, Any]) -> dict[str, Any]:
        """What the queue answers; empty where it refuses."""
        answer = await self.post(_request(operation, content))
        return dict(json.loads(answer)) if answer else {}

    async def post(self, request: bytes) -> bytes:
        """The body of the answer; empty where it is an error."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._place)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
        if b"connection: close" in head:
            writer.close()
            self._streams = None
        self.calls += 1
        return body if head.split(b" ", 2)[1] == b"200" else b""


async def _deliver(caller: _Caller, place: str, until: float) -> None:
    """Ten in, ten out, again and again."""
    send = _request("SendMessageBatch", {"QueueUrl": place, "Entries": _ENTRIES})
    asked = {"QueueUrl": place, "MaxNumberOfMessages": _BATCH}
    receive = _request("ReceiveMessage", asked)
    while time.perf_counter() < until:
        await caller.post(send)
        messages = json.loads(await caller.post(receive) or b"{}").get("Messages", [])
        caller.received += len(messages)
        receipts = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
            for number, message in enumerate(messages)
        ]
        if receipts:
            await caller.call("DeleteMessageBatch", {"QueueUrl": place, "Entries": receipts})


def _request(operation: str, content: dict[str, Any]) -> bytes:
    body = json.dumps(content).encode()
    return (
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-amz-json-1.0\r\n"
        f"X-Amz-Target: AmazonSQS.{operation}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class _SilentHandler(WSGIRequestHandler):
    """Writes no line for each call."""

    def log(self, *_: object) -> None:
        """Write nothing."""


def _answer_by_moto(
    environ: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], object]
) -> Iterator[bytes]:
    """One call of moto's queue, as its own server makes it."""
    from moto.core.request import Request  # noqa: PLC0415 - in moto's process only
    from moto.sqs.responses import SQSResponse  # noqa: PLC0415 - as above

    request = Request(environ)
    status, headers, content = SQSResponse.dispatch(request, request.raw_url, request.headers)
    body = content.encode() if isinstance(content, str) else content
    known = [(str(key), str(value)) for key, value in headers.items() if key != "status"]
    start(f"{status} answered", [*known, ("Content-Length", str(len(body)))])
    yield body


def _serve_moto() -> None:
    app, handler = _answer_by_moto, _SilentHandler
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=handler)
    url = f"http://127.0.0.1:{server.server_port}"
    print(json.dumps({"url": url}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _serve_moto()
