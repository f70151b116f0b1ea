"""One feed's queue, over boto3 and, for a run's hot calls, the lean transport."""

import base64
import functools
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pipeline.contract import Feed
from pipeline.errors import QueueError
from pipeline.messages import Ask, Calls, Event, Message, Outcome, Refusals, Sent
from pipeline.resources.sqs_client import translated
from pipeline.threaded_calls import ThreadedCalls
from pipeline.trace_context import NAME as TRACE
from pipeline.trace_context import read
from pipeline.transport.client import DELETE, RECEIVE, LeanClient, Operation
from pipeline.transport.many import Kind, Many

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import MessageSystemAttributeNameType
    from mypy_boto3_sqs.type_defs import (
        ChangeMessageVisibilityBatchResultTypeDef,
        DeleteMessageBatchRequestTypeDef,
        DeleteMessageBatchResultTypeDef,
        MessageAttributeValueOutputTypeDef,
        MessageTypeDef,
        ReceiveMessageRequestTypeDef,
        ReceiveMessageResultTypeDef,
        SendMessageBatchResultTypeDef,
    )

    _Answer = (
        ChangeMessageVisibilityBatchResultTypeDef
        | DeleteMessageBatchResultTypeDef
        | SendMessageBatchResultTypeDef
    )

EVENT_ID = "event_id"
"""The message attribute in which a producer names the event."""

ORIGIN = "origin"
"""The message attribute that tells who a message was before it was redriven."""

_WAIT_SECONDS = 1  # a long poll asks every host of SQS; a longer one only delays the end of a run
_RETENTION_SECONDS = 14 * 86_400  # the most that SQS allows
_MAX_RECEIVE_COUNT = 20  # room for an outage of the warehouse in the middle of runs

_log = logging.getLogger(__name__)

_Tried = TypeVar("_Tried", Message, Event)


@dataclass(frozen=True, slots=True)
class Depth:
    """How full a queue is, as SQS estimates it.

    Attributes:
        visible: Messages that wait.
        in_flight: Messages that somebody has received and not yet acknowledged.
        delayed: Messages that are not yet to be seen.
    """

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All messages of the queue."""
        return self.visible + self.in_flight + self.delayed


class SqsQueue:
    """One feed's queue; safe for use by several threads.

    Args:
        client: Makes every call that `hot` does not.
        feed: Whose queue.
        hot: Receives, deletes and hides; by default the client itself.
        embedded: Whether to make the queue where it is not there yet.
        traced: Whether to ask for the contexts of traces.

    Attributes:
        asked: What SQS is to tell of each message.

    Raises:
        QueueError: From every method, where SQS does not do its work.
    """

    asked: "ClassVar[Sequence[MessageSystemAttributeNameType]]" = (
        "SentTimestamp",
        "ApproximateReceiveCount",
    )

    def __init__(
        self,
        client: "SQSClient",
        feed: Feed,
        *,
        hot: "SQSClient | LeanClient | None" = None,
        embedded: bool = False,
        traced: bool = False,
    ) -> None:
        self._client = client
        self._hot = hot or client
        self._traced = traced
        self._carried = [EVENT_ID, ORIGIN, *([TRACE] if traced else [])]
        self._feed = feed
        with translated(feed=feed):
            self.url = _make(client, feed.queue) if embedded else _url(client, feed.queue)

    @property
    def feed(self) -> Feed:
        """Whose queue it is."""
        return self._feed

    def depth(self) -> Depth:
        """How full the queue is; one call."""
        with translated(feed=self._feed):
            return _depth(self._client, self.url)

    def dead_letter_depth(self) -> Depth | None:
        """How full the dead-letter queue is; None where the queue has none."""
        with translated(feed=self._feed):
            answer = self._client.get_queue_attributes(
                QueueUrl=self.url, AttributeNames=["RedrivePolicy"]
            )
            policy = answer.get("Attributes", {}).get("RedrivePolicy")
            if not policy:
                return None
            name = json.loads(policy)["deadLetterTargetArn"].rpartition(":")[2]
            return _depth(self._client, _url(self._client, name))

    def receive(self, count: int) -> list[Message]:
        """Up to `count` (at most 10) messages, hidden for the feed's visibility timeout.

        One whose body is not what SQS has (MD5) is left out: it comes again when that is over.
        """
        with translated(feed=self._feed):
            answer = self._hot.receive_message(**self._to_receive(count))
        return self._received(count, answer)

    def receives(self, at_once: int) -> Calls[int, list[Message]]:
        """Calls of `receive`, at most so many under way."""
        return self._calls(self.receive, RECEIVE, self._to_receive, self._received, at_once)

    def deletes(self, at_once: int) -> Calls[Sequence[Message], Refusals[Message]]:
        """Calls of `delete`, at most so many under way."""
        return self._calls(self.delete, DELETE, self._to_delete, _refusals, at_once)

    def _calls(
        self,
        make: Callable[[Ask], Outcome],
        operation: Operation[Any],
        request: Callable[[Ask], Mapping[str, object]],
        read: Callable[[Ask, Any], Outcome],
        at_once: int,
    ) -> Calls[Ask, Outcome]:
        """Kept under way by one thread where the client can do that, else by one for each."""
        if not isinstance(self._hot, LeanClient):
            return ThreadedCalls(make, at_once)
        kind = Kind(operation, request, read, functools.partial(translated, feed=self._feed))
        return Many(self._hot, kind, at_once)

    def _to_receive(self, count: int) -> "ReceiveMessageRequestTypeDef":
        return {
            "QueueUrl": self.url,
            "MaxNumberOfMessages": count,
            "WaitTimeSeconds": _WAIT_SECONDS,
            "VisibilityTimeout": self._feed.limits.visibility_seconds,
            "MessageSystemAttributeNames": self.asked,
            "MessageAttributeNames": self._carried,
        }

    def _received(self, _count: int, answer: "ReceiveMessageResultTypeDef") -> list[Message]:
        now = datetime.now(UTC)
        messages = answer.get("Messages", [])
        whole = [each for each in messages if _is_whole(each)]
        if damaged := len(messages) - len(whole):
            _log.warning("%d messages arrived damaged (MD5): they will come again", damaged)
        read_one = _traced_message if self._traced else _message
        return [read_one(each, now) for each in whole]

    def send(self, events: Sequence[Event]) -> Sent:
        """Sends up to 10 events of at most 1 MiB together, each with its `event_id`."""
        with translated(feed=self._feed):
            answer = self._client.send_message_batch(
                QueueUrl=self.url,
                Entries=[
                    {
                        "Id": str(place),
                        "MessageBody": event.body,
                        "MessageAttributes": {
                            name: {"DataType": "String", "StringValue": value}
                            for name, value in attributes_of(event).items()
                        },
                    }
                    for place, event in enumerate(events)
                ],
            )
        taken = {int(each["Id"]): each["MessageId"] for each in answer.get("Successful", ())}
        return Sent(
            message_ids=tuple(taken.get(place) for place in range(len(events))),
            refusals=_refusals(events, answer),
        )

    def delete(self, messages: Sequence[Message]) -> Refusals[Message]:
        """Deletes up to 10 messages."""
        with translated(feed=self._feed):
            answer = self._hot.delete_message_batch(**self._to_delete(messages))
        return _refusals(messages, answer)

    def _to_delete(self, messages: Sequence[Message]) -> "DeleteMessageBatchRequestTypeDef":
        return {
            "QueueUrl": self.url,
            "Entries": [
                {"Id": str(place), "ReceiptHandle": message.receipt}
                for place, message in enumerate(messages)
            ],
        }

    def hide(self, messages: Sequence[Message], seconds: int) -> Refusals[Message]:
        """Sets the visibility timeout of up to 10 messages; 0 shows them at once."""
        entries = [
            {"Id": str(place), "ReceiptHandle": message.receipt, "VisibilityTimeout": seconds}
            for place, message in enumerate(messages)
        ]
        with translated(feed=self._feed):
            answer = self._hot.change_message_visibility_batch(
                QueueUrl=self.url,
                Entries=entries,  # type: ignore[arg-type]
            )
        return _refusals(messages, answer)


def attributes_of(event: Event) -> dict[str, str]:
    """The message attributes with which an event is sent; all are strings."""
    named = {EVENT_ID: event.event_id, ORIGIN: event.origin, TRACE: event.trace}
    return {name: value for name, value in named.items() if value}


def _url(client: "SQSClient", name: str) -> str:
    return client.get_queue_url(QueueName=name)["QueueUrl"]


def _make(client: "SQSClient", name: str) -> str:
    """Makes a queue and its dead-letter queue, as deploy would on AWS; finds them the next time."""
    retention = str(_RETENTION_SECONDS)
    dead_letters = client.create_queue(
        QueueName=f"{name}-dead-letter", Attributes={"MessageRetentionPeriod": retention}
    )
    arn = client.get_queue_attributes(
        QueueUrl=dead_letters["QueueUrl"], AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    policy = {"deadLetterTargetArn": arn, "maxReceiveCount": _MAX_RECEIVE_COUNT}
    created = client.create_queue(
        QueueName=name,
        Attributes={"MessageRetentionPeriod": retention, "RedrivePolicy": json.dumps(policy)},
    )
    return created["QueueUrl"]


def _depth(client: "SQSClient", url: str) -> Depth:
    attributes = client.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    ).get("Attributes")
    if not attributes:
        raise QueueError(
            "what answers at the endpoint of SQS is not SQS: it told no depth",
            remedy="Look for a proxy or a log-in page in between, and at AWS_ENDPOINT_URL_SQS",
        )
    return Depth(
        visible=int(attributes["ApproximateNumberOfMessages"]),
        in_flight=int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        delayed=int(attributes["ApproximateNumberOfMessagesDelayed"]),
    )


def _is_whole(each: "MessageTypeDef") -> bool:
    """Whether the body has the digest that SQS gives; boto3 does not look."""
    digest = each.get("MD5OfBody")
    content = each.get("Body", "").encode(errors="surrogatepass")
    return digest is None or digest == hashlib.md5(content, usedforsecurity=False).hexdigest()


def _message(each: "MessageTypeDef", now: datetime) -> Message:
    system = each["Attributes"]
    carried = each.get("MessageAttributes", {})
    event_id, origin = carried.get(EVENT_ID), carried.get(ORIGIN)
    return Message(
        message_id=each["MessageId"],
        receipt=each["ReceiptHandle"],
        body=each.get("Body", ""),
        sent_at=datetime.fromtimestamp(int(system["SentTimestamp"]) / 1000, UTC),
        received_at=now,
        receive_count=int(system["ApproximateReceiveCount"]),
        event_id=None if event_id is None else _text(event_id),
        origin=None if origin is None else _text(origin),
        given_up_by=system.get("DeadLetterQueueSourceArn"),
    )


def _traced_message(each: "MessageTypeDef", now: datetime) -> Message:
    """The message with the context of its trace: what anybody may have sent, if it is one."""
    message = _message(each, now)
    carried = each.get("MessageAttributes", {}).get(TRACE)
    context = None if carried is None else read(carried.get("StringValue"))
    return message if context is None else replace(message, trace=str(context))


def _text(value: "MessageAttributeValueOutputTypeDef") -> str | None:
    """The value of an attribute; bytes of DataType Binary as their text, or else in base64."""
    content = value.get("BinaryValue")
    if content is None:
        return value.get("StringValue")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return base64.b64encode(content).decode()


def _refusals(tried: Sequence[_Tried], answer: "_Answer") -> Refusals[_Tried]:
    """What was not done; what the answer does not name, as that of no SQS, may not have been."""
    done = {int(each["Id"]) for each in answer.get("Successful", ())}
    final = {int(each["Id"]) for each in answer.get("Failed", ()) if each["SenderFault"]}
    return Refusals(
        retry=tuple(each for at, each in enumerate(tried) if at not in done | final),
        final=tuple(each for at, each in enumerate(tried) if at in final),
    )
