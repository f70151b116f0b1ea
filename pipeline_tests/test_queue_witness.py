"""The witness of deletes: it sees each that would remove a message, before it is done."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import boto3
import psycopg
import pytest

from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.faults import Fail, Rule
from pipeline.local.queue.messages import Message
from pipeline.local.queue.misbehaviour import Misbehaviour
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import QueueServer, create_app
from pipeline.local.queue.witness import AskingWitness, Violation
from pipeline_tests import queue_caller
from pipeline_tests.queue_caller import Caller, settled
from pipeline_tests.queue_fixtures import Clock, client_for, counts, new_queues, send, serving

Rules = list[Rule]


def play(
    queues: Queues,
    witness: AskingWitness,
    scenario: Callable[[Caller], Awaitable[None]],
    *rules: Rule,
) -> None:
    queue_caller.run(create_app(queues, Misbehaviour(rules), witness), scenario)


async def received(caller: Caller) -> list[dict[str, Any]]:
    answer = await caller.call("ReceiveMessage", MaxNumberOfMessages=10)
    messages: list[dict[str, Any]] = answer["Messages"]
    return messages


def entries(messages: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [
        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
        for number, message in enumerate(messages)
    ]


def test_it_sees_each_message_before_it_is_gone_and_keeps_what_was_too_early(
    queues: Queues,
) -> None:
    send(queues, "durable", "not yet", "durable")
    seen: list[str] = []

    def is_durable(queue: str, message: Message) -> bool:
        assert queue == "q"
        assert queues.get("q").find(message.id) is message, "not deleted yet"
        seen.append(message.body)
        return message.body == "durable"

    witness = AskingWitness(is_durable)

    async def scenario(caller: Caller) -> None:
        first, *others = await received(caller)
        await caller.call("DeleteMessage", ReceiptHandle=first["ReceiptHandle"])
        await caller.call("DeleteMessageBatch", Entries=entries(others))
        assert counts(queues) == (0, 0, 0), "a delete too early is done all the same"
        findings = (await caller.steer("Counts"))["witness"]
        early = {"queue": "q", "message_id": others[0]["MessageId"]}
        assert findings == {"seen": 3, "violations": [early]}

    play(queues, witness, scenario)
    assert seen == ["durable", "not yet", "durable"]
    assert [type(violation) for violation in witness.violations] == [Violation]


def test_it_is_not_asked_of_what_no_delete_would_remove(queues: Queues, clock: Clock) -> None:
    send(queues, "a")
    witness = AskingWitness(lambda *_: False)

    async def scenario(caller: Caller) -> None:
        (old,) = await received(caller)
        clock.now += 31
        await received(caller)
        await caller.call("DeleteMessage", ReceiptHandle=old["ReceiptHandle"])
        await caller.call("DeleteMessageBatch", Entries=entries([old, {"ReceiptHandle": "no"}]))
        await caller.call("PurgeQueue")

    play(queues, witness, scenario)
    assert witness.seen == 0


def test_it_is_not_asked_of_a_delete_that_is_refused(queues: Queues) -> None:
    send(queues, "a")
    witness = AskingWitness(lambda *_: False)

    async def scenario(caller: Caller) -> None:
        (message,) = await received(caller)
        await caller.call("DeleteMessage", ReceiptHandle=message["ReceiptHandle"])
        assert counts(queues) == (0, 0, 1)

    play(queues, witness, scenario, Rule("DeleteMessage", Fail("InternalFailure")))
    assert witness.seen == 0


def test_where_it_cannot_tell_the_delete_is_refused(queues: Queues) -> None:
    send(queues, "a")

    def is_durable(_queue: str, _message: Message) -> bool:
        raise SqsError("ServiceUnavailable", "The database is away.", status=503)

    witness = AskingWitness(is_durable)

    async def scenario(caller: Caller) -> None:
        (message,) = await received(caller)
        answer = await caller.call("DeleteMessage", ReceiptHandle=message["ReceiptHandle"])
        assert answer["__type"] == "com.amazonaws.sqs#ServiceUnavailable"
        assert counts(queues) == (0, 0, 1)

    play(queues, witness, scenario)
    assert (witness.seen, witness.violations) == (0, [])


def test_the_queue_answers_others_while_it_is_asked(queues: Queues) -> None:
    send(queues, "a")
    asked, told = threading.Event(), threading.Event()

    def is_durable(_queue: str, _message: Message) -> bool:
        asked.set()
        return told.wait(10)

    async def scenario(caller: Caller) -> None:
        (message,) = await received(caller)
        deleting = caller.start("DeleteMessage", ReceiptHandle=message["ReceiptHandle"])
        await asyncio.to_thread(asked.wait, 10)
        assert "MessageId" in await caller.call("SendMessage", MessageBody="b")
        await settled()
        assert not deleting.done()
        told.set()
        assert await asyncio.wait_for(deleting, 5) == {}

    play(queues, AskingWitness(is_durable), scenario)


@pytest.fixture
def table(warehouse_url: str) -> Iterator[psycopg.Connection]:
    """A connection on which a test commits, in a database with a table of ids."""
    with psycopg.connect(warehouse_url) as connection:
        connection.execute("CREATE TABLE public.durable (id text PRIMARY KEY)")
        connection.commit()
        yield connection


def test_over_a_connection_of_its_own_it_tells_committed_from_not(
    table: psycopg.Connection, warehouse_url: str, aws_session: boto3.Session
) -> None:
    with psycopg.connect(warehouse_url, autocommit=True) as own:

        def is_durable(_queue: str, message: Message) -> bool:
            found = own.execute("SELECT FROM public.durable WHERE id = %s", [message.id])
            return found.rowcount == 1

        witness = AskingWitness(is_durable)
        queues = new_queues()
        queues.create("q", {}, {})
        send(queues, "committed", "not committed")
        with (
            serving(QueueServer(create_app(queues, witness=witness))) as url,
            contextlib.closing(client_for(url, aws_session)) as sqs,
        ):
            for commit in (table.commit, table.rollback):
                (message,) = sqs.receive_message(QueueUrl=queue_caller.URL)["Messages"]
                insert = "INSERT INTO public.durable VALUES (%s)"
                table.execute(insert, [message["MessageId"]])
                commit()
                sqs.delete_message(
                    QueueUrl=queue_caller.URL, ReceiptHandle=message["ReceiptHandle"]
                )
        assert witness.seen == 2
        assert witness.violations == [Violation("q", message["MessageId"])]
