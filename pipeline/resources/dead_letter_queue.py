"""A feed's dead-letter queue over boto3: found by the redrive policy, moved back by SQS itself."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Final

from botocore.exceptions import ClientError

from pipeline.contract import Feed
from pipeline.errors import QueueError
from pipeline.messages import Message
from pipeline.resources.sqs import SqsQueue
from pipeline.resources.sqs_client import translated

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import MessageSystemAttributeNameType

RUNNING: Final = {"RUNNING", "CANCELLING"}
"""The states of a move that is not over."""


@dataclass(frozen=True, slots=True)
class Move:
    """A message move task of SQS, the latest of its queue.

    Attributes:
        status: As SQS names it: RUNNING, COMPLETED, CANCELLING, CANCELLED or FAILED.
        started: When it began, in milliseconds since the epoch.
        per_second: Messages a second at most; None where SQS chooses.
        moved: Messages that it has moved, about.
        expected: Messages that there were when it began, about; None where SQS does not say.
        handle: What it is cancelled by; None once it is over.
        reason: Why it failed, where it did, as SQS names it.
    """

    status: str
    started: int
    per_second: int | None
    moved: int
    expected: int | None
    handle: str | None = field(repr=False)
    reason: str | None = None


class LetterQueue(SqsQueue):
    """A dead-letter queue: it also asks which queue gave a message up."""

    asked: "ClassVar[Sequence[MessageSystemAttributeNameType]]" = (
        *SqsQueue.asked,
        "DeadLetterQueueSourceArn",
    )


@dataclass(frozen=True, slots=True)
class DeadLetterQueue:
    """The dead-letter queue of one feed.

    Attributes:
        letters: It, as a queue.
        source: The feed's queue, the only one that anything is ever moved to.
        retention: Seconds after which it drops a message, counted from the first sending.
        arn: Its own.
        source_arn: That of the feed's queue.
        client: What it is spoken to with.
        feed: The contract.
    """

    letters: LetterQueue
    source: SqsQueue
    retention: int
    arn: str
    source_arn: str
    client: "SQSClient" = field(repr=False)
    feed: Feed = field(repr=False)

    @property
    def name(self) -> str:
        """The name of the queue."""
        return self.arn.rpartition(":")[2]

    def is_foreign(self, letter: Message) -> bool:
        """Whether another queue gave a message up: one that led here before, or still does.

        Where SQS does not say, as of what somebody sent here by hand, it counts as the feed's.
        """
        return letter.given_up_by not in {None, self.source_arn}

    def check_unshared(self) -> None:
        """Makes sure that the feed's queue is the only one whose messages end here.

        Raises:
            QueueError: Another one's do too, and would be redriven to the wrong queue; or SQS
                refused or did not answer.
        """
        with translated(feed=self.feed):
            pages = self.client.get_paginator("list_dead_letter_source_queues")
            urls = [
                url
                for page in pages.paginate(QueueUrl=self.letters.url)
                for url in page["queueUrls"]
            ]
        others = sorted({url.rpartition("/")[2] for url in urls} - {self.feed.queue})
        if others:
            raise QueueError(
                f"dead-letter queue {self.name!r} takes the messages of {', '.join(others)} too",
                remedy="Empty it first (`aws sqs start-message-move-task` without a destination"
                " takes each message back to its own queue), then give each queue a dead-letter"
                " queue of its own; nothing was moved",
                feed=self.feed.name,
            )

    def start_move(self, per_second: int) -> None:
        """Has SQS move each message to the queue that gave it up; one move at a time.

        No destination is named: what another queue has left here would go to the feed's queue.

        Raises:
            QueueError: SQS refused or did not answer.
        """
        with translated(feed=self.feed):
            self.client.start_message_move_task(
                SourceArn=self.arn, MaxNumberOfMessagesPerSecond=per_second
            )

    def latest_move(self) -> Move | None:
        """The latest move, going on or over; None where there has been none.

        Raises:
            QueueError: SQS refused, did not answer, or the latest move leads to another queue.
        """
        with translated(feed=self.feed):
            moves = self.client.list_message_move_tasks(SourceArn=self.arn, MaxResults=1).get(
                "Results", []
            )
        if not moves:
            return None
        found = moves[0]
        destination = found.get("DestinationArn") or self.source_arn
        if found["Status"] in RUNNING and destination != self.source_arn:
            raise QueueError(
                f"somebody else moves the messages of {self.name!r} to another queue",
                remedy="Wait until it is over, or cancel it (aws sqs cancel-message-move-task)",
                feed=self.feed.name,
            )
        return Move(
            status=found["Status"],
            started=found.get("StartedTimestamp", 0),
            per_second=found.get("MaxNumberOfMessagesPerSecond"),
            moved=found.get("ApproximateNumberOfMessagesMoved", 0),
            expected=found.get("ApproximateNumberOfMessagesToMove"),
            handle=found.get("TaskHandle"),
            reason=found.get("FailureReason"),
        )

    def cancel_move(self) -> None:
        """Stops the move that goes on, if one does; what is moved stays moved.

        Raises:
            QueueError: SQS refused or did not answer.
        """
        move = self.latest_move()
        if move is None or move.status != "RUNNING" or move.handle is None:
            return
        with translated(feed=self.feed):
            try:
                self.client.cancel_message_move_task(TaskHandle=move.handle)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise  # else it has ended by itself in the meantime


def find_dead_letters(
    client: "SQSClient", feed: Feed, source: SqsQueue, *, traced: bool = False
) -> DeadLetterQueue | None:
    """The dead-letter queue to which the redrive policy of the feed's queue points, if it has one.

    Raises:
        QueueMissing: The policy names a queue that does not exist.
        QueueError: SQS refused or did not answer.
    """
    policy, source_arn = _attributes(client, feed, source, ["RedrivePolicy", "QueueArn"])
    if not policy:
        return None
    arn: str = json.loads(policy)["deadLetterTargetArn"]
    there = replace(feed, queue=arn.rpartition(":")[2])
    letters = LetterQueue(client, there, traced=traced)
    (retention,) = _attributes(client, there, letters, ["MessageRetentionPeriod"])
    return DeadLetterQueue(
        letters=letters,
        source=source,
        retention=int(retention),
        arn=arn,
        source_arn=source_arn,
        client=client,
        feed=feed,
    )


def _attributes(
    client: "SQSClient", feed: Feed, queue: SqsQueue, names: "Sequence[str]"
) -> tuple[str, ...]:
    with translated(feed=feed):
        answer = client.get_queue_attributes(
            QueueUrl=queue.url,
            AttributeNames=names,  # type: ignore[arg-type]
        )
    found = answer.get("Attributes", {})
    return tuple(found.get(name, "") for name in names)  # type: ignore[call-overload]
