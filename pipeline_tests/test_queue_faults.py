"""What each fault of the embedded queue does to a call, and that it is counted when it does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from pipeline.local.queue.clock import ManualClock
from pipeline.local.queue.faults import (
    AnyEffect,
    Delay,
    Drop,
    Duplicate,
    Empty,
    Fail,
    Late,
    LoseAnswer,
    Part,
    Redeliver,
    Reorder,
    Rule,
    Short,
    Undelete,
)
from pipeline.local.queue.misbehaviour import Misbehaviour
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import create_app
from pipeline.local.queue.wire import CUT
from pipeline_tests import queue_caller
from pipeline_tests.queue_caller import Caller, settled
from pipeline_tests.queue_fixtures import Clock, counts, seeded_queues, send

Scenario = Callable[[Caller], Awaitable[None]]
Rules = list[tuple[str, AnyEffect]]


def play(queues: Queues, scenario: Scenario, *rules: tuple[str, AnyEffect]) -> dict[str, int]:
    """Play a scenario under rules that always apply; what took place."""
    misbehaviour = Misbehaviour([Rule(*rule) for rule in rules], 1)
    queue_caller.run(create_app(queues, misbehaviour), scenario)
    return misbehaviour.counts


async def received(caller: Caller, most: int = 10, **options: object) -> list[dict[str, Any]]:
    answer = await caller.call("ReceiveMessage", MaxNumberOfMessages=most, **options)
    messages: list[dict[str, Any]] = answer.get("Messages", [])
    return messages


def test_a_duplicate_comes_in_the_same_answer_with_a_receipt_of_its_own(queues: Queues) -> None:
    send(queues, *"abc")

    async def scenario(caller: Caller) -> None:
        messages = await received(caller)
        assert sorted({m["Body"] for m in messages}) == ["a", "b", "c"]
        assert len(messages) == len({m["ReceiptHandle"] for m in messages}) == 4
        for message in messages:
            await caller.call("DeleteMessage", ReceiptHandle=message["ReceiptHandle"])
        assert counts(queues) == (0, 0, 0)

    assert play(queues, scenario, ("ReceiveMessage", Duplicate())) == {"duplicate": 1}


def test_no_answer_is_longer_than_was_asked_for(queues: Queues) -> None:
    send(queues, *"abcdef")

    async def scenario(caller: Caller) -> None:
        assert len(await received(caller, 1)) == 1
        assert len(await received(caller, 3)) == 3

    assert play(queues, scenario, ("ReceiveMessage", Duplicate())) == {"duplicate": 1}


def test_a_message_comes_again_before_its_timeout_and_the_old_receipt_deletes_nothing(
    queues: Queues, clock: Clock
) -> None:
    send(queues, "a")

    async def scenario(caller: Caller) -> None:
        (old,) = await received(caller)
        assert await received(caller) == []
        clock.now += 2
        (new,) = await received(caller)
        assert new["MessageId"] == old["MessageId"]
        assert await caller.call("DeleteMessage", ReceiptHandle=old["ReceiptHandle"]) == {}
        assert counts(queues) == (0, 0, 1)

    assert play(queues, scenario, ("ReceiveMessage", Redeliver(seconds=2))) == {"redeliver": 2}


def test_what_is_given_back_at_once_is_not_in_line_twice(queues: Queues) -> None:
    send(queues, "a")

    async def scenario(caller: Caller) -> None:
        for _ in range(3):
            assert len(await received(caller, VisibilityTimeout=30)) == 1
            assert len(await received(caller, VisibilityTimeout=0)) == 1
        assert counts(queues) == (1, 0, 0)

    assert play(queues, scenario, ("ReceiveMessage", Redeliver())) == {"redeliver": 3}


@pytest.mark.parametrize("operation", ["DeleteMessage", "DeleteMessageBatch"])
def test_a_deleted_message_comes_again_and_a_second_delete_is_honest(
    queues: Queues, operation: str
) -> None:
    send(queues, "a")

    async def delete(caller: Caller, message: dict[str, Any]) -> None:
        receipt = {"ReceiptHandle": message["ReceiptHandle"]}
        entries = {"Entries": [{"Id": "1", **receipt}]}
        content: dict[str, Any] = entries if operation.endswith("Batch") else receipt
        assert "Failed" not in await caller.call(operation, **content)

    async def scenario(caller: Caller) -> None:
        (first,) = await received(caller)
        await delete(caller, first)
        (again,) = await received(caller)
        assert again["MessageId"] == first["MessageId"]
        await delete(caller, again)
        assert counts(queues) == (0, 0, 0)

    misbehaviour = Misbehaviour([Rule(operation, Undelete(), calls=(1, 1))], 1)
    queue_caller.run(create_app(queues, misbehaviour), scenario)
    assert misbehaviour.counts == {"undelete": 1}


def test_a_message_that_comes_back_wakes_who_waits(queues: Queues) -> None:
    send(queues, "a")

    async def scenario(caller: Caller) -> None:
        (message,) = await received(caller)
        (poll,) = await caller.waiting(1)
        await caller.call("DeleteMessage", ReceiptHandle=message["ReceiptHandle"])
        assert len((await poll)["Messages"]) == 1

    assert play(queues, scenario, ("DeleteMessage", Undelete())) == {"undelete": 1}


def test_messages_come_in_another_order_and_each_once(queues: Queues) -> None:
    sent = [str(number) for number in range(30)]
    send(queues, *sent)

    async def scenario(caller: Caller) -> None:
        came = [m["Body"] for _ in range(3) for m in await received(caller)]
        assert came[:10] not in (sent[:10], sent[:-11:-1]), "neither as sent nor backwards"
        assert sorted(came) == sorted(sent)

    assert play(queues, scenario, ("ReceiveMessage", Reorder())) == {"reorder": 3}


def test_fewer_come_than_wait(queues: Queues) -> None:
    send(queues, *"abc")

    async def scenario(caller: Caller) -> None:
        assert [len(await received(caller)) for _ in range(3)] == [2, 1, 0]

    assert play(queues, scenario, ("ReceiveMessage", Short(most=2))) == {"short": 1}


def test_none_come_though_some_wait_and_a_long_poll_does_not_help(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        assert await received(caller, WaitTimeSeconds=20) == []
        send(queues, "a")
        assert await received(caller, WaitTimeSeconds=20) == []
        assert counts(queues) == (1, 0, 0)

    assert play(queues, scenario, ("ReceiveMessage", Empty())) == {"empty": 1}


def test_what_is_sent_is_visible_later(clock: Clock) -> None:
    queues = seeded_queues(clock, DelaySeconds="3")

    async def scenario(caller: Caller) -> None:
        await caller.call("SendMessage", MessageBody="a")
        entries = [{"Id": "1", "MessageBody": "b", "DelaySeconds": 0}]
        await caller.call("SendMessageBatch", Entries=entries)
        clock.now += 7
        assert counts(queues) == (1, 1, 0)
        clock.now += 3
        assert counts(queues) == (2, 0, 0)
        refused = await caller.call("SendMessage", MessageBody="a", DelaySeconds=901)
        assert refused["__type"].endswith("InvalidParameterValueException")

    rules = [("SendMessage", Late(seconds=7)), ("SendMessageBatch", Late(seconds=7))]
    assert play(queues, scenario, *rules) == {"late": 2}


def test_an_answer_is_late_by_the_queues_clock_and_the_work_is_not() -> None:
    manual = ManualClock(0)
    queues = seeded_queues(manual)

    async def scenario(caller: Caller) -> None:
        call = caller.start("SendMessage", MessageBody="a")
        await settled()
        assert counts(queues) == (1, 0, 0)
        manual.advance(59)
        await settled()
        assert not call.done()
        manual.advance(1)
        assert "MessageId" in await asyncio.wait_for(call, 5)

    assert play(queues, scenario, ("SendMessage", Delay(seconds=60))) == {"delay": 1}


def test_a_refused_call_does_nothing(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        refused = await caller.call("SendMessage", MessageBody="a")
        assert refused["__type"] == "com.amazonaws.sqs#KmsThrottled"
        assert counts(queues) == (0, 0, 0)

    rules: Rules = [("SendMessage", Fail("KmsThrottled")), ("SendMessage", Delay(seconds=99))]
    assert play(queues, scenario, *rules) == {"fail:KmsThrottled": 1}


def test_a_connection_is_cut_before_the_work_or_after_it(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        assert await caller.call("SendMessage", MessageBody="a") == {CUT: True}
        assert counts(queues) == (0, 0, 0)
        entries = [{"Id": "1", "MessageBody": "b"}]
        assert await caller.call("SendMessageBatch", Entries=entries) == {CUT: True}
        assert counts(queues) == (1, 0, 0)

    rules: Rules = [("SendMessage", Drop()), ("SendMessageBatch", LoseAnswer())]
    assert play(queues, scenario, *rules) == {"drop": 1, "lose_answer": 1}


ENTRIES = [{"Id": str(number), "MessageBody": "x"} for number in range(4)]


@pytest.mark.parametrize("part", [Part(), Part(done=True), Part(sender_fault=True)])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_parts_of_a_batch_fail_in_fact_or_only_in_the_answer(
    queues: Queues, share: float, part: Part
) -> None:
    part = msgspec.structs.replace(part, share=share)

    async def scenario(caller: Caller) -> None:
        answer = await caller.call("SendMessageBatch", Entries=ENTRIES)
        failed, successful = answer["Failed"], answer["Successful"]
        assert {entry["Id"] for entry in failed + successful} == set("0123")
        least, most = {0.0: (1, 1), 0.5: (1, 3), 1.0: (4, 4)}[share]
        assert least <= len(failed) <= most
        assert {entry["SenderFault"] for entry in failed} == {part.sender_fault}
        assert counts(queues)[0] == (4 if part.done else len(successful))

    assert play(queues, scenario, ("SendMessageBatch", part)) == {"part:InternalError": 1}


def test_a_batch_that_is_refused_as_a_whole_stays_so(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        for entries in ([], ENTRIES * 2):
            answer = await caller.call("SendMessageBatch", Entries=entries)
            assert answer["__type"].startswith("com.amazonaws.sqs#")
        assert counts(queues) == (0, 0, 0)

    assert play(queues, scenario, ("SendMessageBatch", Part(share=1))) == {}
