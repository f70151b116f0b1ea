"""What Prometheus gets: each source read anew, and how the exporter itself is."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.contract import Feed
from pipeline.operate.metrics import families
from pipeline.operate.metrics.place import Place
from pipeline.operate.metrics.queues import Queues
from pipeline.operate.metrics.reading import QueueReading, QueuesReading, WarehouseReading
from pipeline.operate.metrics.source import Answer, Source
from pipeline.operate.metrics.warehouse import read_warehouse
from pipeline.release import build_info

SECONDS: Final = 8.0
"""For a scrape in all; Prometheus gives up after 10 unless told otherwise."""

_SQS: Final = "sqs"
_WAREHOUSE: Final = "warehouse"


class PipelineCollector(Collector):
    """Reads SQS and the warehouse when it is asked to, and never at another time.

    Args:
        feeds: All of them.
        queues: Reads the queues.
        warehouse: Reads the warehouse.
        seconds: For how long one scrape waits.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        queues: Callable[[], QueuesReading],
        warehouse: Callable[[], WarehouseReading],
        *,
        seconds: float = SECONDS,
    ) -> None:
        self._feeds = feeds
        self._queues = Source(_SQS, queues)
        self._warehouse = Source(_WAREHOUSE, warehouse)
        self._seconds = seconds
        self._turn = threading.Lock()  # one scrape at a time
        self._empty_at: dict[str, float] = {}
        self._errors: Counter[tuple[str, str]] = Counter()

    def describe(self) -> Iterable[Metric]:
        """Nothing: to be registered is not to be read."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics, of the sources that have answered in time."""
        with self._turn:
            self._queues.begin()
            self._warehouse.begin()
            until = time.monotonic() + self._seconds
            queues, warehouse = self._queues.end(until), self._warehouse.end(until)
            metrics = [*self._of(queues, warehouse), *self._health(queues, warehouse)]
        yield from metrics

    def _of(
        self, queues: Answer[QueuesReading], warehouse: Answer[WarehouseReading]
    ) -> Iterator[Metric]:
        ahead: dict[str, float] = {}
        if queues.reading is not None:
            found = queues.reading.queues
            yield from families.of_queues(queues.reading, self._waiting(found))
            told = [each.clock_ahead for each in found.values() if each.clock_ahead is not None]
            if told:
                ahead[_SQS] = min(told, key=abs)
        if warehouse.reading is not None:
            yield from families.of_warehouse(warehouse.reading, self._feeds)
            ahead[_WAREHOUSE] = warehouse.reading.clock_ahead
        yield families.of_clocks(ahead)

    def _waiting(self, queues: Mapping[str, QueueReading]) -> dict[str, float]:
        """For how long each queue has not been seen empty; a feed that is not told of is left."""
        now = time.monotonic()
        for feed, queue in queues.items():
            if queue.depth == 0 or feed not in self._empty_at:
                self._empty_at[feed] = now
        return {feed: now - self._empty_at[feed] for feed in queues}

    def _health(
        self, queues: Answer[QueuesReading], warehouse: Answer[WarehouseReading]
    ) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "pipeline_up", "Whether the source has answered this scrape.", labels=["source"]
        )
        took = GaugeMetricFamily(
            "pipeline_scrape_seconds", "How long the source took.", labels=["source"]
        )
        for name, error, seconds in (
            (_SQS, queues.error, queues.seconds),
            (_WAREHOUSE, warehouse.error, warehouse.seconds),
        ):
            up.add_metric([name], 0.0 if error else 1.0)
            took.add_metric([name], seconds)
            if error:
                self._errors[name, error] += 1
        for error in () if queues.reading is None else queues.reading.errors.values():
            self._errors[_SQS, error] += 1
        errors = CounterMetricFamily(
            "pipeline_scrape_errors",
            "Scrapes in which a source did not answer, by the code of the error.",
            labels=["source", "code"],
        )
        for (name, code), count in sorted(self._errors.items()):
            errors.add_metric([name, code], count)
        yield from (up, took, errors)


class BuildInfo(Collector):
    """Which release a process runs."""

    def describe(self) -> Iterable[Metric]:
        """What it is called."""
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        """One sample of value 1."""
        return [
            InfoMetricFamily(
                "pipeline_build", "Which release this process runs.", value=build_info()
            )
        ]


def make_registry(place: Place, feeds: Sequence[Feed]) -> CollectorRegistry:
    """Everything that an exporter shows."""
    registry = CollectorRegistry()
    registry.register(BuildInfo())
    ProcessCollector(registry=registry)
    registry.register(
        PipelineCollector(
            feeds,
            Queues(place.endpoint, feeds).read,
            lambda: read_warehouse(place.postgres_url, feeds),
        )
    )
    return registry
