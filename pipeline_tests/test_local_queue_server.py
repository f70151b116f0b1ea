"""What only the embedded queue's server does: long polls, hang-ups, and stopping."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import boto3
from mypy_boto3_sqs import SQSClient

from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import QueueApp, QueueServer, create_app
from pipeline.local.queue.wire import Receive, Scope, Send
from pipeline_tests import queue_caller
from pipeline_tests.queue_caller import URL, Caller, settled
from pipeline_tests.queue_fixtures import Clock, client_for, counts, new_queues, serving


def run(queues: Queues, scenario: Callable[[Caller], Awaitable[None]]) -> None:
    queue_caller.run(create_app(queues), scenario)


def test_a_waiting_receiver_gets_what_is_sent(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        (poll,) = await caller.waiting(1)
        sent = await caller.call("SendMessage", MessageBody="a")
        assert (await poll)["Messages"][0]["MessageId"] == sent["MessageId"]

    run(queues, scenario)


def test_as_many_receivers_wake_as_there_are_messages_first_come_first(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        polls = await caller.waiting(4)
        entries = [{"Id": name, "MessageBody": name} for name in "ab"]
        await caller.call("SendMessageBatch", Entries=entries)
        await settled()
        assert [poll.done() for poll in polls] == [True, True, False, False]
        await caller.call("SendMessage", MessageBody="c")
        await settled()
        assert [poll.done() for poll in polls] == [True, True, True, False]
        assert all(len(poll.result()["Messages"]) == 1 for poll in polls[:3])

    run(queues, scenario)


def test_a_released_message_wakes_a_receiver(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        await caller.call("SendMessage", MessageBody="a")
        (message,) = (await caller.call("ReceiveMessage"))["Messages"]
        (poll,) = await caller.waiting(1)
        await caller.call(
            "ChangeMessageVisibility",
            ReceiptHandle=message["ReceiptHandle"],
            VisibilityTimeout=0,
        )
        assert (await poll)["Messages"][0]["MessageId"] == message["MessageId"]

    run(queues, scenario)


def test_a_message_that_becomes_visible_wakes_a_receiver_by_itself(
    queues: Queues, clock: Clock
) -> None:
    async def scenario(caller: Caller) -> None:
        await caller.call("SendMessage", MessageBody="a", DelaySeconds=1)
        # The alarm is set in the loop's seconds: 1 ms before the message is due.
        clock.now += 0.999
        (poll,) = await caller.waiting(1)
        clock.now += 0.001
        assert len((await asyncio.wait_for(poll, 5))["Messages"]) == 1

    run(queues, scenario)


def test_a_waiting_receiver_of_a_full_queue_sleeps_until_there_is_room(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        for _ in range(51):
            queues.send("q", "x", attributes={})
        held = [m for _ in range(5) for m in queues.receive("q", most=10)]
        refused = await caller.call("ReceiveMessage", WaitTimeSeconds=0)
        assert refused["__type"] == "com.amazonaws.sqs#OverLimit"
        (poll,) = await caller.waiting(1)
        await caller.call("DeleteMessage", ReceiptHandle=held[0].receipt)
        assert len((await poll)["Messages"]) == 1

    run(queues, scenario)


def test_the_queues_own_wait_holds_where_the_call_names_none(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        assert await caller.call("ReceiveMessage") == {}
        queues.change_settings("q", {"ReceiveMessageWaitTimeSeconds": "20"})
        poll = caller.start("ReceiveMessage")
        await settled()
        assert not poll.done()
        await caller.call("SendMessage", MessageBody="a")
        assert len((await poll)["Messages"]) == 1

    run(queues, scenario)


def test_a_receiver_that_hangs_up_takes_nothing(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        (poll,) = await caller.waiting(1)
        caller.hang_up()
        assert await asyncio.wait_for(poll, 5) == {}
        await caller.call("SendMessage", MessageBody="a")
        assert counts(queues) == (1, 0, 0)

    run(queues, scenario)


def test_a_hang_up_at_the_moment_of_waking_passes_the_turn_on(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        patient = Caller(caller.app)
        (leaver,) = await caller.waiting(1)
        (stayer,) = await patient.waiting(1)
        caller.hang_up()
        await caller.call("SendMessage", MessageBody="a")
        assert await leaver == {}
        assert len((await asyncio.wait_for(stayer, 5))["Messages"]) == 1

    run(queues, scenario)


def test_deleting_a_queue_ends_its_long_polls(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        (poll,) = await caller.waiting(1)
        await caller.call("DeleteQueue")
        assert (await poll)["__type"] == "com.amazonaws.sqs#QueueDoesNotExist"

    run(queues, scenario)


class Announcing(QueueApp):
    """Says when the first call has arrived."""

    def __init__(self, queues: Queues) -> None:
        super().__init__(queues)
        self.arrived = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.arrived.set()
        await super().__call__(scope, receive, send)


def test_stopping_the_server_ends_its_long_polls(
    aws_session: boto3.Session,
) -> None:
    queues = new_queues()
    queues.create("q", {}, {})
    app, answers = Announcing(queues), list[object]()

    def poll(client: SQSClient) -> None:
        answers.append(client.receive_message(QueueUrl=URL, WaitTimeSeconds=20).get("Messages"))

    started = time.monotonic()
    with serving(QueueServer(app)) as url:
        client = client_for(url, aws_session)
        thread = threading.Thread(target=poll, args=[client])
        thread.start()
        assert app.arrived.wait(10)
    thread.join(10)
    client.close()
    assert answers == [None]
    assert time.monotonic() - started < 4
