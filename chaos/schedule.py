"""What is broken when: a plan that a seed fixes, for each kind of fault apart."""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """A kind of fault that the harness brings about; the queue has its own."""

    KILL_WORKER = "run worker: SIGKILL"
    TERMINATE_WORKER = "run worker: SIGTERM"
    STOP_WORKER = "run worker: SIGSTOP, SIGCONT later"
    LAUNCH_TWICE = "run: launched a second time"
    KILL_POSTGRES = "Postgres: kill -9 of the postmaster"
    READ_ONLY = "Postgres: read-only"
    NO_CONNECTIONS = "Postgres: no connection left"
    LOCK = "Postgres: a table locked"
    DISK_FULL = "Postgres: 53100 at the commit"
    RESET = "connections to Postgres: reset"
    HALF_OPEN = "connections to Postgres: half open"
    SILENCE = "way to Postgres: black hole"
    LATENCY = "way to Postgres: latency"
    COMMIT_REQUEST = "COMMIT: request lost"
    COMMIT_ANSWER = "COMMIT: answer lost"
    KILL_DAEMON = "daemon: killed"
    KILL_CODE_SERVER = "code server: killed"
    KILL_REST = "REST service: killed"
    KILL_WEB = "web server: killed"
    QUEUE_DOWN = "queue: refuses every call"
    EXPIRED = "queue: credentials expired"
    REDRIVE_QUARANTINE = "meanwhile: quarantine redriven"
    REDRIVE_LETTERS = "meanwhile: dead letters redriven"
    RETENTION = "meanwhile: retention"


# Seconds between two of a kind, on average.
_MEANS: Final = {
    Fault.KILL_WORKER: 26,
    Fault.TERMINATE_WORKER: 120,
    Fault.STOP_WORKER: 150,
    Fault.LAUNCH_TWICE: 240,
    Fault.KILL_POSTGRES: 85,
    Fault.READ_ONLY: 600,
    Fault.NO_CONNECTIONS: 600,
    Fault.LOCK: 400,
    Fault.DISK_FULL: 500,
    Fault.RESET: 400,
    Fault.HALF_OPEN: 500,
    Fault.SILENCE: 600,
    Fault.LATENCY: 150,
    Fault.COMMIT_REQUEST: 500,
    Fault.COMMIT_ANSWER: 500,
    Fault.KILL_DAEMON: 500,
    Fault.KILL_CODE_SERVER: 500,
    Fault.KILL_REST: 300,
    Fault.KILL_WEB: 500,
    Fault.QUEUE_DOWN: 600,
    Fault.EXPIRED: 600,
    Fault.REDRIVE_QUARANTINE: 300,
    Fault.REDRIVE_LETTERS: 300,
    Fault.RETENTION: 900,
}
_LEAST_GAP: Final = 0.3  # of the average
# In which part of a short run each kind is met for the first time.
_FIRST: Final = (0.1, 0.85)


@dataclass(frozen=True, slots=True, order=True)
class Strike:
    """One fault.

    Attributes:
        at: Seconds from the start.
        fault: Its kind.
        chance: Between 0 and 1: decides how long it lasts, and whom it hits.
    """

    at: float
    fault: Fault
    chance: float


def plan(seed: int, seconds: float) -> list[Strike]:
    """All faults of a run, in order; each kind is there at least once, however short the run."""
    strikes: list[Strike] = []
    for fault, mean in _MEANS.items():
        # A stream for each kind, so that none shifts another's.
        rng = random.Random(f"{seed}/{fault.name}")  # noqa: S311 - a schedule, not a key
        at = rng.uniform(*_FIRST) * min(seconds, mean)
        while at < seconds:
            strikes.append(Strike(at, fault, rng.random()))
            at += max(rng.expovariate(1 / mean), _LEAST_GAP * mean)
    return sorted(strikes)
