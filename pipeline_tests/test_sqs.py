"""One feed's queue over boto3: what is asked of SQS, and what its answers become."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.awsrequest import AWSRequest
from mypy_boto3_sqs import SQSClient

from pipeline.errors import QueueError, QueueMissing
from pipeline.feeds.user_logins import FEED
from pipeline.messages import Event, Message, Refusals
from pipeline.resources.sqs import Depth, SqsQueue
from pipeline_tests.outside_world import answered
from pipeline_tests.samples import CANARY, eventually, message, small

_EVENTS = [Event(f"event-{place}", f'{{"place": {place}}}') for place in range(3)]


@pytest.fixture
def queue(sqs: SQSClient) -> SqsQueue:
    """The queue of `user_logins`, just made."""
    return SqsQueue(sqs, small(visibility_seconds=30), embedded=True)


def _receive(queue: SqsQueue, count: int) -> list[Message]:
    received: list[Message] = []

    def enough() -> bool:
        received.extend(queue.receive(10))
        return len(received) >= count

    eventually(enough)
    return received


def _asked(request: AWSRequest) -> dict[str, object]:
    asked: dict[str, object] = json.loads(request.body or "{}")
    return asked


class TestMaking:
    """Of queues: by us for the embedded service, by whoever deploys for any other."""

    def test_an_embedded_queue_is_made_with_its_dead_letter_queue(
        self, sqs: SQSClient, queue: SqsQueue
    ) -> None:
        """Faults 16, 17 and 19: long retention, and room for an outage."""
        attributes = [
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            for url in (
                queue.url,
                sqs.get_queue_url(QueueName="login-queue-dead-letter")["QueueUrl"],
            )
        ]

        policy = json.loads(attributes[0]["RedrivePolicy"])
        assert policy["deadLetterTargetArn"] == attributes[1]["QueueArn"]
        assert int(policy["maxReceiveCount"]) == 20
        assert [each["MessageRetentionPeriod"] for each in attributes] == ["1209600"] * 2

    def test_an_embedded_queue_is_found_the_next_time(
        self, sqs: SQSClient, queue: SqsQueue
    ) -> None:
        queue.send(_EVENTS)

        assert SqsQueue(sqs, FEED, embedded=True).depth().visible == 3

    def test_no_other_queue_is_made(self, sqs: SQSClient) -> None:
        """Fault 20."""
        with pytest.raises(QueueMissing, match="'login-queue' does not exist") as caught:
            SqsQueue(sqs, FEED)

        assert caught.value.feed == "user_logins"
        assert "QueueUrls" not in sqs.list_queues()

    def test_a_queue_that_was_deleted_is_missing(self, sqs: SQSClient, queue: SqsQueue) -> None:
        """Fault 20."""
        sqs.delete_queue(QueueUrl=queue.url)

        for call in (queue.depth, lambda: queue.receive(1), lambda: queue.send(_EVENTS)):
            with pytest.raises(QueueMissing):
                call()


class TestMessages:
    """On their way through the queue."""

    def test_what_was_sent_is_received(self, queue: SqsQueue) -> None:
        sent = queue.send(_EVENTS)
        assert not sent.refusals.retry
        assert not sent.refusals.final

        received = _receive(queue, 3)

        by_event = {each.event_id: each.message_id for each in received}
        assert sent.message_ids == tuple(by_event[each.event_id] for each in _EVENTS)
        assert {(each.event_id, each.body) for each in received} == {
            (event.event_id, event.body) for event in _EVENTS
        }
        assert len({each.message_id for each in received}) == 3
        assert {each.receive_count for each in received} == {1}
        for each in received:
            assert timedelta(0) <= datetime.now(UTC) - each.received_at < timedelta(seconds=30)
            assert abs(each.received_at - each.sent_at) < timedelta(seconds=30)
            assert each.sent_at.tzinfo is UTC

    def test_a_message_of_a_producer_that_names_no_event_has_no_event_id(
        self, sqs: SQSClient, queue: SqsQueue
    ) -> None:
        sqs.send_message(QueueUrl=queue.url, MessageBody="{}")

        assert [each.event_id for each in _receive(queue, 1)] == [None]

    def test_a_message_without_a_body_is_one_with_an_empty_body(
        self, sqs: SQSClient, queue: SqsQueue
    ) -> None:
        """Fault 26: attributes alone; the contract refuses it."""
        system = {"SentTimestamp": "1700000000000", "ApproximateReceiveCount": "1"}
        bare = {"MessageId": "m", "ReceiptHandle": "r", "Attributes": system}
        with answered(sqs, "ReceiveMessage", {"Messages": [bare]}):
            (received,) = queue.receive(1)

        assert received.body == ""

    def test_a_body_that_was_damaged_on_its_way_is_left_to_come_again(
        self, sqs: SQSClient, queue: SqsQueue, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Fault 26: its digest is not the one that SQS gives."""
        system = {"SentTimestamp": "1700000000000", "ApproximateReceiveCount": "1"}
        shown = {
            text: {
                "MessageId": text,
                "ReceiptHandle": text,
                "Body": text,
                "MD5OfBody": hashlib.md5(sent.encode(), usedforsecurity=False).hexdigest(),
                "Attributes": system,
            }
            for text, sent in {"\u00e4": "\u00e4", CANARY: "another"}.items()
        }
        with answered(sqs, "ReceiveMessage", {"Messages": [*shown.values()]}):
            received = queue.receive(10)

        assert [each.body for each in received] == ["\u00e4"]
        assert "1 messages arrived damaged" in caplog.text
        assert CANARY not in caplog.text

    def test_no_more_is_received_than_asked_for(self, queue: SqsQueue) -> None:
        queue.send(_EVENTS)

        assert len(queue.receive(2)) == 2

    def test_an_empty_queue_answers_after_a_short_poll_of_the_feeds_settings(
        self, sqs: SQSClient, queue: SqsQueue
    ) -> None:
        with answered(sqs, "ReceiveMessage") as requests:
            assert queue.receive(7) == []

        asked = _asked(requests[0])
        assert asked["VisibilityTimeout"] == 30
        assert asked["MaxNumberOfMessages"] == 7
        assert asked["WaitTimeSeconds"] == 1

    def test_attributes_of_others_are_not_even_asked_for(
        self, sqs: SQSClient, queue: SqsQueue
    ) -> None:
        """Fault 36: what a producer has written there never gets here."""
        with answered(sqs, "ReceiveMessage") as requests:
            queue.receive(1)

        assert _asked(requests[0])["MessageAttributeNames"] == ["event_id", "origin"]

    def test_the_depth_tells_waiting_from_held(self, queue: SqsQueue) -> None:
        assert queue.depth() == Depth(0, 0, 0)
        queue.send(_EVENTS)
        assert queue.depth() == Depth(visible=3, in_flight=0, delayed=0)
        queue.receive(2)
        assert queue.depth() == Depth(visible=1, in_flight=2, delayed=0)
        assert queue.depth().total == 3

    def test_a_deleted_message_is_gone(self, queue: SqsQueue) -> None:
        queue.send(_EVENTS)

        assert queue.delete(_receive(queue, 3)) == Refusals()
        assert queue.depth().total == 0

    def test_a_shown_message_is_delivered_again(self, queue: SqsQueue) -> None:
        queue.send(_EVENTS)
        first = _receive(queue, 3)

        assert queue.hide(first, 0) == Refusals()

        again = _receive(queue, 3)
        assert {each.message_id for each in again} == {each.message_id for each in first}
        assert {each.receive_count for each in again} == {2}

    def test_a_hidden_message_is_not(self, queue: SqsQueue) -> None:
        queue.send(_EVENTS)
        queue.hide(_receive(queue, 3), 600)

        assert queue.receive(10) == []
        assert queue.depth() == Depth(visible=0, in_flight=3, delayed=0)


class TestDeadLetters:
    """Of the queue's own dead-letter queue."""

    def test_they_are_counted(self, sqs: SQSClient, queue: SqsQueue) -> None:
        url = sqs.get_queue_url(QueueName="login-queue-dead-letter")["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="dead")

        assert queue.dead_letter_depth() == Depth(visible=1, in_flight=0, delayed=0)
        assert queue.depth().total == 0

    def test_a_queue_may_have_none(self, sqs: SQSClient) -> None:
        sqs.create_queue(QueueName="login-queue")

        assert SqsQueue(sqs, FEED).dead_letter_depth() is None


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("DeleteMessageBatch", lambda queue, some: queue.delete(some)),
        ("ChangeMessageVisibilityBatch", lambda queue, some: queue.hide(some, 60)),
    ],
)
def test_partial_failures_are_told_apart(
    sqs: SQSClient,
    queue: SqsQueue,
    operation: str,
    call: Callable[[SqsQueue, Sequence[Message]], Refusals[Message]],
) -> None:
    """Fault 8."""
    some = [message("{}") for _ in range(3)]
    failed = [
        {"Id": "0", "Code": "InternalError", "SenderFault": False, "Message": CANARY},
        {"Id": "2", "Code": "ReceiptHandleIsInvalid", "SenderFault": True},
    ]
    with answered(sqs, operation, {"Successful": [{"Id": "1"}], "Failed": failed}) as requests:
        refusals = call(queue, some)

    assert refusals == Refusals(retry=(some[0],), final=(some[2],))
    entries = _asked(requests[0])["Entries"]
    assert isinstance(entries, list)
    assert [each["ReceiptHandle"] for each in entries] == [each.receipt for each in some]


def test_what_an_answer_does_not_name_was_not_done(sqs: SQSClient, queue: SqsQueue) -> None:
    """Fault 8: a log-in page in between answers 200 to everything."""
    some = [message("{}"), message("{}")]
    with answered(sqs, "DeleteMessageBatch", {}):
        assert queue.delete(some) == Refusals(retry=tuple(some))
    with answered(sqs, "ChangeMessageVisibilityBatch", {}):
        assert queue.hide(some, 60) == Refusals(retry=tuple(some))
    with answered(sqs, "GetQueueAttributes", {}), pytest.raises(QueueError, match="is not SQS"):
        queue.depth()


@pytest.mark.parametrize(("given", "told"), [(b"event-7", "event-7"), (b"\xff\x00", "/wA=")])
def test_an_event_id_that_was_sent_as_bytes_is_one(
    sqs: SQSClient, queue: SqsQueue, given: bytes, told: str
) -> None:
    """Fault 18: else the event would go by SQS's message id, which a producer's retry changes."""
    sqs.send_message(
        QueueUrl=queue.url,
        MessageBody="{}",
        MessageAttributes={"event_id": {"DataType": "Binary", "BinaryValue": given}},
    )
    (received,) = queue.receive(1)
    assert received.event_id == told


def test_partial_failures_of_sending_are_told_apart(sqs: SQSClient, queue: SqsQueue) -> None:
    """Fault 75."""
    failed = [
        {"Id": "0", "Code": "InvalidMessageContents", "SenderFault": True},
        {"Id": "2", "Code": "InternalError", "SenderFault": False},
    ]
    done = {"Id": "1", "MessageId": "m", "MD5OfMessageBody": "0"}
    with answered(sqs, "SendMessageBatch", {"Successful": [done], "Failed": failed}):
        sent = queue.send(_EVENTS)

    assert sent.refusals == Refusals(retry=(_EVENTS[2],), final=(_EVENTS[0],))
    assert [each is not None for each in sent.message_ids] == [False, True, False]


def test_a_receipt_that_is_none_is_refused_for_good(queue: SqsQueue) -> None:
    """Fault 6."""
    made_up = replace(message("{}"), receipt="made up")

    assert queue.delete([made_up]) == Refusals(final=(made_up,))
    assert queue.hide([made_up], 60) == Refusals(final=(made_up,))
