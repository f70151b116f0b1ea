"""What the tests of metrics share: a scrape of the exporter's registry, in plain values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from pipeline import feeds
from pipeline.operate.metrics.collector import BuildInfo, PipelineCollector, make_registry
from pipeline.operate.metrics.place import Place
from pipeline.operate.metrics.reading import (
    QueueReading,
    QueuesReading,
    TotalReading,
    WarehouseReading,
)
from pipeline.operate.metrics.warehouse import COUNTS
from pipeline.warehouse.schema import HEAD

FEEDS: Final = tuple(feeds.discover())


@dataclass(frozen=True)
class Scraped:
    """The samples of one scrape."""

    metrics: tuple[Metric, ...]

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the sample with that name and those labels; None without one."""
        for metric in self.metrics:
            for sample in metric.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None

    def labelled(self, name: str) -> Iterator[Mapping[str, str]]:
        """The labels of each sample of that name."""
        for metric in self.metrics:
            for sample in metric.samples:
                if sample.name == name:
                    yield sample.labels

    @property
    def names(self) -> set[str]:
        """The names of all samples."""
        return {sample.name for metric in self.metrics for sample in metric.samples}


def scrape(registry: CollectorRegistry) -> Scraped:
    """What a registry tells."""
    return Scraped(tuple(registry.collect()))


def parse(text: str) -> Scraped:
    """What an endpoint tells."""
    return Scraped(tuple(text_string_to_metric_families(text)))


def registry_of(environment: Mapping[str, str]) -> CollectorRegistry:
    """The registry of an exporter with that environment."""
    return make_registry(Place.of(environment), FEEDS)


def filled_registry() -> CollectorRegistry:
    """An exporter's registry that has everything to tell, of readings that are made up."""
    queue = QueueReading(
        depth=3,
        in_flight=2,
        delayed=1,
        dead_letters=4,
        retention=1_209_600,
        most_deliveries=20,
        clock_ahead=0.1,
    )
    total = TotalReading(
        counts=dict.fromkeys(COUNTS, 7),
        seconds={"load": 1.5},
        committed_at=1.0,
        succeeded_at=1.0,
        oldest_seconds=2.0,
    )
    warehouse = WarehouseReading(
        version=HEAD,
        totals={"user_logins": total},
        quarantine=[("user_logins", "missing", 1)],
        rows={"user_logins": 7},
        size=1,
        clock_ahead=0.0,
    )
    queues = QueuesReading({"user_logins": queue}, {"pokemon": "E_QUEUE_MISSING"})
    registry = CollectorRegistry()
    registry.register(BuildInfo())
    registry.register(PipelineCollector(FEEDS, lambda: queues, lambda: warehouse))
    return registry
