"""One rehearsal: a queue is drained in batches, and in each the run dies, and its recovery too."""

import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import dagster as dg

from crashes.deployed import BATCH
from crashes.plan import Batch, Rehearsal
from crashes.runs import Ended, Runs
from crashes.world import World
from pipeline.crash_points import CrashPoint

_RUNS: Final = 12  # that drain what is left; a few are enough
_AT_FIRST: Final = {Batch.FIRST: 3 * BATCH, Batch.MIDDLE: 2 * BATCH, Batch.LAST: BATCH}
# From its receipt to the commit a worker that can still act releases what it holds.
_RELEASES: Final = frozenset(
    {
        CrashPoint.AFTER_RECEIVE,
        CrashPoint.AFTER_DECODE,
        CrashPoint.AFTER_ENRICH,
        CrashPoint.AFTER_MASK,
        CrashPoint.AFTER_BEGIN,
        CrashPoint.AFTER_STAGE,
        CrashPoint.AFTER_INSERT,
        CrashPoint.AFTER_QUARANTINE,
        CrashPoint.BEFORE_COMMIT,
    }
)
# All is committed by then: an error of a delete costs this call, and the run goes on.
_OUTLIVES: Final = frozenset({CrashPoint.BEFORE_DELETE, CrashPoint.AFTER_DELETE})


@dataclass(slots=True)
class Verdict:
    """What came of a rehearsal.

    Attributes:
        rehearsal: Which one.
        crashes: How many runs died as they were told to.
        runs: How many runs there were in all.
        problems: What was wrong, and after which run.
    """

    rehearsal: Rehearsal
    crashes: int = 0
    runs: int = 0
    problems: list[str] = field(default_factory=list)


def rehearse(world: World, runs: Runs, rehearsal: Rehearsal) -> Verdict:
    """Carries out a rehearsal where nothing waits; if all is well, nothing does afterwards."""
    act = _Act(world, runs, Verdict(rehearsal))
    for batch, second in zip(Batch, rehearsal.recoveries, strict=True):
        act.reach(batch)
        act.crash(rehearsal.moment.order(rehearsal.end), batch)
        world.fill(BATCH)
        act.crash(second, f"{batch}, again")
        act.recover(batch)
    act.drain()
    return act.verdict


def ill_ended(order: str, ended: Ended) -> Iterator[str]:
    """What is wrong with how a worker that has come to its moment has ended."""
    point, end, _ = order.split(":")
    if end == "SIGKILL" and ended.status != signal.SIGKILL:
        yield f"the worker ended with {ended.status}"
    outlives = end == "MemoryError" and point in _OUTLIVES
    if (ended.run is dg.DagsterRunStatus.SUCCESS) is not outlives:
        yield f"the run ended as {ended.run.value}"


class _Act:
    """The steps of a rehearsal; after each of them the oracles are asked."""

    def __init__(self, world: World, runs: Runs, verdict: Verdict) -> None:
        self._world, self._runs = world, runs
        self.verdict = verdict

    def reach(self, batch: Batch) -> None:
        """Comes to a batch: with others still to follow, or none."""
        if batch is Batch.LAST:
            self._work_off(BATCH)
        self._world.fill(_AT_FIRST[batch])

    def crash(self, order: str, when: str) -> None:
        """A run that dies."""
        ended = self._run(order)
        self._note(f"{when} ({order})", self._look(order, ended))
        self._note(f"{when} ({order})", self._world.all_visible())

    def recover(self, when: str) -> None:
        """A run to which nothing happens."""
        ended = self._run("")
        if ended.run is not dg.DagsterRunStatus.SUCCESS:
            self._note(when, [f"the recovery ended as {ended.run.value}"])
        self._note(f"{when}, recovered", self._world.lacks())
        self._note(f"{when}, recovered", self._world.all_visible())

    def drain(self) -> None:
        """Runs until nothing is left, and the last look."""
        self._work_off(0)
        self._note("at the end", self._world.unsettled())

    def _work_off(self, rest: int) -> None:
        """Recovers until so many messages are left; gives up where that takes too many runs."""
        for _ in range(_RUNS):
            if self._world.visible() <= rest:
                break
            self.recover(f"with {rest} to be left")

    def _run(self, order: str) -> Ended:
        self.verdict.runs += 1
        return self._runs.run(order)

    def _look(self, order: str, ended: Ended) -> Iterable[str]:
        if not ended.came_to(order):
            yield "the run did not come to its moment"
            return
        self.verdict.crashes += 1
        point, end, _ = order.split(":")
        yield from ill_ended(order, ended)
        if end != "SIGKILL" and point in _RELEASES and (kept := self._world.held_after_release()):
            yield f"{kept} messages were not released"
        if self._world.most_received() > self.verdict.runs:
            yield "a message was received more often than there were runs"
        yield from self._world.lacks()

    def _note(self, when: str, problems: Iterable[str]) -> None:
        self.verdict.problems += [f"{when}: {problem}" for problem in problems]
