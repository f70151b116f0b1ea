"""The operations on message moves: start, list and cancel them."""

from typing import Final

from pipeline.local.queue import requests as ask
from pipeline.local.queue.errors import out_of_range
from pipeline.local.queue.moves import MAX_LISTED, MoveStatus, MoveTask
from pipeline.local.queue.names import arn_of
from pipeline.local.queue.operation import Answer, Operation
from pipeline.local.queue.queues import Queues


def _start(queues: Queues, request: ask.StartMessageMoveTask, _: str) -> Answer:
    now = queues.clock()
    queues.moves.settle(now)
    handle = queues.moves.start(
        request.source_arn,
        request.destination_arn,
        rate=request.max_number_of_messages_per_second,
        now=now,
    )
    return {"TaskHandle": handle}


def _list(queues: Queues, request: ask.ListMessageMoveTasks, _: str) -> Answer:
    if not 1 <= request.max_results <= MAX_LISTED:
        raise out_of_range("MaxResults", request.max_results, least=1, most=MAX_LISTED)
    queues.moves.settle(queues.clock())
    tasks = queues.moves.of(request.source_arn)[: request.max_results]
    return {"Results": [_shown(queues, task) for task in tasks]}


def _cancel(queues: Queues, request: ask.CancelMessageMoveTask, _: str) -> Answer:
    queues.moves.settle(queues.clock())
    return {"ApproximateNumberOfMessagesMoved": queues.moves.cancel(request.task_handle)}


def _shown(queues: Queues, task: MoveTask) -> Answer:
    """A task as it is listed; what it was not given, and a handle past its use, is left out."""
    shown: Answer = {
        "SourceArn": arn_of(task.source),
        "Status": task.status.value,
        "StartedTimestamp": int(task.started_at * 1_000),
        "ApproximateNumberOfMessagesMoved": task.moved,
        "ApproximateNumberOfMessagesToMove": task.to_move,
    }
    if task.status is MoveStatus.RUNNING:
        shown["TaskHandle"] = queues.moves.handle(task)
    if task.destination:
        shown["DestinationArn"] = arn_of(task.destination)
    if task.rate is not None:
        shown["MaxNumberOfMessagesPerSecond"] = task.rate
    if task.failure:
        shown["FailureReason"] = task.failure
    return shown


OPERATIONS: Final = {
    "StartMessageMoveTask": Operation(ask.StartMessageMoveTask, _start),
    "ListMessageMoveTasks": Operation(ask.ListMessageMoveTasks, _list),
    "CancelMessageMoveTask": Operation(ask.CancelMessageMoveTask, _cancel),
}
