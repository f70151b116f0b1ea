"""What a process holds can be given back from another thread, and nothing hides it again."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from pipeline.errors import WrongEnvironment
from pipeline.messages import Message, Refusals
from pipeline.operate.hands import Hands, HeldOutside, HeldQueue
from pipeline.resources.outside import Outside
from pipeline_tests.outside_world import all_of, refusing
from pipeline_tests.samples import USER_LOGINS, eventually
from pipeline_tests.world import World


@pytest.fixture
def hands() -> Hands:
    return Hands(threading.Event())


@pytest.fixture(params=["lean", "boto3"])
def queue(world: World, hands: Hands, request: pytest.FixtureRequest) -> HeldQueue:
    """The queue of a world as runs have it, with thirty messages."""
    world.send(["{}"] * 30)
    outside = Outside.of({**world.environment, "PIPELINE_SQS_TRANSPORT": request.param})
    return HeldOutside.around(outside, hands).queue_for_a_run(USER_LOGINS)


def receive(queue: HeldQueue) -> list[Message]:
    """What one call brings, as runs make it."""
    with closing(queue.receives(1)) as calls:
        calls.begin(10)
        (outcome,) = all_of(calls)
    assert not isinstance(outcome, Exception)
    return outcome


def delete(queue: HeldQueue, messages: list[Message]) -> None:
    """Deletes messages as runs do."""
    with closing(queue.deletes(1)) as calls:
        calls.begin(messages)
        assert all_of(calls) == [Refusals()]


def test_what_is_neither_committed_nor_released_is_given_back_at_once(
    world: World, hands: Hands, queue: HeldQueue
) -> None:
    first, second, _ = (receive(queue) for _ in range(3))
    delete(queue, first)
    queue.hide(second, 600)
    assert hands.let_go() == (20, 20)
    assert world.depth() == (20, 0)


def test_what_is_about_to_be_deleted_is_not_given_back(
    world: World, hands: Hands, queue: HeldQueue
) -> None:
    """It is committed: to show it again would only cost its redelivery."""
    messages = receive(queue)
    with closing(queue.deletes(1)) as calls:
        calls.begin(messages)
        assert hands.let_go() == (0, 0)
        all_of(calls)
    assert world.depth() == (20, 0)


def test_what_an_ended_run_has_left_is_let_be(world: World, hands: Hands, queue: HeldQueue) -> None:
    receive(queue)
    hands.clear()
    receive(queue)
    assert hands.let_go() == (10, 10)
    assert world.depth() == (20, 10)


def test_a_heartbeat_hides_nothing_again(world: World, hands: Hands, queue: HeldQueue) -> None:
    messages = receive(queue)
    hands.let_go()
    assert queue.hide(messages, 600).retry == ()
    assert world.depth() == (30, 0)


def test_a_heartbeat_that_is_under_way_is_waited_for(
    world: World, hands: Hands, queue: HeldQueue
) -> None:
    messages = receive(queue)

    def closed() -> bool:
        with hands.hiding() as permitted:
            return not permitted

    with ThreadPoolExecutor(1) as pool:
        with hands.hiding() as permitted:
            assert permitted
            letting = pool.submit(hands.let_go)
            eventually(closed)
            threading.Event().wait(0.1)  # as long as it would take to show the messages too early
            assert world.app.calls["ChangeMessageVisibilityBatch"] == 0
        assert letting.result(10) == (10, 10)
    assert queue.hide(messages, 600).final == ()
    assert world.depth() == (30, 0)


def test_told_to_stop_it_receives_nothing_more(
    world: World, hands: Hands, queue: HeldQueue
) -> None:
    hands.stopping.set()
    assert receive(queue) == []
    assert world.app.calls["ReceiveMessage"] == 0


def test_told_to_stop_while_a_call_is_under_way_it_keeps_what_that_brings(
    hands: Hands, queue: HeldQueue
) -> None:
    with closing(queue.receives(2)) as calls:
        calls.begin(10)
        hands.stopping.set()
        calls.begin(10)
        assert calls.under_way == 2
        brought = [len(each) for each in all_of(calls) if not isinstance(each, Exception)]
    assert sorted(brought) == [0, 10]
    assert hands.let_go() == (10, 10)


def test_what_sqs_does_not_take_back_is_counted(world: World, hands: Hands) -> None:
    world.send(["{}"] * 10)
    receive(HeldQueue(world.sqs, USER_LOGINS, hands, embedded=False))
    with refusing(world.sqs, "ChangeMessageVisibilityBatch", "AccessDenied"):
        assert hands.let_go() == (0, 10)


def test_one_queue_serves_every_run(world: World, hands: Hands) -> None:
    """A client keeps its connections until it is collected: one for each run would pile up."""
    outside = Outside.of(world.environment)
    held = HeldOutside.around(outside, hands)
    assert held.queue_for_a_run(USER_LOGINS) is held.queue_for_a_run(USER_LOGINS)
    assert (held.postgres_url, held.endpoint) == (outside.postgres_url, outside.endpoint)


def test_the_queue_of_another_environment_is_refused(world: World, hands: Hands) -> None:
    """Fault 72: for a service as for a run, and each time that it is asked for."""
    world.sqs.tag_queue(QueueUrl=world.queue_url, Tags={"environment": "prod"})
    outside = Outside.of(world.environment)
    held = HeldOutside.around(replace(outside, environment="staging"), hands)
    for _ in range(2):
        with pytest.raises(WrongEnvironment):
            held.queue_for_a_run(USER_LOGINS)
    mine = HeldOutside.around(replace(outside, environment="prod"), hands)
    assert mine.queue_for_a_run(USER_LOGINS).url == world.queue_url
