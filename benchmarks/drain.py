"""The drain without Dagster's start-up, beside bare receive and delete with the same threads.

All take generated logins from the same embedded queue, in turn, with the same client and threads.
The ratio to the same calls is what decoding, masking, loading and holding cost. The ratio to the
least calls, which ask for no attributes of a message, holds what the attributes cost too, without
which no run could settle anything. The rates are those of this machine at this moment.
"""

import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks.bare import receive_and_delete
from benchmarks.memory import peak_mib
from benchmarks.threads import in_threads
from pipeline import feeds
from pipeline.consume import further, stages
from pipeline.consume.postgres_warehouse import PostgresWarehouse
from pipeline.contract import Feed
from pipeline.local import services
from pipeline.masking.key_file import KeyFile
from pipeline.produce.generate import Recipe, generate
from pipeline.produce.seed import seed
from pipeline.resources.outside import Outside
from pipeline.resources.sqs_client import Endpoint, make_clients

_RUN: Final = "benchmark"
_HOUR: Final = 3600.0  # seconds: the messages end the run, not the time


@dataclass(frozen=True, slots=True)
class Round:
    """Messages a second in one round: of the drain, of the same calls, of the least calls."""

    drain: float
    same: float
    least: float


def drain(
    messages: Annotated[int, typer.Option(help="Messages in each round.")] = 60_000,
    rounds: Annotated[int, typer.Option(help="Rounds; the median ratio counts.")] = 3,
) -> None:
    """Drain generated logins, and receive and delete as many without doing anything else."""
    feed = feeds.find("user_logins")
    with tempfile.TemporaryDirectory(prefix="pipeline-bench-") as folder:
        place = Path(folder)
        running = services.ensure_running(place)
        try:
            endpoint = Endpoint(running.sqs_endpoint, embedded=True)
            outside = Outside(endpoint, running.postgres_url, KeyFile(place / "keyring.json"))
            results = [_round(feed, outside, messages) for _ in range(rounds)]
        finally:
            services.stop(place)
    for result in results:
        print(
            f"drain {result.drain:6.0f}/s   same calls, bare {result.same:6.0f}/s   "
            f"least calls, bare {result.least:6.0f}/s"
        )
    to_same = statistics.median(result.drain / result.same for result in results)
    to_least = statistics.median(result.drain / result.least for result in results)
    print(
        f"median ratio {to_same:.2f} to the same calls, {to_least:.2f} to the least calls, "
        f"over {rounds} rounds of {messages:,} messages"
    )
    print(f"peak memory {peak_mib():.0f} MiB")


def _round(feed: Feed, outside: Outside, messages: int) -> Round:
    return Round(
        drain=messages / _timed(drain_in_a_run, feed, outside, messages),
        same=messages / _timed(_same_calls, feed, outside, messages),
        least=messages / _timed(_least_calls, feed, outside, messages),
    )


def _timed(
    work: Callable[[Feed, Outside, int], None], feed: Feed, outside: Outside, count: int
) -> float:
    """Seconds that the work takes over that many freshly seeded messages."""
    queue = outside.queue_for_a_run(feed)
    seed(queue, generate(feed, Recipe(count=count)), progress=lambda _sent: None)
    started = time.perf_counter()
    work(feed, outside, count)
    seconds = time.perf_counter() - started
    if left := queue.depth().total:
        raise SystemExit(f"{left} messages were left on the queue: the figure would be wrong")
    return seconds


def drain_in_a_run(feed: Feed, outside: Outside, count: int) -> None:
    """What a run does, without Dagster: batch after batch, until so many messages are settled.

    Raises:
        SystemExit: Not all of it was loaded and acknowledged.
    """
    limits = feed.limits
    patient = replace(limits, run_messages=count, batch_messages=min(count, limits.batch_messages))
    feed = replace(feed, limits=replace(patient, run_seconds=_HOUR, run_age_seconds=2 * _HOUR))
    warehouse = PostgresWarehouse(feed, outside.postgres_url, outside.keyring)
    ports = stages.Ports(warehouse, functools.cache(lambda: outside.queue_for_a_run(feed)))
    first = stages.load(stages.mask(stages.extract(feed, ports)), _RUN)
    settled = further.finish(first, _RUN)
    total = sum(further.go_on(first, settled, _RUN), settled)
    if total.kept or total.account.loaded != count:
        raise SystemExit(f"not everything was loaded and acknowledged: {total.account}")


def _same_calls(feed: Feed, outside: Outside, count: int) -> None:
    """The calls that a run makes, and nothing done with what they bring."""
    queue = outside.queue_for_a_run(feed)

    def step(most: int) -> int:
        messages = queue.receive(most)
        if messages:
            queue.delete(messages)
        return len(messages)

    in_threads(step, messages=count, threads=feed.limits.receivers)


def _least_calls(feed: Feed, outside: Outside, count: int) -> None:
    """Calls that ask for as little as SQS allows."""
    limits = feed.limits
    _, hot = make_clients(outside.endpoint, read_seconds=30, connections=limits.receivers)
    url = outside.queue_for_a_run(feed).url
    receive_and_delete(hot, url, messages=count, threads=limits.receivers)
