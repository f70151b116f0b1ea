"""What a campaign came to: the rounds, the scenes, the verdicts, and how they are shown."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Final

from chaos.machine import describe
from chaos.oracles import Findings
from chaos.verdicts import (
    Verdict,
    Witnessed,
    all_accounted_for,
    nothing_doubled,
    nothing_early,
    nothing_lost,
)
from machines.faults import Struck
from machines.growth import Round

GREW: Final = 1.1
"""From this factor on a round counts as quicker than the one before."""

FULL: Final = 0.85
"""From this share on the cores count as full: what is left goes to waiting for one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A campaign.

    Attributes:
        command: What was entered.
        seed: Decides what is sent, and the cuts at random moments.
        seconds: It took.
        rounds: Of the growth, with one worker more each.
        warm: Of the growth of warm workers.
        scenes: Of the faults.
        findings: What the warehouse held afterwards.
        witnessed: What the witness at the watched queue's deletes has seen.
        unwatched: Rows that were loaded from the queue without one.
        left: Messages on the queues at the end.
        dead_letters: On their dead-letter queues.
        is_closed: Whether nothing led out of the hub.
        machine: What it ran on, without a name.
    """

    command: str
    seed: int
    seconds: float
    rounds: Sequence[Round]
    warm: Sequence[Round]
    scenes: Sequence[Struck]
    findings: Findings
    witnessed: Witnessed
    unwatched: int
    left: int
    dead_letters: int
    is_closed: bool
    machine: str = field(default_factory=describe)

    @property
    def holds(self) -> bool:
        """Whether everything is as it should be."""
        return all(each.holds for each in self.verdicts())

    def verdicts(self) -> Iterator[Verdict]:
        """Each oracle's verdict."""
        found = [self.findings]
        yield nothing_lost(found)
        yield nothing_doubled(found)
        yield nothing_early(found, self.witnessed, rows=self.unwatched)
        yield all_accounted_for(found)
        yield Verdict(
            "the queues are empty",
            self.left == self.dead_letters == 0,
            f"{self.left} messages left, {self.dead_letters} dead letters",
        )
        if self.rounds:
            yield Verdict("more workers settle more, until the cores are full", *_grew(self.rounds))
        if self.warm:
            yield Verdict("so do more warm workers under Dagster", *_grew(self.warm))
        if self.scenes:
            idle = [each.what for each in self.scenes if each.held == 0]
            gone = [each.what for each in self.scenes if not each.is_back]
            yield Verdict(
                "who was struck held messages", not idle, "; ".join(idle) or "each of them"
            )
            yield Verdict("all came back", not gone, "; ".join(gone) or "each of them")
        told = "no way out of the namespaces" if self.is_closed else "a way leads out"
        yield Verdict("the network is closed", self.is_closed, told)

    def to_json(self) -> str:
        """Everything, for machines."""
        verdicts = [asdict(each) for each in self.verdicts()]
        return json.dumps({**asdict(self), "verdicts": verdicts, "holds": self.holds}, indent=2)

    def to_markdown(self) -> str:
        """Everything, for people."""
        lines = [
            "# Machines report", "",
            f"- Command: `{self.command}`",
            f"- Seed: {self.seed}; it took {self.seconds:.0f} s",
            f"- Machine: {self.machine}",
            f"- Verdict: **{'everything holds' if self.holds else 'NOT as it should be'}**", "",
            *_table(("Oracle", "Verdict"), [
                (each.oracle, f"{'holds' if each.holds else '**broken**'}: {each.why}")
                for each in self.verdicts()
            ]),
        ]  # fmt: skip
        if self.rounds:
            lines += rounds_table(self.rounds)
        if self.warm:
            lines += ["Warm workers under Dagster:", "", *rounds_table(self.warm)]
        if self.scenes:
            lines += scenes_table(self.scenes)
        return "\n".join(lines)


def rounds_table(rounds: Sequence[Round]) -> list[str]:
    """The growth: the rate of each round, and what the cores did."""
    parts = list(rounds[0].parts)
    head = ("Workers", "Events/s", "Cores busy", *(f"of these {each}" for each in parts), "others")
    return _table(head, [
        (
            str(each.workers),
            f"{each.rate:,.0f}",
            f"{each.busy:.2f} of {each.cores}",
            *(f"{each.parts[part]:.2f}" for part in parts),
            f"{each.others:.2f}",
        )
        for each in rounds
    ])  # fmt: skip


def scenes_table(scenes: Sequence[Struck]) -> list[str]:
    """The faults: what was held, how long it took, and what became of what was received."""
    head = ("Machine", "Held then", "Away, s", "Drained after, s", "Account", "Complaints", "Back")
    return _table(head, [
        (
            each.what,
            f"{each.held:,}",
            f"{each.away:.0f}",
            f"{each.drained:.0f}",
            ", ".join(f"{name} {count:,}" for name, count in each.account.items()),
            ", ".join(f"{code} {count}" for code, count in each.troubles.items()) or "-",
            "yes" if each.is_back else "**no**",
        )
        for each in scenes
    ])  # fmt: skip


def _grew(rounds: Sequence[Round]) -> tuple[bool, str]:
    if unmeasured := [str(each.workers) for each in rounds if not each.rate]:
        return False, f"no rate was measured with {', '.join(unmeasured)} at work"
    steps = [_step(*pair) for pair in pairwise(rounds)]
    return all(holds for holds, _ in steps), "; ".join(why for _, why in steps)


def _step(before: Round, after: Round) -> tuple[bool, str]:
    """Whether one worker more was worth it, or could not be."""
    factor = after.rate / before.rate
    full = before.busy / before.cores >= FULL or after.busy / after.cores >= FULL
    told = f"{before.workers} to {after.workers}: {factor:.2f} times"
    if factor >= GREW:
        return True, told
    return full, f"{told}, {'the cores are full' if full else 'and cores are free'}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]
