"""The core through thousands of schedules: crashes, redeliveries, refusals, redrives in any order.

Covers, on a clock of its own, faults 1 to 13, 16, 18, 26, 40, 43 to 49, 52, 53, 57 to 60.
"""

import pytest

from simulation.contract import Kind
from simulation.drive import explore
from simulation.faults import Fault
from simulation.schedules import RULES, Schedule
from simulation.tally import Tally


@pytest.mark.parametrize("seed", range(4))  # each for another worker
def test_every_property_holds_in_every_schedule(seed: int) -> None:
    tally = Tally()
    explore(tally, schedules=500, chosen_by=seed)
    assert tally.schedules >= 500
    assert not [name for name in RULES if not tally.rules[name]]
    assert len(tally.struck) > len(Fault) / 2


def test_the_same_seed_carries_out_the_same_schedules() -> None:
    first, second = Tally(), Tally()
    for tally in (first, second):
        explore(tally, schedules=20, chosen_by=7)
    assert first == second


def test_what_sqs_refuses_for_good_to_delete_is_delivered_again_and_settled() -> None:
    """A schedule that a million steps came upon: beside a message that is settled apart."""

    class One(Schedule):
        tally = Tally()

    state = One()
    state.begin(kinds=[Kind.FIRST], max_receives=6, put_off=None)
    state.lose_deliveries(count=3)
    state.send(kind=Kind.FIRST, named=False)
    state.wait_with_a_fault(fault=Fault.FOR_GOOD, calls=0, seconds=1.0)
    state.carry_through(which=0)
    state.teardown()
    assert One.tally.struck[Fault.FOR_GOOD] == 1
    assert One.tally.came["settled apart"] == 1
