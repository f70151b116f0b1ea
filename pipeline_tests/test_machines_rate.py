"""How quickly machines work: the rate that the ledger's times give, and what filled the cores."""

import pytest

from machines.busy import Work
from machines.rate import rate


def test_the_first_batch_starts_the_clock_and_does_not_count() -> None:
    assert rate([(10.0, 500), (11.0, 100), (12.0, 100)]) == 100.0


def test_what_comes_when_most_is_done_does_not_count() -> None:
    """By then some workers have nothing left, and the others would be told as slower."""
    busy = [(float(second), 100) for second in range(10)]
    assert rate([*busy, (100.0, 100)]) == 100.0


@pytest.mark.parametrize("settled", [[], [(3.0, 10)], [(3.0, 10), (3.0, 10)]])
def test_too_few_batches_have_no_rate(settled: list[tuple[float, int]]) -> None:
    assert rate(settled) == 0.0


def test_work_between_two_moments_is_shared_out() -> None:
    before = Work(100.0, 50.0, {"workers": 4.0, "queue": 1.0})
    after = Work(110.0, 66.0, {"workers": 12.0, "queue": 2.0})
    work = after.since(before)
    assert (work.clock, work.busy) == (10.0, 16.0)
    assert (work.cores("workers"), work.cores("queue")) == (0.8, 0.1)
    assert work.others == pytest.approx(0.7)


def test_a_process_that_has_gone_takes_nothing_back() -> None:
    work = Work(2.0, 1.0, {"workers": 0.0}).since(Work(1.0, 0.0, {"workers": 5.0}))
    assert work.parts == {"workers": 0.0}
