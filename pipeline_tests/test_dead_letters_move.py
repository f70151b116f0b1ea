"""Dead letters that SQS moves by itself: followed, taken up again, cancelled, to one queue only."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest

from pipeline.errors import QueueError
from pipeline.operate.dead_letters.order import Tally
from pipeline.operate.dead_letters.redrive import redrive
from pipeline_tests.dead_letter_case import arn_of, bury, depth, logins, order, outside, recorded
from pipeline_tests.samples import USER_LOGINS
from pipeline_tests.world import World

KEYED: Final = replace(
    USER_LOGINS,
    fields=tuple(each for each in USER_LOGINS.fields if each.path != "@sent_at"),
    key=("user_id",),
)
"""A feed of which nothing depends on the envelope."""


class Passing(threading.Event):
    """An event whose waits let time pass on the queue's clock, and none on the machine's."""

    def __init__(self, world: World, *, sets_itself: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self._world = world
        self._sets_itself = sets_itself

    def wait(self, timeout: float | None = None) -> bool:
        self._world.clock.now += timeout or 0.0
        if self._sets_itself():
            self.set()
        return self.is_set()


def moved(world: World, stop: threading.Event, **changes: object) -> Tally:
    return redrive(outside(world), order(feed=KEYED, way="move", **changes), stop=stop, tell=print)


def test_everything_is_moved_to_the_queue_it_came_from(world: World) -> None:
    letters = bury(world, logins(23))
    assert moved(world, Passing(world)) == Tally(moved=23)
    assert (world.depth(), depth(world, letters)) == ((23, 0), (0, 0))
    assert [action for action, _ in recorded(world)] == [
        "redrive dead letters",
        "redrive dead letters done",
    ]
    assert world.app.calls["StartMessageMoveTask"] == 1


def test_it_keeps_to_its_rate_and_may_be_stopped(world: World) -> None:
    letters = bury(world, logins(23))
    stop = Passing(world, sets_itself=lambda: world.depth()[0] >= 4)
    tally = moved(world, stop, per_second=2)
    assert 4 <= tally.moved < 23
    assert tally.left == 23 - tally.moved
    assert depth(world, letters) == (tally.left, 0)
    assert recorded(world)[1][1].startswith("stopped: move, moved ")


def test_one_that_goes_on_already_is_taken_up(world: World) -> None:
    """Fault 57: whoever began it was killed; the move was not."""
    letters = bury(world, logins(23))
    arns = {"SourceArn": arn_of(world, letters), "DestinationArn": arn_of(world, world.queue_url)}
    world.sqs.start_message_move_task(**arns, MaxNumberOfMessagesPerSecond=1)
    assert moved(world, Passing(world)) == Tally(moved=23)
    assert world.app.calls["StartMessageMoveTask"] == 1


def test_one_that_leads_elsewhere_is_left_alone(world: World) -> None:
    letters = bury(world, logins(3))
    elsewhere = world.sqs.create_queue(QueueName="elsewhere")["QueueUrl"]
    arns = {"SourceArn": arn_of(world, letters), "DestinationArn": arn_of(world, elsewhere)}
    world.sqs.start_message_move_task(**arns, MaxNumberOfMessagesPerSecond=1)
    with pytest.raises(QueueError, match="somebody else moves the messages"):
        moved(world, Passing(world))
    assert world.app.calls["CancelMessageMoveTask"] == 0


def test_where_sqs_does_not_answer_the_move_goes_on_and_is_taken_up_later(world: World) -> None:
    letters = bury(world, logins(23))
    with world.app.gate("ListMessageMoveTasks", 3) as gate:
        world.app.let_fail(gate)
        with pytest.raises(QueueError, match="refused ListMessageMoveTasks"):
            moved(world, Passing(world), per_second=1)
    assert world.app.calls["CancelMessageMoveTask"] == 0
    assert moved(world, Passing(world)) == Tally(moved=23)
    assert depth(world, letters) == (0, 0)


def test_who_interrupts_it_ends_the_move(world: World) -> None:
    """As Dagster does when somebody terminates the run."""
    letters = bury(world, logins(23))

    def interrupt() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moved(world, Passing(world, sets_itself=interrupt), per_second=1)
    left = depth(world, letters)
    world.clock.now += 1_000
    assert depth(world, letters) == left != (0, 0)
    assert recorded(world)[1][1].startswith("broke off: move, moved ")
