"""Decides how many runs to ask for: a pure function of what one tick saw."""

import math
from dataclasses import dataclass

from pipeline.contract import Limits

_FIRST_PAUSE = 10.0  # seconds after one failed run; doubles with each further one
_LONGEST_PAUSE = 600.0
# From so many failed runs in a row on each further one is a probe: should what fails come after
# the receive, as on a full disk, it costs these few messages one of their deliveries, not all.
_DOUBTFUL = 2
_PROBE_MESSAGES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a tick saw.

    Attributes:
        now: Seconds since the epoch.
        depth: Messages that wait on the queue, as SQS estimates them.
        active: Runs of this feed, queued or running, younger than the age limit.
        receiving: How many of them have yet to receive, or may still be at it.
        failures: How many of the latest runs failed in a row, one after the other.
        failed_at: When the last of them failed, in seconds since the epoch.
        waiting_since: Since when a small depth has been waiting for company, if one has.
    """

    now: float
    depth: int
    active: int
    receiving: int
    failures: int = 0
    failed_at: float = 0.0
    waiting_since: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do.

    Attributes:
        runs: How many runs to request.
        reason: What was seen and what follows, for the person who reads the tick.
        waiting_since: What the next tick is to remember.
        most_messages: How many messages a run is to take at most, where that is less than the
            feed's own limit.
    """

    runs: int
    reason: str
    waiting_since: float | None = None
    most_messages: int | None = None


def decide(seen: Seen, limits: Limits) -> Decision:
    """How many runs to request for what was seen."""
    if seen.depth == 0:
        return Decision(0, "the queue is empty")
    depth = f"{seen.depth} waiting"
    pause = _pause(seen)
    if pause > 0:
        return Decision(
            0,
            f"{depth}; the last {_runs(seen.failures)} failed, trying again in {pause:.0f} s",
            seen.waiting_since,
        )
    room = limits.max_runs - seen.active
    if room <= 0:
        return Decision(0, f"{depth}; {_runs(seen.active)} queued or running, the limit")
    if seen.failures >= _DOUBTFUL:
        return _probe(seen, depth)
    return _for_depth(seen, limits, room)


def _for_depth(seen: Seen, limits: Limits, room: int) -> Decision:
    """As many runs as it takes, once there is company enough."""
    depth = f"{seen.depth} waiting"
    wanted = math.ceil(seen.depth / limits.run_messages) - seen.receiving
    if wanted <= 0:
        return Decision(0, f"{depth}; {_runs(seen.receiving)} queued or receiving will take them")
    # A clock that went back must not make anybody wait for longer than the linger.
    since = min(seen.now, seen.now if seen.waiting_since is None else seen.waiting_since)
    waited = seen.now - since
    if seen.depth < limits.linger_messages and waited < limits.linger_seconds:
        left = limits.linger_seconds - waited
        return Decision(0, f"{depth}; up to {left:.0f} s more for others to travel with", since)
    runs = min(wanted, room)
    return Decision(runs, f"{depth}; requesting {_runs(runs)}")


def _probe(seen: Seen, depth: str) -> Decision:
    """One run with few messages, to see whether runs succeed again."""
    if seen.receiving:
        return Decision(0, f"{depth}; {_runs(seen.receiving)} will show whether runs succeed again")
    reason = f"{depth}; the last {_runs(seen.failures)} failed, requesting 1 with few messages"
    return Decision(1, reason, most_messages=_PROBE_MESSAGES)


def _pause(seen: Seen) -> float:
    """Seconds that are still to pass after failed runs."""
    if seen.failures == 0:
        return 0.0
    pause = min(_FIRST_PAUSE * 2.0 ** min(seen.failures - 1, 10), _LONGEST_PAUSE)
    left = seen.failed_at + pause - seen.now
    # A failure that lies far ahead was seen by a clock that has gone back since.
    return left if left <= 2 * pause else 0.0


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"
