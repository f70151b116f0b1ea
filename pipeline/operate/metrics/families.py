"""Which metric is made of which reading: the names, what they mean, and their labels.

No label ever holds what a producer sent: docs/metrics.md lists them all.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pipeline.contract import Feed
from pipeline.errors import (
    AccountError,
    CredentialsExpired,
    EnrichmentError,
    KeyringError,
    QueueError,
    QueueMissing,
    QueueUnreachable,
    SettingsError,
    TableMismatch,
    UnexpectedError,
    WrongEnvironment,
)
from pipeline.operate.metrics.reading import (
    QueueReading,
    QueuesReading,
    TotalReading,
    WarehouseReading,
)
from pipeline.operate.metrics.warehouse import COUNTS, SINCE
from pipeline.reasons import Reason
from pipeline.warehouse.schema import HEAD

_RUN_ERRORS: Final = (
    AccountError,
    CredentialsExpired,
    EnrichmentError,
    KeyringError,
    QueueError,
    QueueMissing,
    QueueUnreachable,
    SettingsError,
    TableMismatch,
    UnexpectedError,
    WrongEnvironment,
)
# What is counted is there from the beginning, as zero: else the first one would be no increase.
_OUTCOMES: Final = {"success": 0, **{error.code: 0 for error in _RUN_ERRORS}}
_REASONS: Final = {reason.value: 0 for reason in Reason}
_NO_TOTAL: Final = TotalReading(counts=dict.fromkeys(COUNTS, 0))

_WHAT: Final = {
    "batches": "Batches that were committed.",
    "received": "Messages of committed batches, each time they were delivered.",
    "loaded": "Messages that became a row.",
    "duplicate": "Messages that were settled before: harmless.",
    "released": "Messages of committed batches that were given back to the queue.",
}

_Samples = Iterable[tuple[tuple[str, ...], float]]


def of_queues(reading: QueuesReading, waiting: Mapping[str, float]) -> Iterator[Metric]:
    """The metrics of the queues.

    Args:
        reading: What SQS told.
        waiting: For how many seconds each queue was never seen empty.
    """
    queues = reading.queues
    up = {**dict.fromkeys(queues, 1.0), **dict.fromkeys(reading.errors, 0.0)}
    yield _gauge("queue_up", "Whether SQS told of the feed's queue.", ["feed"], _each(up))
    for name, what in (
        ("depth", "Messages that wait, as SQS estimates it."),
        ("in_flight", "Messages that are received and not yet acknowledged, as SQS estimates it."),
        ("delayed", "Messages that are not yet to be seen, as SQS estimates it."),
    ):
        values = {feed: float(getattr(each, name)) for feed, each in queues.items()}
        yield _gauge(f"queue_{name}", what, ["feed"], _each(values))
    yield _gauge(
        "queue_waiting_seconds",
        "For how long this exporter has seen messages wait and the queue never empty.",
        ["feed"],
        _each(waiting),
    )
    yield from _of_settings(queues)


def _of_settings(queues: Mapping[str, QueueReading]) -> Iterator[Metric]:
    letters = {
        feed: float(each.dead_letters)
        for feed, each in queues.items()
        if each.dead_letters is not None
    }
    yield _gauge("dead_letters", "Messages on the dead-letter queue.", ["feed"], _each(letters))
    retention = {feed: float(each.retention) for feed, each in queues.items()}
    yield _gauge(
        "queue_retention_seconds",
        "Age at which the queue drops a message.",
        ["feed"],
        _each(retention),
    )
    deliveries = {feed: float(each.most_deliveries) for feed, each in queues.items()}
    yield _gauge(
        "queue_most_deliveries",
        "How often a message is delivered before it is a dead letter; 0 without such a queue.",
        ["feed"],
        _each(deliveries),
    )


def of_warehouse(reading: WarehouseReading, feeds: Sequence[Feed]) -> Iterator[Metric]:
    """The metrics of the warehouse; of one that is not migrated yet, what it has."""
    found = reading.version
    yield _gauge(
        "schema_version",
        "The version of the pipeline's own tables; 0 where there are none.",
        [],
        [((), _number(found))],
    )
    yield _gauge(
        "schema_version_wanted",
        "The version that this release works with.",
        [],
        [((), _number(HEAD))],
    )
    yield _gauge("warehouse_bytes", "What the database takes.", [], [((), float(reading.size))])
    rows = {feed: float(count) for feed, count in reading.rows.items()}
    yield _gauge("table_rows", "About how many rows the feed's table has.", ["feed"], _each(rows))
    if found is None or found < SINCE:
        return
    totals = {feed.name: reading.totals.get(feed.name, _NO_TOTAL) for feed in feeds}
    yield from _of_totals(totals)
    yield from _of_runs(totals)
    yield _gauge(
        "quarantine_messages",
        "Messages in the quarantine; of a feed up to 10,000 are counted.",
        ["feed", "reason"],
        [((feed, reason), float(count)) for feed, reason, count in reading.quarantine],
    )


def _of_totals(totals: Mapping[str, TotalReading]) -> Iterator[Metric]:
    for name, what in _WHAT.items():
        counts = {feed: float(total.counts[name]) for feed, total in totals.items()}
        yield _counter(name, what, ["feed"], _each(counts))
    yield _counter(
        "quarantined",
        "Messages that went to the quarantine, by reason code.",
        ["feed", "reason"],
        _two({feed: {**_REASONS, **total.reasons} for feed, total in totals.items()}),
    )
    committed = {feed: total.committed_at for feed, total in totals.items()}
    yield _gauge(
        "last_commit_timestamp_seconds", "When a batch was last committed.", ["feed"],
        _known(committed),
    )  # fmt: skip


def _of_runs(totals: Mapping[str, TotalReading]) -> Iterator[Metric]:
    yield _counter(
        "runs",
        "Runs that are over: `success`, or the code of the error.",
        ["feed", "outcome"],
        _two({feed: {**_OUTCOMES, **total.runs} for feed, total in totals.items()}),
    )
    yield _counter(
        "stage_seconds",
        "Time that each stage took, of runs that succeeded.",
        ["feed", "stage"],
        _two({feed: total.seconds for feed, total in totals.items()}),
    )
    succeeded = {feed: total.succeeded_at for feed, total in totals.items()}
    yield _gauge(
        "last_success_timestamp_seconds", "When a run last succeeded.", ["feed"], _known(succeeded)
    )
    oldest = {feed: total.oldest_seconds for feed, total in totals.items()}
    yield _gauge(
        "received_age_seconds",
        "Age, when it was received, of the oldest message of the latest successful run.",
        ["feed"],
        _known(oldest),
    )


def of_clocks(ahead: Mapping[str, float]) -> Metric:
    """How far the clocks of others are ahead of this machine's, by source."""
    return _gauge(
        "clock_ahead_seconds",
        "By how much the source's clock is ahead of the exporter's; SQS's to about a second.",
        ["source"],
        _each(ahead),
    )


def _gauge(name: str, what: str, labels: list[str], samples: _Samples) -> Metric:
    family = GaugeMetricFamily(f"pipeline_{name}", what, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, what: str, labels: list[str], samples: _Samples) -> Metric:
    family = CounterMetricFamily(f"pipeline_{name}", what, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _each(values: Mapping[str, float]) -> _Samples:
    return (((name,), value) for name, value in sorted(values.items()))


def _known(values: Mapping[str, float | None]) -> _Samples:
    return (((name,), value) for name, value in sorted(values.items()) if value is not None)


def _two(values: Mapping[str, Mapping[str, float]]) -> _Samples:
    return (
        ((one, other), float(value))
        for one, inner in sorted(values.items())
        for other, value in sorted(inner.items())
    )


def _number(version: str | None) -> float:
    return float(version) if version is not None and version.isdecimal() else 0.0
