"""Runs cases of the conformance suite one by one, and tells who does what SQS does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline_tests.sqs_account import Account
from pipeline_tests.sqs_case import Case, Need, outcome


@dataclass
class Report:
    """What came of a run.

    Attributes:
        implementation: Whom it was run against.
        conforming: The cases in which it does what SQS does.
        deviating: The cases in which it differs as known, and how.
        different: The cases with another outcome than the one known: expected, and found.
        left_out: The cases that it cannot run, with what they need.
        queues_left: The queues that could not be deleted.
    """

    implementation: str
    conforming: list[str] = field(default_factory=list)
    deviating: dict[str, str] = field(default_factory=dict)
    different: dict[str, tuple[object, object]] = field(default_factory=dict)
    left_out: dict[str, frozenset[Need]] = field(default_factory=dict)
    queues_left: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether every case came out as known, and nothing was left behind."""
        return not self.different and not self.queues_left

    def add(self, name: str, case: Case, found: object) -> None:
        """Enter the outcome of one case."""
        expected = case.expected(self.implementation)
        if found != expected:
            self.different[name] = expected, found
        elif found == case.sqs:
            self.conforming.append(name)
        else:
            self.deviating[name] = case.deviations[self.implementation].how

    def lines(self) -> list[str]:
        """The report as text; of each case that is not as SQS, its name."""
        return [
            *(f"deviates, as known: {name}: it {how}" for name, how in self.deviating.items()),
            *(
                f"left out: {name} (needs {'; '.join(sorted(need.value for need in needs))})"
                for name, needs in self.left_out.items()
            ),
            *(
                f"DIFFERS: {name}\n  known: {expected!r}\n  found: {found!r}"
                for name, (expected, found) in self.different.items()
            ),
            *(f"QUEUE LEFT: {name}" for name in self.queues_left),
            self._sum(),
        ]

    def _sum(self) -> str:
        return (
            f"{self.implementation}: {len(self.conforming)} as SQS, "
            f"{len(self.deviating)} deviate as known, {len(self.different)} differ, "
            f"{len(self.left_out)} left out"
        )


def run(
    implementation: str,
    cases: Mapping[str, Case],
    open_account: Callable[[], Account],
    *,
    has: frozenset[Need],
) -> Report:
    """Run all cases that an implementation can run, and remove their queues whatever happens.

    Args:
        implementation: The name under which the cases know its deviations.
        cases: What to run.
        open_account: An account for each case, none of whose names was used before.
        has: What the implementation has of what cases may need.
    """
    report, opened = Report(implementation), list[Account]()
    try:
        for name, case in cases.items():
            if lacking := case.needs - has:
                report.left_out[name] = lacking
                continue
            opened.append(open_account())
            report.add(name, case, outcome(case, opened[-1]))
    finally:
        report.queues_left = [name for account in opened for name in account.remove()]
    return report
