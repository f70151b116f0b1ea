"""The plan of faults: the same for a seed, several kinds at once, none left out."""

from collections import Counter

import pytest

from chaos.schedule import Fault, plan


def test_a_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan(7, 600) == plan(7, 600)
    assert plan(7, 600) != plan(8, 600)


def test_each_kind_has_chance_of_its_own() -> None:
    first = {each.fault: each.chance for each in reversed(plan(7, 600))}
    assert len(set(first.values())) == len(Fault)


@pytest.mark.parametrize("seed", range(20))
def test_even_a_short_run_meets_every_kind(seed: int) -> None:
    strikes = plan(seed, 180)
    assert {each.fault for each in strikes} == set(Fault)
    assert all(0 < each.at < 180 for each in strikes)
    assert strikes == sorted(strikes)


@pytest.mark.parametrize("seed", range(20))
def test_an_hour_asks_for_the_kills_that_an_hour_is_to_have(seed: int) -> None:
    counts = Counter(each.fault for each in plan(seed, 3_600))
    assert counts[Fault.KILL_WORKER] + counts[Fault.TERMINATE_WORKER] >= 115  # some hit too early
    assert counts[Fault.KILL_POSTGRES] >= 30


def test_a_longer_run_begins_as_a_shorter_one_of_the_same_seed() -> None:
    shorter, longer = plan(7, 1_200), plan(7, 3_600)
    assert longer[: len(shorter)] == shorter
