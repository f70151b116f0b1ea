"""Has hypothesis find schedules, many of them, and tells what they have covered."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from simulation.faults import Fault
from simulation.schedules import RULES, Schedule
from simulation.tally import Tally

STEPS: Final = 14
"""Steps of a schedule, before everything is brought to its end."""

_PORTION: Final = 1_000  # schedules that hypothesis keeps in mind at the same time


def explore(tally: Tally, *, schedules: int, chosen_by: int) -> None:
    """Carries out so many schedules; they are the same for the same number.

    Args:
        tally: Counts.
        schedules: How many.
        chosen_by: The seed.

    Raises:
        Violation: A property does not hold. Its notes tell the shortest schedule that was found.
    """
    with _silence():
        for portion, first in enumerate(range(0, schedules, _PORTION)):
            machine = type("Schedule", (Schedule,), {"tally": tally})
            run_state_machine_as_test(
                seed(f"{chosen_by}/{portion}")(machine),
                settings=settings(
                    max_examples=min(_PORTION, schedules - first),
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    phases=(Phase.generate, Phase.shrink),
                    suppress_health_check=list(HealthCheck),
                    report_multiple_bugs=False,
                ),
            )


def uncovered(tally: Tally) -> list[str]:
    """The rules that were never carried out, and the faults that have never had an effect."""
    rules = [name for name in RULES if not tally.rules[name]]
    faults = [fault.value for fault in Fault if not tally.struck[fault.value]]
    return rules + faults


@contextmanager
def _silence() -> Iterator[None]:
    """What runs log is theirs; tens of thousands of lines would hide what is found."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
