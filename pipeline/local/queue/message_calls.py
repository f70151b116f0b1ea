"""The operations on messages: send, receive, delete them, and change their visibility."""

from typing import Final

from pipeline.local.queue import requests as ask
from pipeline.local.queue.batches import check_size, each
from pipeline.local.queue.errors import SqsError, out_of_range
from pipeline.local.queue.messages import md5_of_attributes
from pipeline.local.queue.names import name_of
from pipeline.local.queue.operation import Answer, Operation
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.settings import MAX_VISIBILITY, MAX_WAIT
from pipeline.local.queue.views import check_facts, received_message

_MOST_MESSAGES: Final = 10


def seconds_to_wait(queues: Queues, request: ask.ReceiveMessage) -> int:
    """How long a receive may wait for its first message: what it says, else the queue's own.

    Raises:
        SqsError: QueueDoesNotExist.
    """
    if request.wait_time_seconds is not None:
        return request.wait_time_seconds
    settings = queues.get(name_of(request.queue_url)).state.settings
    return settings.receive_message_wait_time_seconds


def _send(queues: Queues, request: ask.SendMessage, _: str) -> Answer:
    return _send_draft(queues, name_of(request.queue_url), request)


def _send_batch(queues: Queues, request: ask.SendMessageBatch, _: str) -> Answer:
    name = name_of(request.queue_url)
    queues.get(name)
    check_size(request.entries)
    return each(request.entries, lambda entry: _send_draft(queues, name, entry))


def _send_draft(queues: Queues, name: str, draft: ask.Draft) -> Answer:
    trace = draft.message_system_attributes.get("AWSTraceHeader")
    message = queues.send(
        name,
        draft.message_body,
        attributes=draft.message_attributes,
        delay=draft.delay_seconds,
        trace_header=(trace.string_value or "") if trace else "",
    )
    answer: Answer = {"MessageId": message.id, "MD5OfMessageBody": message.body_md5}
    if draft.message_attributes:
        answer["MD5OfMessageAttributes"] = md5_of_attributes(draft.message_attributes)
    if draft.message_system_attributes:
        answer["MD5OfMessageSystemAttributes"] = md5_of_attributes(draft.message_system_attributes)
    return answer


def _receive(queues: Queues, request: ask.ReceiveMessage, _: str) -> Answer:
    name, most = name_of(request.queue_url), request.max_number_of_messages
    if not 1 <= most <= _MOST_MESSAGES:
        raise out_of_range("MaxNumberOfMessages", most, least=1, most=_MOST_MESSAGES)
    _check_seconds("VisibilityTimeout", request.visibility_timeout, MAX_VISIBILITY)
    _check_seconds("WaitTimeSeconds", request.wait_time_seconds, MAX_WAIT)
    check_facts([*request.attribute_names, *request.message_system_attribute_names])
    # A long poll that meets a full queue waits in silence; only a short one is told.
    if queues.get(name).full and not seconds_to_wait(queues, request):
        raise SqsError("OverLimit", "Too many messages in flight.")
    messages = queues.receive(name, most=most, visibility=request.visibility_timeout)
    shown = [received_message(message, request) for message in messages]
    return {"Messages": shown} if shown else {}


def _check_seconds(name: str, seconds: int | None, most: int) -> None:
    if seconds is not None and not 0 <= seconds <= most:
        raise out_of_range(name, seconds, least=0, most=most)


def _delete(queues: Queues, request: ask.DeleteMessage, _: str) -> Answer:
    queues.acknowledge(name_of(request.queue_url), request.receipt_handle)
    return {}


def _delete_batch(queues: Queues, request: ask.DeleteMessageBatch, _: str) -> Answer:
    name = name_of(request.queue_url)
    queues.get(name)

    def act(entry: ask.DeleteEntry) -> Answer:
        queues.acknowledge(name, entry.receipt_handle)
        return {}

    return each(request.entries, act)


def _change(queues: Queues, request: ask.ChangeMessageVisibility, _: str) -> Answer:
    queues.change_visibility(
        name_of(request.queue_url), request.receipt_handle, request.visibility_timeout
    )
    return {}


def _change_batch(queues: Queues, request: ask.ChangeMessageVisibilityBatch, _: str) -> Answer:
    name = name_of(request.queue_url)
    queues.get(name)

    def act(entry: ask.ChangeEntry) -> Answer:
        queues.change_visibility(name, entry.receipt_handle, entry.visibility_timeout)
        return {}

    return each(request.entries, act)


OPERATIONS: Final = {
    "SendMessage": Operation(ask.SendMessage, _send),
    "SendMessageBatch": Operation(ask.SendMessageBatch, _send_batch),
    "ReceiveMessage": Operation(ask.ReceiveMessage, _receive),
    "DeleteMessage": Operation(ask.DeleteMessage, _delete),
    "DeleteMessageBatch": Operation(ask.DeleteMessageBatch, _delete_batch),
    "ChangeMessageVisibility": Operation(ask.ChangeMessageVisibility, _change),
    "ChangeMessageVisibilityBatch": Operation(ask.ChangeMessageVisibilityBatch, _change_batch),
}
