"""What is read in one scrape, in plain values; what becomes of it is in `families`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReading:
    """One feed's queue, as SQS tells of it; its counts are estimates.

    Attributes:
        depth: Messages that wait.
        in_flight: Messages that somebody has received and not yet acknowledged.
        delayed: Messages that are not yet to be seen.
        dead_letters: Messages on the dead-letter queue; None where the queue has none.
        retention: Seconds after which the queue drops a message.
        most_deliveries: How often a message is delivered before it is a dead letter; 0 for ever.
        clock_ahead: Seconds by which SQS's clock is ahead of ours; None where it did not tell.
    """

    depth: int
    in_flight: int
    delayed: int
    dead_letters: int | None
    retention: int
    most_deliveries: int
    clock_ahead: float | None


@dataclass(frozen=True, slots=True)
class QueuesReading:
    """The queues of all feeds, and the codes of those that could not be read."""

    queues: Mapping[str, QueueReading]
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalReading:
    """One feed's running totals.

    Attributes:
        counts: Batches, and where messages went, by the names of the columns.
        reasons: What was quarantined, by reason code.
        runs: Runs that are over, by outcome.
        seconds: What each stage has taken.
        committed_at: When a batch was committed last; None where none was.
        succeeded_at: When a run succeeded last; None where none did.
        oldest_seconds: How old the oldest message of that run was when it was received.
    """

    counts: Mapping[str, int]
    reasons: Mapping[str, int] = field(default_factory=dict)
    runs: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    committed_at: float | None = None
    succeeded_at: float | None = None
    oldest_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseReading:
    """The warehouse.

    Attributes:
        version: That of our own tables; None where there are none.
        totals: The running totals of each feed that has any.
        quarantine: What lies there by feed and reason, of each feed up to a bound.
        rows: About how many rows each feed's table has, as Postgres's statistics say.
        size: What the database takes, in bytes.
        clock_ahead: Seconds by which its clock is ahead of ours.
    """

    version: str | None
    totals: Mapping[str, TotalReading]
    quarantine: Sequence[tuple[str, str, int]]
    rows: Mapping[str, int]
    size: int
    clock_ahead: float
