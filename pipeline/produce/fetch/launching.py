"""Which of the ranges that a plan found are launched now: pure, and tried without Dagster."""

from collections.abc import Mapping
from dataclasses import dataclass, field

AT_ONCE = 4
"""Ranges that are queued or being fetched at a time; a hand or a backfill may launch more."""

_FIRST_PAUSE = 60.0  # seconds after a failed run
_DOUBLINGS = 6  # the longest is about an hour


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a range's runs since the plan.

    Attributes:
        failures: How many failed.
        ended_at: When the latest ended, in seconds since the epoch.
        cancelled: Whether somebody cancelled the latest.
    """

    failures: int
    ended_at: float
    cancelled: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look shows.

    Attributes:
        now: The time of the look, in seconds since the epoch.
        planned: Whether there is a plan.
        due: Those that have not been fetched since the plan, in their order.
        active: Those that a run is queued for, or at work on.
        tried: Those whose runs since the plan have ended without fetching them.
        backfill: Whether somebody's backfill is launching ranges.
    """

    now: float
    planned: bool
    due: tuple[str, ...] = ()
    active: frozenset[str] = frozenset()
    tried: Mapping[str, Tried] = field(default_factory=dict)
    backfill: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to launch, and why not more."""

    ranges: tuple[str, ...]
    reason: str


def decide(seen: Seen) -> Decision:
    """The due ranges that nobody is at, in their order, as long as there is room for them.

    A range that failed waits, longer each time. One that somebody cancelled is left to a hand,
    or to the next plan: it would else start again under that person's eyes.
    """
    if not seen.planned:
        return Decision((), "nothing has been planned yet")
    if not seen.due:
        return Decision((), "every range has been fetched since the plan")
    told = f"ranges to be fetched: {len(seen.due)}"
    if seen.backfill:
        return Decision((), f"{told}; a backfill launches them")
    idle = [key for key in seen.due if key not in seen.active]
    cancelled = [key for key in idle if key in seen.tried and seen.tried[key].cancelled]
    pausing = [key for key in idle if key not in cancelled and _pause(seen, key) > 0]
    ready = [key for key in idle if key not in {*cancelled, *pausing}]
    counts = {
        "queued or under way": len(seen.active),
        "cancelled": len(cancelled),
        "failed, to be tried again later": len(pausing),
    }
    parts = [told, *(f"{what}: {number}" for what, number in counts.items() if number)]
    return Decision(tuple(ready[: max(0, AT_ONCE - len(seen.active))]), "; ".join(parts))


def _pause(seen: Seen, key: str) -> float:
    """The seconds that a range has still to wait, after its failures."""
    tried = seen.tried.get(key)
    if tried is None or not tried.failures:
        return 0.0
    pause = _FIRST_PAUSE * 2.0 ** min(tried.failures - 1, _DOUBLINGS)
    return tried.ended_at + pause - seen.now
