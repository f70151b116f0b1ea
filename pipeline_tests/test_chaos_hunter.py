"""Run workers are hit at every moment of a run, and never two in a row of one feed."""

import random
from dataclasses import replace

import pytest

from chaos.hunter import Hunter
from chaos.schedule import Fault, Strike
from chaos.workers import IN_HAND, Moment, Worker

KILL = Strike(1.0, Fault.KILL_WORKER, 0.5)
STOP = Strike(1.0, Fault.STOP_WORKER, 0.5)
HURRIED = 30.0  # seconds after which any moment will do


class Field:
    """Workers as the test has them, and a hunter among them."""

    def __init__(self, *living: Worker) -> None:
        self.living, self.in_flight = list(living), {"a": 0, "b": 0}
        self.blind = False
        rng = random.Random(3)  # noqa: S311 - a test's
        self.hunter = Hunter(lambda: list(self.living), self._count, rng)

    def _count(self, feed: str) -> int | None:
        return None if self.blind else self.in_flight[feed]

    def hit(self, strike: Strike = KILL, now: float = HURRIED) -> str | None:
        """The run that a strike hits which has waited for long, if any."""
        self.hunter.clear()
        self.hunter.add(strike, 0.0)
        chosen = self.hunter.choose(now)
        return chosen[1].run_id if chosen else None


def worker(run_id: str, moment: Moment, feed: str = "a") -> Worker:
    return Worker(4_711, run_id, feed, moment)


@pytest.mark.parametrize("moment", Moment)
def test_only_who_holds_messages_is_hit_in_a_hurry(moment: Moment) -> None:
    assert Field(worker("1", moment)).hit() == ("1" if moment in IN_HAND else None)


def test_who_receives_holds_messages_once_more_are_in_flight_than_before() -> None:
    field = Field(worker("1", Moment.RECEIVING))
    field.in_flight["a"] = 70  # another one's, who is dead
    assert field.hit() is None
    field.in_flight["a"] = 80
    assert field.hit() == "1"


def test_of_two_that_receive_at_once_nobody_knows_which_has() -> None:
    field = Field(worker("1", Moment.RECEIVING), worker("2", Moment.RECEIVING))
    assert field.hit() is None
    field.in_flight["a"] = 80
    assert field.hit() is None


def test_while_the_queue_does_not_say_who_receives_is_let_alone() -> None:
    field = Field(worker("1", Moment.RECEIVING))
    assert field.hit() is None
    field.in_flight["a"], field.blind = 80, True
    assert field.hit() is None


def test_every_moment_is_aimed_at_but_that_after_the_work() -> None:
    hit = set()
    for moment in Moment:
        field = Field(worker("1", moment))
        field.hunter.choose(0.0)
        field.in_flight["a"] = 80
        for _ in range(60):
            field.hunter.add(KILL, 0.0)
        if (chosen := field.hunter.choose(1.0)) is not None:
            hit.add(chosen[1].moment)
    assert hit == set(Moment) - {Moment.CHECKING}


def test_nobody_is_hit_twice() -> None:
    field = Field(worker("1", Moment.LOADING))
    assert field.hit() == "1"
    assert field.hit() is None


def test_the_next_of_a_feed_is_let_alone_after_one_was_killed() -> None:
    field = Field(worker("1", Moment.LOADING))
    assert field.hit() == "1"
    field.living = [worker("2", Moment.LOADING), worker("3", Moment.MASKING, "b")]
    assert field.hit() == "3"
    assert field.hit() is None
    field.living.append(worker("4", Moment.LOADING))
    assert field.hit() == "4"


def test_after_one_was_stopped_nobody_is_let_alone() -> None:
    field = Field(worker("1", Moment.LOADING))
    assert field.hit(STOP) == "1"
    field.living = [worker("2", Moment.LOADING)]
    assert field.hit() == "2"


def test_where_the_one_that_was_to_be_hit_had_ended_the_next_is_not_let_alone() -> None:
    field = Field(ended := worker("1", Moment.LOADING))
    assert field.hit() == "1"
    field.hunter.miss(ended)
    field.living = [worker("2", Moment.LOADING)]
    assert field.hit() == "2"


def test_a_strike_waits_for_its_moment() -> None:
    aims = [moment for moment in Moment if _chosen_at(moment)]
    assert len(aims) == 1


def _chosen_at(moment: Moment) -> bool:
    field = Field(worker("1", moment))
    field.hunter.add(KILL, 0.0)
    first = field.hunter.choose(1.0)
    field.in_flight["a"] = 5
    return (first or field.hunter.choose(2.0)) is not None


def test_strikes_that_wait_are_counted_and_forgotten() -> None:
    field = Field()
    field.hunter.add(KILL, 0.0)
    field.hunter.add(replace(KILL, chance=0.1), 0.0)
    assert len(field.hunter) == 2
    field.hunter.clear()
    assert len(field.hunter) == 0
