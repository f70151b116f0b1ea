"""Dead letters that SQS moves by itself: followed, taken up again, cancelled, to one queue only."""

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import cast

import pytest

from pipeline.errors import QueueError
from pipeline.operate.dead_letters.moving import move
from pipeline.operate.dead_letters.order import Tally, choose_way
from pipeline.operate.dead_letters.redrive import find, redrive
from pipeline.resources.dead_letter_queue import DeadLetterQueue, Move
from pipeline_tests.dead_letter_case import (
    KEYED,
    arn_of,
    bury,
    bury_another_queues,
    depth,
    logins,
    on_aws,
    order,
    outside,
    recorded,
)
from pipeline_tests.world import World


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


def move_all(world: World, queue: DeadLetterQueue, tally: Tally) -> None:
    move(queue, order(feed=KEYED), tally, stop=Passing(world), tell=lambda: None)


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
    assert moved(world, Passing(world), per_second=1) == Tally(moved=23)
    assert world.app.calls["StartMessageMoveTask"] == 1


def test_one_that_goes_on_at_another_rate_is_not_taken_up(world: World) -> None:
    """The audit holds the rate of the order, and the table may not bear another."""
    letters = bury(world, logins(23))
    arn = arn_of(world, letters)
    world.sqs.start_message_move_task(SourceArn=arn, MaxNumberOfMessagesPerSecond=500)
    with pytest.raises(QueueError, match="a move at 500/s goes on already, not at 1/s"):
        moved(world, Passing(world), per_second=1)
    assert world.app.calls["CancelMessageMoveTask"] == 0
    assert recorded(world)[1][1] == "broke off: move, moved 0, failed 0"


def test_one_that_is_being_cancelled_is_waited_for(world: World) -> None:
    """Somebody stopped it, and somebody orders the rest: both get what they asked for."""
    letters = bury(world, logins(23))
    arn = arn_of(world, letters)
    task = world.sqs.start_message_move_task(SourceArn=arn, MaxNumberOfMessagesPerSecond=1)
    world.clock.now += 2
    world.sqs.cancel_message_move_task(TaskHandle=task["TaskHandle"])
    (seen,) = world.sqs.list_message_move_tasks(SourceArn=arn)["Results"]
    assert seen["Status"] == "CANCELLING"
    there = world.depth()[0]
    assert moved(world, Passing(world)) == Tally(moved=23 - there)
    assert (world.depth(), depth(world, letters)) == ((23, 0), (0, 0))


def test_one_that_somebody_else_cancels_has_failed(world: World) -> None:
    letters = bury(world, logins(23))
    cancelled: list[int] = []

    def cancel() -> bool:
        if not cancelled:
            (task,) = world.sqs.list_message_move_tasks(SourceArn=arn_of(world, letters))["Results"]
            world.sqs.cancel_message_move_task(TaskHandle=task["TaskHandle"])
            cancelled.append(1)
        return False

    with pytest.raises(QueueError, match="the move was cancelled by somebody else"):
        moved(world, Passing(world, sets_itself=cancel), per_second=1)
    assert world.depth()[0] + depth(world, letters)[0] == 23
    assert recorded(world)[1][1].startswith("broke off: move, moved ")


class Late:
    """A dead-letter queue of which SQS tells each look what the next one should have told."""

    def __init__(self, moves: Sequence[Move | None]) -> None:
        self._moves = iter(moves)
        self.started: list[int] = []

    def latest_move(self) -> Move | None:
        return next(self._moves)

    def start_move(self, per_second: int) -> None:
        self.started.append(per_second)


def seen(status: str, started: int, moved: int) -> Move:
    return Move(
        status=status, started=started, per_second=500, moved=moved, expected=23, handle=None
    )


@pytest.mark.parametrize("first", [None, seen("COMPLETED", 1, 30)])
def test_what_sqs_shows_late_is_waited_for(world: World, first: Move | None) -> None:
    """The move that was over before is not this one, and a count reaches its end a moment later."""
    tally = Tally()
    late = Late([first, first, first, seen("COMPLETED", 2, 20), seen("COMPLETED", 2, 23)])
    move_all(world, cast("DeadLetterQueue", late), tally)
    assert (late.started, tally) == ([500], Tally(moved=23))


def test_what_sqs_never_shows_is_not_waited_for_without_end(world: World) -> None:
    short = [None] + [seen("COMPLETED", 2, 20)] * 10  # three have expired meanwhile
    for moves, trouble in ((short, ""), ([None] * 10, "does not show the move")):
        tally, late = Tally(), Late(moves)
        with pytest.raises(QueueError, match=trouble) if trouble else nullcontext():
            move_all(world, cast("DeadLetterQueue", late), tally)
        assert tally.moved == (0 if trouble else 20)


def test_each_letter_goes_to_the_queue_that_gave_it_up(world: World) -> None:
    """Also what a look at some of them has not seen: as when it may not receive."""
    letters = bury(world, logins(3))
    another = bury_another_queues(world, letters, logins(12))
    tally = Tally()
    move_all(world, find(outside(world), KEYED), tally)
    assert tally == Tally(moved=15)
    assert (world.depth(), depth(world, another)) == ((3, 0), (12, 0))


def test_an_order_for_some_never_becomes_a_move(world: World) -> None:
    """A move takes everything."""
    letters = bury(world, logins(23))
    assert choose_way(order(feed=KEYED), on_aws(world)) == "move"
    some = order(feed=KEYED, most=12)
    tally = redrive(on_aws(world), some, stop=Passing(world), tell=print)
    assert tally == Tally(moved=12, left=11)
    assert depth(world, letters) == (11, 0)
    assert world.app.calls["StartMessageMoveTask"] == 0


def test_where_another_queues_letters_are_seen_none_is_moved(world: World) -> None:
    """It would change their ids and dates, on which their own feed may depend."""
    letters = bury(world, logins(3))
    bury_another_queues(world, letters, logins(12))
    with pytest.raises(QueueError, match="holds messages that another queue has given up"):
        moved(world, Passing(world))
    assert (depth(world, letters), recorded(world)) == ((15, 0), [])
    tally = redrive(on_aws(world), order(feed=KEYED), stop=Passing(world), tell=print)
    assert tally == Tally(moved=3, foreign=12, left=12)


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
    assert moved(world, Passing(world), per_second=1) == Tally(moved=23)
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
