"""Message moves of the embedded queue: what they carry where, how fast, and how they end."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.local.queue import operations
from pipeline.local.queue.messages import Attribute
from pipeline.local.queue.moves import MoveStatus
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import create_app
from pipeline_tests import queue_caller
from pipeline_tests.queue_caller import Caller
from pipeline_tests.queue_fixtures import Clock, counts, refusal, seeded_queues

DAY = 86_400.0


def arn(queues: Queues, name: str) -> str:
    return queues.get(name).state.arn


def dead(queues: Queues, count: int, source: str = "q") -> None:
    """Have a queue's dead-letter queue, `dead`, take in messages of its own accord."""
    if "dead" not in queues.names():
        queues.create("dead", {}, {})
    policy = {"deadLetterTargetArn": arn(queues, "dead"), "maxReceiveCount": 1}
    queues.change_settings(source, {"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": "0"})
    for number in range(count):
        attributes = {"n": Attribute(data_type="String", string_value=str(number))}
        queues.send(source, f"{source} {number}", attributes=attributes, trace_header="t")
        queues.receive(source, most=1)
        assert queues.receive(source, most=1) == []


def start(queues: Queues, to: str = "", rate: int | None = None) -> str:
    destination = arn(queues, to) if to else ""
    return queues.moves.start(arn(queues, "dead"), destination, rate=rate, now=queues.clock())


def latest(queues: Queues) -> tuple[MoveStatus, int]:
    queues.get("dead")
    task = queues.moves.of(arn(queues, "dead"))[0]
    return task.status, task.moved


def test_a_moved_message_is_a_new_one_with_the_old_content(queues: Queues, clock: Clock) -> None:
    dead(queues, 1)
    (before,) = queues.receive("dead", most=1, visibility=0)
    clock.now += 3 * DAY
    start(queues)
    assert counts(queues) == (1, 0, 0)
    assert counts(queues, "dead") == (0, 0, 0)
    (after,) = queues.receive("q", most=1)
    assert (after.body, after.attributes) == (before.body, before.attributes)
    assert (after.body_md5, after.trace_header) == (before.body_md5, "t")
    assert after.id != before.id
    assert (after.sent_at, after.receives, after.source_arn) == (clock.now, 1, "")
    clock.now += 3 * DAY
    assert sum(counts(queues)) == 1, "retention began anew"


def test_each_message_goes_to_its_own_source_where_no_destination_is_named(
    queues: Queues, clock: Clock
) -> None:
    queues.create("other", {}, {})
    dead(queues, 2)
    dead(queues, 3, "other")
    start(queues, rate=500)
    clock.now += 1
    assert counts(queues)[0] == 2
    assert counts(queues, "other")[0] == 3
    assert latest(queues) == (MoveStatus.COMPLETED, 5)


def test_all_go_to_the_destination_that_is_named_and_wait_there_as_its_delay_says(
    queues: Queues, clock: Clock
) -> None:
    queues.create("else", {"DelaySeconds": "10"}, {})
    dead(queues, 2)
    start(queues, "else", 1)
    clock.now += 1
    assert counts(queues, "else") == (0, 2, 0)
    clock.now += 9
    assert counts(queues, "else") == (1, 1, 0), "each at its own moment, though nobody looked"


def test_a_rate_is_kept_by_the_queues_clock(queues: Queues, clock: Clock) -> None:
    dead(queues, 10)
    start(queues, rate=2)
    moved = []
    for _ in range(4):
        moved.append(latest(queues)[1])
        clock.now += 0.5
    assert moved == [1, 2, 3, 4]
    clock.now += 2.4
    assert latest(queues) == (MoveStatus.RUNNING, 9)
    clock.now += 0.1
    assert latest(queues) == (MoveStatus.COMPLETED, 10)
    queues.send("dead", "later", attributes={})
    clock.now += 100
    assert counts(queues, "dead") == (1, 0, 0)


def test_a_message_in_flight_stays_and_one_that_expires_first_is_not_moved(
    queues: Queues, clock: Clock
) -> None:
    dead(queues, 3)
    queues.receive("dead", most=1, visibility=1_000)
    queues.change_settings("dead", {"MessageRetentionPeriod": "60"})
    clock.now += 59
    start(queues, rate=1)
    clock.now += 100
    assert latest(queues) == (MoveStatus.COMPLETED, 1)
    assert counts(queues)[0] == 1


def test_a_cancelled_task_stops_at_its_next_step_and_moves_nothing_back(
    queues: Queues, clock: Clock
) -> None:
    dead(queues, 5)
    handle = start(queues, rate=1)
    clock.now += 1
    assert latest(queues) == (MoveStatus.RUNNING, 2)
    assert queues.moves.cancel(handle) == 2
    assert latest(queues) == (MoveStatus.CANCELLING, 2)
    clock.now += 10
    assert latest(queues) == (MoveStatus.CANCELLED, 2)
    assert counts(queues, "dead")[0] == 3
    assert refusal(lambda: queues.moves.cancel(handle)) == "ResourceNotFoundException"


def test_a_source_has_one_active_task_at_a_time(queues: Queues, clock: Clock) -> None:
    dead(queues, 2)
    handle = start(queues, rate=1)
    assert refusal(lambda: start(queues)) == "InvalidParameterValueException"
    queues.moves.cancel(handle)
    assert refusal(lambda: start(queues)) == "InvalidParameterValueException"
    clock.now += 1
    assert latest(queues)[0] is MoveStatus.CANCELLED
    start(queues)


def test_without_its_destination_a_task_fails_and_the_message_stays(
    queues: Queues, clock: Clock
) -> None:
    queues.create("else", {}, {})
    dead(queues, 3)
    start(queues, "else", 1)
    assert latest(queues) == (MoveStatus.RUNNING, 1)
    queues.delete("else")
    clock.now += 1
    assert latest(queues) == (MoveStatus.FAILED, 1)
    task = queues.moves.of(arn(queues, "dead"))[0]
    assert task.failure == "AWS.SimpleQueueService.NonExistentQueue"
    assert counts(queues, "dead")[0] == 2


def test_a_message_that_no_queue_gave_up_has_no_source_to_go_to(queues: Queues) -> None:
    dead(queues, 0)
    queues.send("dead", "straight here", attributes={})
    start(queues)
    assert latest(queues) == (MoveStatus.FAILED, 0)
    assert queues.moves.of(arn(queues, "dead"))[0].failure == "CouldNotDetermineMessageSource"
    assert counts(queues, "dead") == (1, 0, 0)


REFUSED: dict[str, tuple[Callable[[Queues], object], str]] = {
    "a source that does not exist": (
        lambda q: q.moves.start("arn:aws:sqs:us-east-1:000000000000:no", "", rate=None, now=0),
        "ResourceNotFoundException",
    ),
    "a source that is nobody's dead-letter queue": (
        lambda q: q.moves.start(arn(q, "q"), "", rate=None, now=0),
        "InvalidParameterValueException",
    ),
    "a destination that does not exist": (
        lambda q: q.moves.start(arn(q, "dead"), "nonsense", rate=None, now=0),
        "ResourceNotFoundException",
    ),
    "the source as destination": (lambda q: start(q, "dead"), "InvalidParameterValueException"),
    "a rate of 0": (lambda q: start(q, rate=0), "InvalidParameterValueException"),
    "a rate of 501": (lambda q: start(q, rate=501), "InvalidParameterValueException"),
    "what is no handle": (lambda q: q.moves.cancel("no"), "InvalidParameterValueException"),
    "a list of no queue": (lambda q: q.moves.of("no"), "ResourceNotFoundException"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_moved_is_refused(queues: Queues, what: str) -> None:
    dead(queues, 1)
    act, code = REFUSED[what]
    assert refusal(lambda: act(queues)) == code


def test_a_handle_of_a_deleted_queue_is_refused(queues: Queues, clock: Clock) -> None:
    dead(queues, 2)
    handle = start(queues, rate=1)
    queues.delete("dead")
    assert refusal(lambda: queues.moves.cancel(handle)) == "ResourceNotFoundException"
    clock.now += 61
    queues.create("dead", {}, {})
    assert queues.moves.of(arn(queues, "dead")) == []


def test_a_snapshot_keeps_a_move_under_way(queues: Queues, clock: Clock) -> None:
    dead(queues, 5)
    handle = start(queues, rate=1)
    kept = queues.to_snapshot()
    clock.now += 2
    after = Queues.from_snapshot(kept, clock=clock, rng=random.SystemRandom())
    assert latest(after) == (MoveStatus.RUNNING, 3)
    assert after.moves.cancel(handle) == 3


def listed(queues: Queues, **request: object) -> Any:  # noqa: ANN401 - JSON
    body = json.dumps({"SourceArn": arn(queues, "dead"), **request}).encode()
    asked = operations.parse("ListMessageMoveTasks", body)
    return operations.perform(queues, "ListMessageMoveTasks", asked, "localhost")["Results"]


def test_a_list_names_what_was_named_and_a_handle_only_while_it_is_of_use(clock: Clock) -> None:
    queues = seeded_queues(clock)
    dead(queues, 3)
    handle = start(queues, "q", 1)
    running = {
        "TaskHandle": handle,
        "Status": "RUNNING",
        "SourceArn": arn(queues, "dead"),
        "DestinationArn": arn(queues, "q"),
        "MaxNumberOfMessagesPerSecond": 1,
        "ApproximateNumberOfMessagesMoved": 1,
        "ApproximateNumberOfMessagesToMove": 3,
        "StartedTimestamp": int(clock.now * 1_000),
    }
    assert listed(queues) == [running]
    clock.now += 5
    over = running | {"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": 3}
    del over["TaskHandle"]
    assert listed(queues) == [over]
    for _ in range(12):
        clock.now += 1
        start(queues)
    assert len(listed(queues)) == 1
    assert len(listed(queues, MaxResults=10)) == 10
    assert "DestinationArn" not in listed(queues)[0]
    assert refusal(lambda: listed(queues, MaxResults=11)) == "InvalidParameterValueException"


def test_a_receiver_at_the_destination_is_woken_by_a_move(queues: Queues) -> None:
    dead(queues, 1)

    async def scenario(caller: Caller) -> None:
        (poll,) = await caller.waiting(1)
        await caller.post("AmazonSQS.StartMessageMoveTask", {"SourceArn": arn(queues, "dead")})
        assert len((await poll)["Messages"]) == 1

    queue_caller.run(create_app(queues), scenario)
