"""The embedded SQS as a pure state machine: time and chance come from outside, nothing waits."""

import random
from collections.abc import Callable, Mapping
from typing import Final, Self

from pipeline.local.queue import dead_letters, names, snapshots
from pipeline.local.queue.errors import (
    SqsError,
    invalid_parameter,
    out_of_range,
    queue_deleted_recently,
    queue_does_not_exist,
    queue_name_exists,
    refused_value,
)
from pipeline.local.queue.messages import (
    Attribute,
    Message,
    Place,
    check_message,
    md5_of_body,
    new_id,
)
from pipeline.local.queue.moves import Moves
from pipeline.local.queue.receipts import message_id_in, new_receipt
from pipeline.local.queue.settings import MAX_DELAY, MAX_VISIBILITY, QueueSettings
from pipeline.local.queue.state import Queue, QueueState

MAX_IN_FLIGHT: Final = 120_000
"""Messages of a standard queue (SQS quotas)."""

_COOL_DOWN: Final = 60
"""Seconds between two purges, and before a deleted queue's name may be used again."""


class Queues:
    """All queues of one account, with the semantics of SQS standard queues.

    Every call costs O(log n) for each message that it touches, whatever the backlog.

    Args:
        clock: Seconds since the epoch; must not run backwards by much.
        rng: Where message ids and receipts come from. After a snapshot it must not repeat itself.
        max_in_flight: For each queue; a lower one shows what clients do when they reach it.

    Attributes:
        moves: The tasks that move messages out of dead-letter queues.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self._max_in_flight = max_in_flight
        self.clock = clock
        self._rng = rng
        self._queues: dict[str, Queue] = {}
        self._deleted: dict[str, float] = {}
        self.moves = Moves(self._queues, rng)

    @classmethod
    def from_snapshot(cls, data: bytes, *, clock: Callable[[], float], rng: random.Random) -> Self:
        """Everything as it was when `to_snapshot` was called, messages in flight included.

        Raises:
            LocalServiceError: The snapshot is damaged or of another version.
        """
        snapshot = snapshots.decode(data)
        queues = cls(clock=clock, rng=rng)
        for state in snapshot.queues:
            queues._queues[state.name] = Queue(state, queues._max_in_flight)
        queues._deleted = snapshot.deleted
        queues.moves = Moves(queues._queues, rng, snapshot.moves)
        return queues

    def to_snapshot(self) -> bytes:
        """All queues and messages, for `from_snapshot`."""
        states = [queue.snapshot() for queue in self._queues.values()]
        return snapshots.encode(snapshots.Snapshot(states, self._deleted, self.moves.tasks))

    def get(self, name: str) -> Queue:
        """The queue of that name, with all that is due by now done; else QueueDoesNotExist."""
        queue = self._queues.get(name)
        if queue is None:
            raise queue_does_not_exist()
        now = self.clock()
        self.moves.settle(now)
        queue.settle(now)
        return queue

    def names(self, prefix: str = "") -> list[str]:
        """The names that start with a prefix, sorted."""
        return sorted(name for name in self._queues if name.startswith(prefix))

    def dead_letter_sources(self, name: str) -> list[str]:
        """The queues whose redrive policy points at this one, sorted."""
        return dead_letters.sources_of(self._queues, self.get(name).state.arn)

    def create(self, name: str, attributes: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Make a queue; do nothing if it exists with these attributes.

        Raises:
            SqsError: A name, attribute or dead-letter queue that is not allowed; QueueNameExists;
                QueueDeletedRecently.
        """
        names.check(name)
        if existing := self._queues.get(name):
            if existing.state.settings.changed(attributes) != existing.state.settings:
                raise queue_name_exists()
            return
        now = self.clock()
        if name in self._deleted and now < self._deleted[name] + _COOL_DOWN:
            raise queue_deleted_recently(_COOL_DOWN)
        arn = names.arn_of(name)
        settings = QueueSettings().changed(attributes)
        dead_letters.check_policy(self._queues, settings, arn)
        self._deleted.pop(name, None)
        state = QueueState(name, arn, settings, dict(tags), now, now)
        self._queues[name] = Queue(state, self._max_in_flight)

    def change_settings(self, name: str, attributes: Mapping[str, str]) -> None:
        """Replace some attributes.

        Raises:
            SqsError: An attribute or dead-letter queue that is not allowed.
        """
        state = self.get(name).state
        settings = state.settings.changed(attributes)
        if "RedrivePolicy" in attributes:
            dead_letters.check_policy(self._queues, settings, state.arn)
        state.settings = settings
        state.modified_at = self.clock()

    def delete(self, name: str) -> None:
        """Forget a queue and its messages."""
        self.get(name)
        del self._queues[name]
        self.moves.forget(name)
        self._deleted[name] = self.clock()

    def purge(self, name: str) -> None:
        """Forget a queue's messages, in flight or not.

        Raises:
            SqsError: PurgeQueueInProgress, within 60 s of the last one.
        """
        queue, now = self.get(name), self.clock()
        if now < queue.state.purged_at + _COOL_DOWN:
            raise SqsError(
                "PurgeQueueInProgress",
                f"Only one PurgeQueue operation on {name} is allowed every {_COOL_DOWN} seconds.",
            )
        queue.clear()
        queue.state.purged_at = now

    def send(
        self,
        name: str,
        body: str,
        *,
        attributes: Mapping[str, Attribute],
        delay: int | None = None,
        trace_header: str = "",
    ) -> Message:
        """Put a message on a queue; `delay` in seconds, else the queue's own.

        Raises:
            SqsError: A limit of SQS is broken.
        """
        queue, now = self.get(name), self.clock()
        settings = queue.state.settings
        check_message(body, attributes, max_bytes=settings.maximum_message_size)
        seconds = settings.delay_seconds if delay is None else delay
        if not 0 <= seconds <= MAX_DELAY:
            raise out_of_range("DelaySeconds", seconds, least=0, most=MAX_DELAY)
        message = Message(
            id=new_id(self._rng),
            body=body,
            body_md5=md5_of_body(body),
            attributes=dict(attributes),
            sent_at=now,
            trace_header=trace_header,
        )
        queue.add(message, delay_until=now + seconds, now=now)
        return message

    def receive(self, name: str, *, most: int, visibility: int | None = None) -> list[Message]:
        """Take up to `most` messages and hide them; `visibility` in seconds, else the queue's own.

        A message that was received too often goes to the dead-letter queue instead.
        """
        queue, now = self.get(name), self.clock()
        target, max_receives = dead_letters.target_of(self._queues, queue)
        taken: list[Message] = []
        room = min(most, queue.deliverable)
        while len(taken) < room and (message := queue.take()):
            if target is not None and message.receives_here >= max_receives:
                dead_letters.hand_over(message, queue, target, now=now)
                continue
            self.hand_out(name, message)
            taken.append(message)
        seconds = queue.state.settings.visibility_timeout if visibility is None else visibility
        queue.hide(taken, until=now + seconds, now=now)
        return taken

    def hand_out(self, name: str, message: Message) -> None:
        """Count a delivery of a message, and give it the receipt for it."""
        now = self.clock()
        message.receives += 1
        message.receives_here += 1
        message.first_received_at = message.first_received_at or now
        message.last_received_at = now
        message.receipt = new_receipt(name, message.id, self._rng)

    def deletable(self, name: str, receipt: str) -> Message | None:
        """The message that a receipt deletes: none, if it is an older one, or the message gone.

        Raises:
            SqsError: ReceiptHandleIsInvalid, for what no receive of this queue has given out.
        """
        message = self.get(name).find(message_id_in(receipt, name))
        return message if message is not None and message.receipt == receipt else None

    def acknowledge(self, name: str, receipt: str) -> None:
        """Delete a message by its latest receipt; an older one succeeds and does nothing.

        Raises:
            SqsError: As `deletable`.
        """
        if (message := self.deletable(name, receipt)) is not None:
            self._queues[name].remove(message)

    def change_visibility(self, name: str, receipt: str, seconds: int) -> None:
        """Hide a message in flight for so many seconds from now; 0 gives it back.

        Raises:
            SqsError: ReceiptHandleIsInvalid; MessageNotInflight, also for an older receipt; or
                InvalidParameterValue, if the message is gone or 12 hours would be exceeded.
        """
        queue, now = self.get(name), self.clock()
        if not 0 <= seconds <= MAX_VISIBILITY:
            raise out_of_range("VisibilityTimeout", seconds, least=0, most=MAX_VISIBILITY)
        message = queue.find(message_id_in(receipt, name))
        if message is None:
            raise refused_value(
                "ReceiptHandle",
                "Message does not exist or is not available for visibility timeout change.",
            )
        if message.place is not Place.IN_FLIGHT or message.receipt != receipt:
            raise SqsError("MessageNotInflight", "The specified message isn't in flight.")
        if now + seconds > message.last_received_at + MAX_VISIBILITY:
            raise invalid_parameter(
                "Total VisibilityTimeout for the message is beyond the limit "
                f"[{MAX_VISIBILITY} seconds]."
            )
        queue.hide([message], until=now + seconds, now=now)
