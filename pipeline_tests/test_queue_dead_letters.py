"""The embedded queue's redrive policy: when a message goes to the dead-letter queue, and how."""

import pytest

from pipeline.local.queue.queues import Queues
from pipeline_tests.queue_fixtures import Clock, counts, refusal, seeded_queues, send

DAY = 86_400.0


def redriving(clock: Clock) -> Queues:
    queues = seeded_queues(clock)
    queues.create("dead", {}, {})
    arn = queues.get("dead").state.arn
    policy = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": "2"}}'
    queues.change_settings("q", {"RedrivePolicy": policy, "VisibilityTimeout": "0"})
    return queues


def test_a_message_received_too_often_goes_to_the_dead_letter_queue_as_it_is(clock: Clock) -> None:
    queues = redriving(clock)
    (sent,) = send(queues, "a")
    first = clock.now
    assert len(queues.receive("q", most=1)) == 1
    clock.now += 100
    assert len(queues.receive("q", most=1)) == 1
    assert queues.receive("q", most=1) == []
    assert counts(queues) == (0, 0, 0)
    (dead,) = queues.receive("dead", most=1)
    assert (dead.id, dead.sent_at, dead.receives) == (sent, first, 3)
    assert dead.source_arn == queues.get("q").state.arn
    assert queues.dead_letter_sources("dead") == ["q"]


def test_the_first_good_message_is_received_past_any_number_of_bad_ones(clock: Clock) -> None:
    queues = redriving(clock)
    send(queues, *"bad")
    for _ in range(2):
        queues.receive("q", most=10)
    (good,) = send(queues, "good")
    assert [message.id for message in queues.receive("q", most=1)] == [good]
    assert counts(queues, "dead") == (3, 0, 0)


def test_retention_in_the_dead_letter_queue_counts_from_the_first_sending(clock: Clock) -> None:
    queues = redriving(clock)
    send(queues, "a")
    clock.now += 3 * DAY
    for _ in range(3):
        queues.receive("q", most=1)
    assert counts(queues, "dead") == (1, 0, 0)
    clock.now += 1 * DAY
    assert counts(queues, "dead") == (0, 0, 0)


def test_a_dead_letter_queue_counts_its_own_receives_for_its_own_policy(clock: Clock) -> None:
    queues = redriving(clock)
    queues.create("last", {}, {})
    arn = queues.get("last").state.arn
    policy = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 1}}'
    queues.change_settings("dead", {"RedrivePolicy": policy, "VisibilityTimeout": "0"})
    send(queues, "a")
    for _ in range(3):
        queues.receive("q", most=1)
    assert [len(queues.receive("dead", most=1)) for _ in range(2)] == [1, 0]
    assert counts(queues, "last") == (1, 0, 0)


def test_other_settings_can_change_after_the_dead_letter_queue_is_gone(clock: Clock) -> None:
    queues = redriving(clock)
    queues.delete("dead")
    queues.change_settings("q", {"VisibilityTimeout": "5"})
    assert queues.get("q").state.settings.visibility_timeout == 5


def test_without_its_dead_letter_queue_a_message_keeps_being_delivered(clock: Clock) -> None:
    queues = redriving(clock)
    send(queues, "a")
    queues.delete("dead")
    assert [len(queues.receive("q", most=1)) for _ in range(5)] == [1] * 5


@pytest.mark.parametrize(
    ("allow", "code"),
    [
        ('{"redrivePermission": "allowAll"}', ""),
        ('{"redrivePermission": "denyAll"}', "InvalidParameterValueException"),
        ('{"redrivePermission": "byQueue", "sourceQueueArns": ["ARN"]}', ""),
        ('{"redrivePermission": "byQueue"}', "InvalidParameterValueException"),
        ("nonsense", "InvalidParameterValueException"),
    ],
)
def test_a_dead_letter_queue_may_refuse_to_be_one(queues: Queues, allow: str, code: str) -> None:
    allow = allow.replace("ARN", queues.get("q").state.arn)
    queues.create("dead", {"RedriveAllowPolicy": allow}, {})
    arn = queues.get("dead").state.arn
    policy = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 1}}'
    if code:
        assert refusal(lambda: queues.change_settings("q", {"RedrivePolicy": policy})) == code
        assert queues.dead_letter_sources("dead") == []
    else:
        queues.change_settings("q", {"RedrivePolicy": policy})
        assert queues.dead_letter_sources("dead") == ["q"]
