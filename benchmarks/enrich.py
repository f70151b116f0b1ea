"""Work of a tenth of a second for each message, in one run of the real job, beside ten threads.

The job is that of the feed `messages`, in this process, with embedded services: it receives,
decodes, enriches, masks, loads and acknowledges. Ten threads that wait for a tenth of a second
are what a well-known solution does, and here they do nothing else. The rates are those of this
machine at this moment.
"""

import json
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
import typer

from pipeline import feeds
from pipeline.consume.asset import ingest
from pipeline.local import services
from pipeline.messages import Event
from pipeline.operate.drain import ingest_once
from pipeline.produce.seed import seed
from pipeline.resources.outside import Outside
from pipeline.resources.outside_resource import OutsideResource
from pipeline.resources.settings import without_services

_WORK = 0.1  # seconds, as in the feed `messages`
_THREADS = 10
_SAMPLE = 200  # messages that the threads work on
_AROUND = dg.Definitions(
    resources={"outside": OutsideResource(), "io_manager": dg.mem_io_manager},
    executor=dg.in_process_executor,
)
_STAGES = ("receive", "decode", "enrich", "mask", "load", "acknowledge")


def enrich(
    messages: Annotated[int, typer.Option(help="Messages in each round.")] = 10_000,
    rounds: Annotated[int, typer.Option(help="Rounds; the medians count.")] = 3,
) -> None:
    """Enrich generated messages in one run each round, and wait as long with ten threads."""
    with tempfile.TemporaryDirectory(prefix="pipeline-bench-") as folder:
        os.environ |= {"PIPELINE_LOCAL_DIR": folder}
        for name in set(os.environ) - set(without_services(os.environ)):
            del os.environ[name]
        try:
            services.ensure_running(Path(folder))
            results = [_round(messages) for _ in range(rounds)]
        finally:
            services.stop(Path(folder))
    stage = statistics.median(messages / numbers["seconds/enrich"] for _, numbers in results)
    whole = statistics.median(messages / seconds for seconds, _ in results)
    threads = _SAMPLE / _ten_threads()
    print(
        f"medians over {rounds} rounds of {messages:,} messages: the stage {stage:.0f}/s, the whole"
        f" run {whole:.0f}/s; ten threads {threads:.0f}/s, a {stage / threads:.0f}th of the stage"
    )


def _round(count: int) -> tuple[float, dict[str, Any]]:
    """Seconds of one run over that many fresh messages, and its numbers."""
    feed = feeds.find("messages")
    # Full with these messages, so that no run waits at its end for more of them.
    feed = replace(feed, limits=replace(feed.limits, batch_messages=count))
    outside = Outside.of(os.environ)
    seed(outside.queue_for_a_run(feed), _events(count), progress=lambda _sent: None)
    definitions = dg.Definitions.merge(ingest(feed), _AROUND)
    with dg.DagsterInstance.ephemeral() as instance:
        started = time.perf_counter()
        numbers: dict[str, Any] = dict(ingest_once(definitions, feed, instance).numbers)
        seconds = time.perf_counter() - started
    if numbers["rows"] != count:
        raise SystemExit(f"{numbers['rows']} rows of {count} messages: the figure would be wrong")
    stages = "  ".join(f"{name} {numbers[f'seconds/{name}']:.2f}" for name in _STAGES)
    print(f"run {count / seconds:6.0f}/s in {seconds:.2f} s, of these: {stages}")
    return seconds, numbers


def _events(count: int) -> Iterator[Event]:
    """Messages that are all different."""
    for place in range(count):
        envelope = {
            "type": "order.created",
            "occurred_at": "2026-01-01T00:00:00Z",
            "payload": {"order": place, "customer": f"customer-{place}", "amount": place % 100},
        }
        yield Event(str(uuid.uuid4()), json.dumps(envelope))


def _ten_threads() -> float:
    """Seconds that ten threads need for the sample, waiting only."""
    started = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(lambda _: time.sleep(_WORK), range(_SAMPLE)):
            pass
    return time.perf_counter() - started
