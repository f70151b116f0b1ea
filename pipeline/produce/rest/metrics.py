"""What Prometheus is told: counts and times; no label ever holds what a caller sent."""

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    generate_latest,
)

from pipeline.produce.rest.exchange import Exchange
from pipeline.produce.rest.room import Room
from pipeline.release import build_info

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one service, in a registry of its own.

    Args:
        room: Whose fill is shown.
    """

    def __init__(self, room: Room) -> None:
        self._registry = CollectorRegistry()
        build = Info("pipeline_build", "Which release this process runs.", registry=self._registry)
        build.info(build_info())
        self._requests = self._counter(
            "requests", "Requests, by route and status.", "route", "status"
        )
        self._seconds = Histogram(
            "pipeline_rest_request_seconds",
            "From the headers of a request to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._rejects = self._counter("rejects", "Requests and records refused.", "reason")
        self._calls = self._counter(
            "queue_calls", "Calls of SendMessageBatch, by feed and outcome.", "feed", "outcome"
        )
        self._messages = self._counter(
            "messages", "Messages, by feed and what came of them.", "feed", "outcome"
        )
        for name, what in (("messages", "Messages"), ("bytes", "Bytes of bodies")):
            gauge = Gauge(
                f"pipeline_rest_pending_{name}",
                f"{what} that are not yet answered for.",
                registry=self._registry,
            )
            gauge.set_function(lambda name=name: getattr(room, name))  # type: ignore[misc] # as prometheus_client calls it

    def answered(self, exchange: Exchange, route: str) -> None:
        """A request is over."""
        self._requests.labels(route, str(exchange.status)).inc()
        self._seconds.labels(route).observe(exchange.seconds)

    def rejected(self, reason: str) -> None:
        """A request or a record was refused."""
        self._rejects.labels(reason).inc()

    def called(self, feed: str, outcome: str) -> None:
        """A call of SQS has ended."""
        self._calls.labels(feed, outcome).inc()

    def sent(self, feed: str, outcome: str, count: int) -> None:
        """SQS has taken or refused messages."""
        if count:
            self._messages.labels(feed, outcome).inc(count)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"pipeline_rest_{name}", what, labels, registry=self._registry)
