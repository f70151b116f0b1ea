"""What the oracles say of a warehouse: verdicts with their figures, for any campaign."""

from collections.abc import Sequence
from dataclasses import dataclass

from chaos.oracles import Findings, add_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """What the witness at the queue's deletes has seen.

    Attributes:
        seen: Deletes that it could judge.
        early: Those of what was not committed.
    """

    seen: int
    early: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one oracle says.

    Attributes:
        oracle: Its letter and what it stands for.
        holds: Whether it holds.
        why: The figures.
    """

    oracle: str
    holds: bool
    why: str


def nothing_lost(findings: Sequence[Findings]) -> Verdict:
    """Oracle L, over the findings of some feeds."""
    found = add_up(findings)
    return Verdict(
        "L: nothing lost",
        found.lost == found.without_row == 0,
        f"{found.accepted:,} accepted; {found.lost} nowhere, {found.without_row} in the ledger"
        " without a row",
    )


def nothing_doubled(findings: Sequence[Findings]) -> Verdict:
    """Oracle D; what one feed has too much does not make up for another."""
    found = add_up(findings)
    return Verdict(
        "D: nothing doubled",
        all(each.rows == each.events == each.ledger for each in findings) and found.strangers == 0,
        f"{found.rows:,} rows, {found.events:,} events, {found.ledger:,} in the ledger;"
        f" {found.strangers} that nobody sent",
    )


def nothing_early(findings: Sequence[Findings], seen: Witnessed, *, rows: int = 0) -> Verdict:
    """Oracle C: no delete was early, and the witness has seen as many as there are rows.

    Args:
        findings: What the warehouse holds.
        seen: What the witness has seen.
        rows: Of the rows, how many came by queues without a witness.
    """
    return Verdict(
        "C: acknowledged only after the commit",
        seen.early == 0 and seen.seen >= add_up(findings).rows - rows,
        f"{seen.seen:,} deletes were seen, {seen.early} of what was not committed",
    )


def all_accounted_for(findings: Sequence[Findings]) -> Verdict:
    """Oracle A: the account of each feed is that of its table and of its quarantine."""
    found = add_up(findings)
    quarantined = sum(found.quarantined.values())
    sums = ", ".join(f"{name} {count:,}" for name, count in found.account.items())
    return Verdict(
        "A: every message accounted for",
        all(map(_adds_up, findings)),
        f"{sums}; {quarantined:,} in the quarantine, {found.left:,} redriven from it,"
        f" {found.crooked} rows do not add up",
    )


def _adds_up(found: Findings) -> bool:
    return (
        found.crooked == 0
        and found.account["loaded"] == found.rows
        and found.account["quarantined"] == sum(found.quarantined.values()) + found.left
    )
