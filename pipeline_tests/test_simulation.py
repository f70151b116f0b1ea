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


class One(Schedule):
    """A schedule that is written down here."""

    def __init__(self) -> None:
        type(self).tally = Tally()
        super().__init__()


def test_what_sqs_refuses_for_good_to_delete_is_delivered_again_and_settled() -> None:
    """A schedule that a million steps came upon: beside a message that is settled apart."""
    state = One()
    state.begin(kinds=[Kind.FIRST], max_receives=6, put_off=None)
    state.lose_deliveries(count=3)
    state.send(kind=Kind.FIRST, named=False)
    state.wait_with_a_fault(fault=Fault.FOR_GOOD, calls=0, seconds=1.0)
    state.carry_through(which=0)
    state.teardown()
    assert state.tally.struck[Fault.FOR_GOOD] == 1
    assert state.tally.came["settled apart"] == 1


def test_a_run_may_hold_from_its_receive_on_however_long_it_looked_at_the_warehouse() -> None:
    """Another of them."""
    state = One()
    state.begin(kinds=[Kind.FIRST], max_receives=1, put_off=0)
    state.carry_on_into_a_fault(fault=Fault.SLOW, calls=0, which=0, stages=1)
    state.wait(seconds=200.0)
    state.carry_on_into_a_fault(fault=Fault.SLOW, calls=0, which=0, stages=1)
    state.teardown()
    assert state.tally.struck[Fault.SLOW] == 2


def test_a_heartbeat_during_which_another_run_is_slow_is_slow_as_well() -> None:
    """The third of them."""
    state = One()
    state.begin(kinds=[Kind.FIRST], max_receives=1, put_off=None)
    state.carry_on(which=0)
    for fault, seconds in ((Fault.MEANWHILE, 1.0), (Fault.SLOW, 1.0), (Fault.KILLED_BEFORE, 25.0)):
        state.wait_with_a_fault(fault=fault, calls=0, seconds=seconds)
    state.teardown()
    assert state.tally.struck[Fault.MEANWHILE] == state.tally.struck[Fault.SLOW] == 1
