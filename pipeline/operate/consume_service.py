"""Drains queues on and on in one warm process, for those who run no Dagster daemon.

It decides as the sensor does, by `pipeline.consume.plan.decide`, and runs the same job.
"""

import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import dagster as dg

from pipeline.consume.in_flight import waiting
from pipeline.consume.plan import Decision, Seen, decide
from pipeline.consume.sensor import limiting
from pipeline.contract import Feed
from pipeline.errors import PipelineError, values_kept_out
from pipeline.operate.drain import Ingested, ingest_once
from pipeline.operate.hands import Hands, HeldOutside
from pipeline.resources.outside import Outside

_LOOK_SECONDS: Final = 1.0
_LONGEST_BLIND: Final = 30.0  # seconds between two looks at a queue that does not answer
_RUNS_OF_AN_INSTANCE: Final = 50  # one in memory keeps the events of every run
_NUMBERS: Final = ("received", "rows", "duplicate", "quarantined", "released")


@dataclass(frozen=True, slots=True)
class Line:
    """Something worth telling: of people's data it holds numbers only.

    Attributes:
        feed: Which feed it is about.
        event: `batch`, `check`, `trouble` or `recovered`.
        text: For people.
        numbers: For machines.
        run_id: Which run it is about, where it is about one.
    """

    feed: str
    event: str
    text: str
    numbers: Mapping[str, object] = field(default_factory=dict)
    run_id: str | None = None


@dataclass(slots=True)
class _Watch:
    """One feed, and what there is to remember of it.

    Attributes:
        feed: Its contract.
        failures: How many of the latest runs failed in a row.
        failed_at: When the last of them did.
        waiting_since: Since when a small depth has been waiting for company.
        blind: How many of the latest looks at the depth failed in a row.
        look_again: When to look again, where they did.
        trouble: What was told last, and still holds.
    """

    feed: Feed
    failures: int = 0
    failed_at: float = 0.0
    waiting_since: float | None = None
    blind: int = 0
    look_again: float = 0.0
    trouble: str = ""


class ConsumeService:
    """Drains the queues of some feeds, one run after the other, until it is told to stop.

    Args:
        definitions: Where the feeds' jobs are.
        feeds: Which feeds; each gets a run in turn.
        stop: Set to end it: nothing more is received, and what is held is finished.
        tell: Gets a line for each run that settles something, and as trouble begins and ends.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        definitions: dg.Definitions,
        feeds: Sequence[Feed],
        *,
        stop: threading.Event,
        tell: Callable[[Line], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._definitions = definitions
        self._watches = [_Watch(feed) for feed in feeds]
        self._stop = stop
        self._tell = tell
        self._clock = clock
        self._hands = Hands(stop)
        self._outside: HeldOutside | None = None
        self._run: tuple[dg.DagsterInstance, str] | None = None

    def reach(self) -> Outside:
        """The outside world, as the jobs' resource gives it; found anew after trouble."""
        if self._outside is None:
            self._outside = HeldOutside.around(Outside.of(os.environ), self._hands)
        return self._outside

    def run(self) -> None:
        """Drains until it is told to stop; failures are told, and make it pause.

        Raises:
            PipelineError: The settings lead nowhere.
        """
        self.reach()
        stored = bool(os.environ.get("DAGSTER_HOME"))
        while not self._stop.is_set():
            if stored:
                with dg.DagsterInstance.get() as instance:
                    self._drain(instance)
            else:
                with dg.DagsterInstance.ephemeral() as instance:
                    self._drain(instance, runs=_RUNS_OF_AN_INSTANCE)

    def let_go(self) -> tuple[int, int]:
        """Gives back what is held, from another thread; the process must end right after.

        Returns:
            How many messages SQS has taken back, and how many were held.
        """
        given_back = self._hands.let_go()
        if self._run is not None:
            instance, run_id = self._run
            run = instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                # Nobody else would end it, and the sensor would count it as running.
                instance.report_run_failed(run, "The process ended; what it held was released")
        return given_back

    def _drain(self, instance: dg.DagsterInstance, runs: float = float("inf")) -> None:
        while runs > 0 and not self._stop.is_set():
            received = 0
            for watch in self._watches:
                decision = self._decide(watch)
                if decision.runs and not self._stop.is_set():
                    received += self._ingest(watch, instance, limiting(decision))
                    runs -= 1
            if not received:
                self._stop.wait(_LOOK_SECONDS)

    def _decide(self, watch: _Watch) -> Decision:
        """Looks at the depth, and decides whether a run is wanted now."""
        now = self._clock()
        if (depth := self._look(watch, now)) is None:
            return Decision(0, watch.trouble, watch.waiting_since)
        seen = Seen(
            now=now,
            depth=depth,
            active=0,
            receiving=0,
            failures=watch.failures,
            failed_at=watch.failed_at,
            waiting_since=watch.waiting_since,
        )
        decision = decide(seen, watch.feed.limits)
        watch.waiting_since = decision.waiting_since
        return decision

    def _look(self, watch: _Watch, now: float) -> int | None:
        """How many messages wait; None where the queue cannot be asked."""
        # Further ahead than it was ever set, it was set by a clock that has gone back since.
        if watch.blind and now < watch.look_again <= now + _LONGEST_BLIND:
            return None
        try:
            with values_kept_out(feed=watch.feed.name, stage="look"):
                depth = waiting(watch.feed, self.reach().depth(watch.feed))
        except PipelineError as error:
            self._outside = None
            watch.look_again = now + min(2.0**watch.blind, _LONGEST_BLIND)
            watch.blind += 1
            self._complain(watch, str(error))
            return None
        if watch.blind:
            watch.blind, watch.trouble = 0, ""
            self._tell(Line(watch.feed.name, "recovered", "the queue answers again"))
        return depth

    def _ingest(self, watch: _Watch, instance: dg.DagsterInstance, tags: Mapping[str, str]) -> int:
        """One run; how many messages it received and settled."""
        feed, run_id, started = watch.feed, str(uuid.uuid4()), time.monotonic()
        self._run = instance, run_id
        try:
            with values_kept_out(feed=feed.name, stage="run"):
                ran = ingest_once(
                    self._definitions, feed, instance, outside=self, run_id=run_id, tags=tags
                )
        except PipelineError as error:
            self._outside = None
            watch.failures += 1
            watch.failed_at = self._clock()
            self._complain(watch, str(error), run_id)
            return 0
        finally:
            self._run = None
            self._hands.clear()
        if watch.failures:
            watch.failures, watch.trouble = 0, ""
            self._tell(Line(feed.name, "recovered", "a run succeeded again", run_id=run_id))
        return self._account(feed, ran, time.monotonic() - started, run_id)

    def _account(self, feed: Feed, ran: Ingested, seconds: float, run_id: str) -> int:
        """Tells what became of the batches of a run; how many messages they held."""
        counts = {name: int(str(ran.numbers[name])) for name in _NUMBERS}
        if received := counts["received"]:
            text = (
                "received {received} = loaded {rows} + duplicate {duplicate}"
                " + quarantined {quarantined} + released {released}"
            ).format(**counts)
            rate = f" in {seconds:.1f} s, {received / seconds:.0f} messages/s"
            told = counts | {"seconds": round(seconds, 3)}
            self._tell(Line(feed.name, "batch", text + rate, told, run_id))
        for check in ran.checks:
            if not check.passed:
                verdict = "failed" if check.severity is dg.AssetCheckSeverity.ERROR else "warns"
                text = f"check {check.check_name} {verdict}: {check.description}"
                self._tell(Line(feed.name, "check", text, run_id=run_id))
        return received

    def _complain(self, watch: _Watch, trouble: str, run_id: str | None = None) -> None:
        """Tells trouble when it begins or changes, not each time that it is met."""
        if trouble != watch.trouble:
            watch.trouble = trouble
            self._tell(Line(watch.feed.name, "trouble", trouble, run_id=run_id))
