"""What a chaos run came to: the figures, the verdict of each oracle, and how they are shown."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Final

from chaos.enough import MESSAGES, POSTGRES_KILLS, WORKER_KILLS, least, least_loaded
from chaos.machine import describe
from chaos.oracles import Findings, add_up
from chaos.search import Search
from chaos.verdicts import (
    Verdict,
    Witnessed,
    all_accounted_for,
    nothing_doubled,
    nothing_early,
    nothing_lost,
)

_ENOUGH: Final = "enough happened"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for.

    Attributes:
        minutes: Of faults.
        seed: Decides traffic, faults and their moments.
        rate: Messages a second that are sent.
        drain_minutes: Within which the backlog must be gone after the last fault.
        command: What was entered.
    """

    minutes: float
    seed: int
    rate: float
    drain_minutes: float
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What was done during a run.

    Attributes:
        sent: Answers to senders, by what they said.
        planned: Faults of the harness that the plan has, by kind.
        faults: Those that have been.
        queue_faults: Faults of the queue, by kind.
        killed_at: SIGKILL and SIGTERM of run workers, by what they were at.
        loaded_meanwhile: Rows that were loaded before the last fault had passed.
        worker_kills: Those of workers that held messages, or had loaded some.
        postgres_kills: Of the postmaster.
        restarts: Starts after the first, by process.
        hung: Those of the code server because it answered nobody any more.
        drain_seconds: From the last fault until the queue was empty; None if it never was.
        died: Processes that ended though nobody had ended them.
        witnessed: What the witness at the deletes has seen.
        alerts: What the webhook was told, by code.
        errands: How the commands ended that were run meanwhile.
    """

    sent: dict[str, int]
    planned: dict[str, int]
    faults: dict[str, int]
    queue_faults: dict[str, int]
    killed_at: dict[str, int]
    loaded_meanwhile: int
    worker_kills: int
    postgres_kills: int
    restarts: dict[str, int]
    hung: int
    drain_seconds: float | None
    died: list[str]
    witnessed: Witnessed
    alerts: dict[str, int]
    errands: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A chaos run.

    Attributes:
        order: What was asked for.
        happened: What was done.
        findings: What the warehouse held afterwards, by feed.
        search: What the search for canaries found.
        runs: Dagster's runs, by status.
        dead_letters: Messages on the dead-letter queues at the end.
        machine: What it ran on, without a name.
    """

    order: Order
    happened: Happened
    findings: dict[str, Findings]
    search: Search
    runs: dict[str, int]
    dead_letters: int
    machine: str = field(default_factory=describe)

    @property
    def total(self) -> Findings:
        """What the warehouse held of all feeds together."""
        return add_up(list(self.findings.values()))

    @property
    def holds(self) -> bool:
        """Whether everything is as it should be, and enough was done to say so."""
        return all(each.holds for each in self.verdicts())

    def verdicts(self) -> Iterator[Verdict]:
        """Each oracle's verdict."""
        happened, each_feed = self.happened, list(self.findings.values())
        yield nothing_lost(each_feed)
        yield nothing_doubled(each_feed)
        yield nothing_early(each_feed, happened.witnessed)
        yield Verdict(
            "P: no personal value in the clear",
            not self.search.hits and self.search.sighted,
            f"{len(self.search.hits)} places of {self.search.searched:,} bytes hold a canary",
        )
        yield Verdict("R: drained", *self._drained())
        yield all_accounted_for(each_feed)
        alerts = sum(happened.alerts.values())
        yield Verdict("people were told", alerts > 0, f"{alerts} alerts at the webhook")
        yield Verdict("nothing died by itself", not happened.died, ", ".join(happened.died) or "-")
        yield Verdict(_ENOUGH, *self._enough())

    def _told(self) -> str:
        """The verdict, in words: a run that shows too little is not one that shows a fault."""
        broken = [each.oracle for each in self.verdicts() if not each.holds]
        if broken == [_ENOUGH]:
            return "nothing is off, but too little happened to prove it: give it more minutes"
        return "NOT as it should be" if broken else "everything holds"

    def _drained(self) -> tuple[bool, str]:
        seconds, bound = self.happened.drain_seconds, 60 * self.order.drain_minutes
        if seconds is None:
            return False, f"not within {bound:.0f} s"
        return seconds <= bound, f"{seconds:.0f} s after the last fault, of {bound:.0f} s"

    def _enough(self) -> tuple[bool, str]:
        minutes, happened = self.order.minutes, self.happened
        pairs = {
            "accepted": (self.total.accepted, least(MESSAGES, minutes)),
            # What is loaded only once nothing is broken any more shows little.
            "loaded meanwhile": (happened.loaded_meanwhile, least_loaded(minutes)),
            "workers killed that had received": (
                happened.worker_kills,
                least(WORKER_KILLS, minutes),
            ),
            "Postgres kills": (happened.postgres_kills, least(POSTGRES_KILLS, minutes)),
        }
        # What a short run has once in its plan may find nothing to break.
        twice = [kind for kind, count in happened.planned.items() if count > 1]
        idle = [kind for kind in twice if happened.faults[kind] == 0]
        idle += [] if happened.queue_faults else ["faults of the queue"]
        few = [name for name, (done, wanted) in pairs.items() if done < wanted]
        told = ", ".join(
            f"{name} {done:,} of at least {wanted:,}" for name, (done, wanted) in pairs.items()
        )
        return not few and not idle, told + (f"; never: {', '.join(idle)}" if idle else "")

    def to_json(self) -> str:
        """Everything, for machines."""
        verdicts = [asdict(each) for each in self.verdicts()]
        return json.dumps({**asdict(self), "verdicts": verdicts, "holds": self.holds}, indent=2)

    def to_markdown(self) -> str:
        """Everything, for people."""
        happened, found = self.happened, self.total
        lines = [
            "# Chaos report", "",
            f"- Command: `{self.order.command}`",
            f"- Seed: {self.order.seed}; minutes of faults: {self.order.minutes:g}",
            f"- Machine: {self.machine}",
            f"- Verdict: **{self._told()}**", "",
            *_table("Oracle", "Verdict", [
                (each.oracle, f"{'holds' if each.holds else '**broken**'}: {each.why}")
                for each in self.verdicts()
            ]),
            *_counts("Answers to senders", happened.sent),
            *_counts("Account", found.account | {"batches": found.batches}),
            *_counts("Rows, by feed", {name: each.rows for name, each in self.findings.items()}),
            *_counts("Quarantined, by reason", found.quarantined),
            *_counts("Dead letters", {"at the end": self.dead_letters}),
            *_counts("Faults", happened.faults),
            *_counts("Run workers killed while they were", happened.killed_at),
            *_counts("Faults of the queue", happened.queue_faults),
            *_counts(
                "Starts after the first",
                happened.restarts | {"of these, of a code server that hung": happened.hung},
            ),
            *_counts("Commands run meanwhile", happened.errands),
            *_counts("Alerts, by code", happened.alerts),
            *_counts("Runs, by status", self.runs),
        ]  # fmt: skip
        for where, forms in self.search.hits.items():
            lines.append(f"- canary in {where}: {', '.join(forms)}")
        return "\n".join(lines) + "\n"


def _counts(title: str, counts: dict[str, int]) -> list[str]:
    return _table(title, "Count", [(name, f"{count:,}") for name, count in counts.items()])


def _table(first: str, second: str, rows: list[tuple[str, str]]) -> list[str]:
    return [f"| {first} | {second} |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in rows), ""]
