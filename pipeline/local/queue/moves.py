"""Message moves: tasks that carry dead letters back, a step at a time, as the clock goes on."""

import base64
import binascii
import enum
import random
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pipeline.local.queue.dead_letters import sources_of
from pipeline.local.queue.errors import (
    SqsError,
    invalid_parameter,
    out_of_range,
    queue_does_not_exist,
    resource_not_found,
)
from pipeline.local.queue.messages import Message, Place, new_id
from pipeline.local.queue.names import name_in
from pipeline.local.queue.state import Queue

MAX_RATE: Final = 500
"""Messages a second, and what a task gets that names no rate (SQS says only: as suits)."""

MAX_LISTED: Final = 10
"""Tasks of one source that are listed, and kept."""


class MoveStatus(enum.Enum):
    """How far a task is."""

    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


_ACTIVE: Final = {MoveStatus.RUNNING, MoveStatus.CANCELLING}


class MoveTask(msgspec.Struct):
    """A task, as a snapshot keeps it.

    Attributes:
        destination: The queue to move to; empty for each message's own source.
        rate: Messages a second, if the task names it.
        to_move: How many messages were ready when it started.
        failure: Why it failed: a code of SQS.
    """

    id: str
    source: str
    destination: str
    rate: int | None
    started_at: float
    to_move: int
    moved: int = 0
    status: MoveStatus = MoveStatus.RUNNING
    failure: str = ""

    @property
    def next_step(self) -> float:
        """When the next message goes; the first goes at once."""
        return self.started_at + self.moved / (self.rate or MAX_RATE)


class _Handle(msgspec.Struct, rename="camel"):
    task_id: str
    source_arn: str


class Moves:
    """All tasks over the queues of one account.

    Args:
        queues: By name; what comes and goes there is seen here.
        rng: Where the ids of tasks and of moved messages come from.
        tasks: Out of a snapshot.
    """

    def __init__(
        self, queues: Mapping[str, Queue], rng: random.Random, tasks: Sequence[MoveTask] = ()
    ) -> None:
        self._queues = queues
        self._rng = rng
        self._tasks = list(tasks)
        self._active = [task for task in tasks if task.status in _ACTIVE]

    @property
    def tasks(self) -> list[MoveTask]:
        """What a snapshot keeps."""
        return self._tasks

    def next_step(self) -> float | None:
        """When something moves next."""
        return min((task.next_step for task in self._active), default=None)

    def settle(self, now: float) -> None:
        """Let time pass: every step that is due is made, in order, at its own moment."""
        while self._active:
            task = min(self._active, key=lambda task: task.next_step)
            if task.next_step > now:
                return
            self._step(task, task.next_step)
            self._active = [task for task in self._active if task.status in _ACTIVE]

    def start(self, source: str, destination: str, *, rate: int | None, now: float) -> str:
        """Begin a task; its handle.

        Args:
            source: Resource name of a queue that is a dead-letter queue.
            destination: Resource name of a queue, or empty for each message's own source.
            rate: Messages a second.
            now: The moment of the first step.

        Raises:
            SqsError: ResourceNotFoundException; InvalidParameterValue, if the source is no
                dead-letter queue, has an active task, or the rate is not 1 to 500.
        """
        queue = self._source(source)
        if rate is not None and not 1 <= rate <= MAX_RATE:
            raise out_of_range("MaxNumberOfMessagesPerSecond", rate, least=1, most=MAX_RATE)
        if not sources_of(self._queues, source):
            raise invalid_parameter("Source queue must be configured as a Dead Letter Queue.")
        if destination and name_in(destination) not in self._queues:
            raise resource_not_found("DestinationArn")
        if destination == source:
            raise invalid_parameter("Source queue arn and destination queue arn cannot be same.")
        if any(task.source == queue.state.name for task in self._active):
            raise invalid_parameter(
                "There is already a task running. Only one active task is allowed for a source "
                "queue arn at a given time."
            )
        task = MoveTask(
            id=new_id(self._rng),
            source=queue.state.name,
            destination=name_in(destination),
            rate=rate,
            started_at=now,
            to_move=queue.count(Place.READY),
        )
        self._tasks.append(task)
        self._active.append(task)
        self._forget_old(task.source)
        return self.handle(task)

    def handle(self, task: MoveTask) -> str:
        """What a client cancels a task with."""
        arn = self._queues[task.source].state.arn
        return base64.b64encode(msgspec.json.encode(_Handle(task.id, arn))).decode()

    def of(self, source: str) -> list[MoveTask]:
        """The tasks of a queue, by its resource name, the latest first.

        Raises:
            SqsError: ResourceNotFoundException.
        """
        name = self._source(source).state.name
        return [task for task in reversed(self._tasks) if task.source == name]

    def cancel(self, handle: str) -> int:
        """Have a running task stop at its next step; how many messages it has moved.

        Raises:
            SqsError: InvalidParameterValue, for what is no handle; ResourceNotFoundException, if
                the queue or the task is gone, or the task does not run.
        """
        try:
            known = msgspec.json.decode(base64.b64decode(handle, validate=True), type=_Handle)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            raise invalid_parameter("Value for parameter TaskHandle is invalid.") from None
        for task in self.of(known.source_arn):
            if task.id == known.task_id and task.status is MoveStatus.RUNNING:
                task.status = MoveStatus.CANCELLING
                return task.moved
        raise SqsError("ResourceNotFoundException", "Task does not exist.", status=404)

    def forget(self, source: str) -> None:
        """Drop the tasks of a queue that is deleted."""
        self._tasks = [task for task in self._tasks if task.source != source]
        self._active = [task for task in self._active if task.source != source]

    def _source(self, arn: str) -> Queue:
        queue = self._queues.get(name_in(arn))
        if queue is None:
            raise resource_not_found("SourceArn")
        return queue

    def _forget_old(self, source: str) -> None:
        own = [task for task in self._tasks if task.source == source]
        for task in own[:-MAX_LISTED]:
            self._tasks.remove(task)

    def _step(self, task: MoveTask, now: float) -> None:
        """Move one message, or find that there is an end of it."""
        if task.status is MoveStatus.CANCELLING:
            task.status = MoveStatus.CANCELLED
            return
        source = self._queues[task.source]
        source.settle(now)
        message = source.peek()
        if message is not None:
            name = task.destination or name_in(message.source_arn)
            if name not in self._queues:
                task.status = MoveStatus.FAILED
                task.failure = (
                    queue_does_not_exist().query_code if name else "CouldNotDetermineMessageSource"
                )
                return
            source.remove(message)
            self._send_on(message, self._queues[name], now)
            task.moved += 1
        if source.peek() is None:
            task.status = MoveStatus.COMPLETED

    def _send_on(self, message: Message, destination: Queue, now: float) -> None:
        """As a new message: its id, its time and its receives begin anew.

        Source: Amazon SQS developer guide, "Learn how to configure a dead-letter queue redrive".
        """
        anew = Message(
            id=new_id(self._rng),
            body=message.body,
            body_md5=message.body_md5,
            attributes=message.attributes,
            sent_at=now,
            trace_header=message.trace_header,
        )
        destination.add(anew, delay_until=now + destination.state.settings.delay_seconds, now=now)
