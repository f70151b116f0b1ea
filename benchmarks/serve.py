"""The REST service under load, with and without gathering, and its memory under overload.

One process serves, another sends, a third is the embedded queue: on two cores they share what
there is, so the figures compare the two ways and promise no rate. The calls a message and the
ratio do not depend on the machine as much as the rates do.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline import feeds
from pipeline.local import services
from pipeline.produce.generate import Recipe, generate
from pipeline.resources.settings import without_services
from pipeline.resources.sqs import SqsQueue
from pipeline.resources.sqs_client import Endpoint, make_client

_PIPELINE = Path(sys.executable).with_name("pipeline")
_ALONE = ("--linger-ms", "0", "--per-call", "1")
_BATCH = 200  # records: some dozens of connections ask for more than may wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of one service.

    Attributes:
        way: How it was started, or what it was asked.
        requests_a_second: Those that were answered 202.
        p50_ms: Of these, the median time.
        p99_ms: Of these, what 99 of a hundred do not exceed.
        calls_a_message: Of SQS.
        statuses: How many answers had which status; 0 for none.
        accepted: Messages that were answered 202.
        queued: Messages that the queue took meanwhile.
        peak_mib: The most memory that the service's process had.
    """

    way: str
    requests_a_second: float
    p50_ms: float
    p99_ms: float
    calls_a_message: float
    statuses: dict[str, int]
    accepted: int
    queued: int
    peak_mib: float

    def line(self) -> str:
        """One row of the table."""
        return (
            f"{self.way:<10} {self.requests_a_second:7.0f}/s   p50 {self.p50_ms:6.0f} ms   "
            f"p99 {self.p99_ms:6.0f} ms   {self.calls_a_message:5.3f} calls a message   "
            f"peak {self.peak_mib:4.0f} MiB   {self.statuses}"
        )


def serve(
    seconds: Annotated[float, typer.Option(help="How long each measurement takes.")] = 10.0,
    connections: Annotated[int, typer.Option(help="Requests under way at once.")] = 64,
    overload_seconds: Annotated[
        float, typer.Option(help="How long to send more than is taken; 600 for ten minutes.")
    ] = 15.0,
    report: Annotated[Path | None, typer.Option(help="Write the figures here: JSON.")] = None,
) -> None:
    """Load the REST service with gathering, without it, and with more than it may hold."""
    feed = feeds.find("user_logins")
    bodies = [event.body for event in generate(feed, Recipe(count=_BATCH, random_seed=1))]
    with tempfile.TemporaryDirectory(prefix="pipeline-bench-") as folder:
        place = Path(folder)
        one, batch = place / "one.json", place / "batch.json"
        one.write_text(bodies[0])
        batch.write_text(f"[{','.join(bodies)}]")
        running = services.ensure_running(place)
        try:
            client = make_client(Endpoint(running.sqs_endpoint, embedded=True), read_seconds=30)
            bench = _Bench(place, SqsQueue(client, feed, embedded=True))
            figures = [
                bench.measure("gathered", one, (connections, seconds)),
                bench.measure("alone", one, (connections, seconds), *_ALONE),
                bench.measure("overload", batch, (connections * 2, overload_seconds)),
            ]
        finally:
            services.stop(place)
    for each in figures:
        print(each.line())
    gathered, alone, _ = figures
    print(f"gathering: {gathered.requests_a_second / alone.requests_a_second:.2f} times the rate")
    if report is not None:
        report.write_text(json.dumps([asdict(each) for each in figures], indent=2))
    for each in figures:
        if each.accepted > each.queued:
            raise SystemExit(f"{each.way}: {each.accepted - each.queued} accepted, and not queued")


class _Bench:
    def __init__(self, folder: Path, queue: SqsQueue) -> None:
        self._environment = without_services(os.environ) | {"PIPELINE_LOCAL_DIR": str(folder)}
        self._queue = queue

    def measure(self, way: str, body: Path, load: tuple[int, float], *options: str) -> Figures:
        before = self._queue.depth().total
        with self._serving(*options) as (url, peak):
            sent = _load(f"{url}/v1/feeds/user_logins/messages", body, load)
            with urllib.request.urlopen(f"{url}/metrics") as answer:  # noqa: S310 - our own address  # nosec B310
                metrics = answer.read().decode()
        calls, messages = _total(metrics, "queue_calls"), _total(metrics, "messages")
        taken = sent["statuses"].get("202", 0)
        return Figures(
            way=way,
            requests_a_second=taken / sent["seconds"],
            p50_ms=sent["p50_ms"],
            p99_ms=sent["p99_ms"],
            calls_a_message=calls / max(messages, 1),
            statuses=sent["statuses"],
            accepted=taken * (_BATCH if body.stem == "batch" else 1),
            queued=self._queue.depth().total - before,
            peak_mib=max(peak),
        )

    @contextlib.contextmanager
    def _serving(self, *options: str) -> Iterator[tuple[str, list[float]]]:
        """A service: its URL, and its memory in MiB, twice a second."""
        process = subprocess.Popen(  # noqa: S603 - our own command
            [_PIPELINE, "serve", "--port", "0", *options],
            env=self._environment, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        over, memory = threading.Event(), [0.0]
        watch = threading.Thread(target=_watch, args=(process.pid, over, memory))
        watch.start()
        try:
            assert process.stderr is not None  # noqa: S101 - as it was asked for
            yield process.stderr.readline().split()[-1], memory
        finally:
            over.set()
            watch.join()
            process.terminate()
            process.communicate()


def _load(url: str, body: Path, load: tuple[int, float]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.load", url, str(body), *map(str, load)]
    done = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own module
    sent: dict[str, Any] = json.loads(done.stdout)
    return sent


def _watch(process: int, over: threading.Event, memory: list[float]) -> None:
    while not over.wait(0.5):
        command = ["ps", "-o", "rss=", "-p", str(process)]
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - of the system
        memory.append(int(done.stdout or 0) / 1024)


def _total(metrics: str, name: str) -> float:
    """A counter, summed over its labels."""
    lines = (line.rpartition(" ") for line in metrics.splitlines())
    return sum(
        float(value)
        for series, _, value in lines
        if series.startswith(f"pipeline_rest_{name}_total{{")
    )
