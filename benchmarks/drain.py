"""The drain without Dagster's start-up, beside bare receive and delete with the same threads.

All take generated logins from the same embedded queue, in turn, with the same client and threads.
The ratio to the same calls is what decoding, masking, loading and holding cost. The ratio to the
least calls, which ask for no attributes of a message, holds what the attributes cost too, without
which no run could settle anything. The rates are those of this machine at this moment.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.bare import receive_and_delete
from benchmarks.memory import peak_mib
from benchmarks.threads import in_threads
from pipeline import feeds
from pipeline.consume.held import Held
from pipeline.consume.load import Load, settle
from pipeline.consume.postgres_warehouse import PostgresWarehouse
from pipeline.consume.readiness import check_sink
from pipeline.consume.receive import receive
from pipeline.consume.settlement import decode_batch
from pipeline.contract import Feed
from pipeline.local import services
from pipeline.masking.key_file import KeyFile
from pipeline.masking.mask import mask
from pipeline.produce.generate import Recipe, generate
from pipeline.produce.seed import seed
from pipeline.resources.outside import Outside
from pipeline.resources.sqs_client import Endpoint, make_clients


@dataclass(frozen=True, slots=True)
class Round:
    """Messages a second in one round: of the drain, of the same calls, of the least calls."""

    drain: float
    same: float
    least: float


def drain(
    messages: Annotated[int, typer.Option(help="Messages in each round.")] = 20_000,
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
        drain=messages / _timed(drain_once, feed, outside, messages),
        same=messages / _timed(_same_calls, feed, outside, messages),
        least=messages / _timed(_least_calls, feed, outside, messages),
    )


def _timed(
    work: Callable[[Feed, Outside], None], feed: Feed, outside: Outside, count: int
) -> float:
    """Seconds that the work takes over that many freshly seeded messages."""
    exact = replace(feed, limits=replace(feed.limits, batch_messages=count))
    queue = outside.queue_for_a_run(exact)
    seed(queue, generate(exact, Recipe(count=count)), progress=lambda _sent: None)
    started = time.perf_counter()
    work(exact, outside)
    seconds = time.perf_counter() - started
    if left := queue.depth().total:
        raise SystemExit(f"{left} messages were left on the queue: the figure would be wrong")
    return seconds


def drain_once(feed: Feed, outside: Outside) -> None:
    """What a run does, without Dagster: one batch, as large as the feed's limits allow.

    Raises:
        SystemExit: Not all of it was loaded and acknowledged.
    """
    keyring = check_sink(feed, url=outside.postgres_url, keyring=outside.keyring)
    queue = outside.queue_for_a_run(feed)
    held = Held(queue, feed.limits)
    messages = receive(queue, held, feed.limits)
    batch = decode_batch(feed, messages, keyring.settlement_key(feed.name))
    masked = replace(batch, frame=mask(feed, batch.frame, keyring))
    warehouse = PostgresWarehouse(feed, outside.postgres_url, outside.keyring)
    account = settle(Load(feed, masked, keyring, run_id="benchmark"), warehouse)
    if held.acknowledge() or account.loaded != len(messages):
        raise SystemExit(f"not everything was loaded and acknowledged: {account}")


def _same_calls(feed: Feed, outside: Outside) -> None:
    """The calls that a run makes, and nothing done with what they bring."""
    queue = outside.queue_for_a_run(feed)

    def step(count: int) -> int:
        messages = queue.receive(count)
        if messages:
            queue.delete(messages)
        return len(messages)

    in_threads(step, messages=feed.limits.batch_messages, threads=feed.limits.receivers)


def _least_calls(feed: Feed, outside: Outside) -> None:
    """Calls that ask for as little as SQS allows."""
    limits = feed.limits
    _, hot = make_clients(outside.endpoint, read_seconds=30, connections=limits.receivers)
    url = outside.queue_for_a_run(feed).url
    receive_and_delete(hot, url, messages=limits.batch_messages, threads=limits.receivers)
