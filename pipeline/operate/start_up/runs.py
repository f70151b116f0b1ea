"""The rules for Dagster's instance, and for what its runs need."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.contract import Feed
from pipeline.operate.start_up.finding import Finding

CONNECTIONS: Final = 2
"""Connections that a run has open at the same time at most."""

_WHERE: Final = "dagster.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """What Dagster's instance does about runs that hang.

    Attributes:
        enabled: Whether it looks for them at all.
        longest: Seconds after which it ends a run; 0 for never.
        resumes: How often it resumes a run whose process is gone.
        ticks_end: Whether ticks of sensors and schedules are deleted, whatever became of them.
    """

    enabled: bool
    longest: float
    resumes: int
    ticks_end: bool = True


def check_monitoring(feeds: Sequence[Feed], monitoring: Monitoring) -> Iterator[Finding]:
    """Whether the limits of runs and those of the instance go together (faults 58 to 60)."""
    if not monitoring.ticks_end:
        yield Finding(
            "warning",
            _WHERE,
            "some ticks are kept for ever: each sensor adds some thousands a day",
            "Set retention.sensor and retention.schedule to days, as this project's dagster.yaml",
        )
    if not monitoring.enabled:
        yield Finding(
            "error",
            _WHERE,
            "run monitoring is off: a run whose process was killed counts as running for ever",
            "Set run_monitoring.enabled: true",
        )
        return
    if monitoring.resumes:
        yield Finding(
            "error",
            _WHERE,
            "runs are resumed, whose data were in memory only",
            "Set run_monitoring.max_resume_run_attempts: 0; redelivery finishes the work",
        )
    if monitoring.longest <= 0:
        yield Finding(
            "error",
            _WHERE,
            "runs have no time limit: one that hangs counts as running for ever",
            "Set run_monitoring.max_runtime_seconds",
        )
        return
    for feed in feeds:
        if monitoring.longest < feed.limits.hold_seconds:
            yield Finding(
                "warning",
                f"feed {feed.name}",
                f"hold_seconds is {feed.limits.hold_seconds}, and Dagster ends runs after"
                f" {monitoring.longest:.0f} s",
                "Raise run_monitoring.max_runtime_seconds, or lower the limit",
            )
        elif feed.limits.run_age_seconds < monitoring.longest:
            yield Finding(
                "warning",
                f"feed {feed.name}",
                f"run_age_seconds is {feed.limits.run_age_seconds:.0f}, and Dagster lets runs go"
                f" on for {monitoring.longest:.0f} s: a live one would be counted as dead",
                "Lower run_monitoring.max_runtime_seconds, or raise the limit",
            )


def check_connections(feeds: Sequence[Feed], free: int) -> Iterator[Finding]:
    """Whether the runs that may go on together find connections enough (fault 48)."""
    runs = sum(feed.limits.max_runs for feed in feeds)
    if free < runs * CONNECTIONS:
        yield Finding(
            "warning",
            "warehouse",
            f"{free} connections are left for this log-in, {runs} runs may want"
            f" {runs * CONNECTIONS}",
            "Raise max_connections or the role's limit, or lower limits.max_runs",
        )
