"""The operations of the SQS protocol over the state machine: every call passes `perform`."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from pipeline.local.queue import requests as ask
from pipeline.local.queue.batches import check_size, each
from pipeline.local.queue.errors import SqsError, out_of_range
from pipeline.local.queue.messages import md5_of_attributes
from pipeline.local.queue.names import name_of, url_of
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.settings import MAX_VISIBILITY, MAX_WAIT
from pipeline.local.queue.views import check_facts, queue_attributes, received_message

Answer = dict[str, object]
"""A reply's body, under SQS's own names."""

_PAGE: Final = 1_000
_MOST_MESSAGES: Final = 10


class _Operation:
    """One operation: the form of its request, and what it does with one.

    `act` takes the queues, the request, and the host by which the client came, for URLs.
    """

    def __init__(self, form: type[ask.Request], act: Callable[[Queues, Any, str], Answer]) -> None:
        self.decoder = msgspec.json.Decoder(form)
        self.act = act


def parse(operation: str, body: bytes) -> ask.Request:
    """The typed request of an operation.

    Raises:
        SqsError: The operation is unknown, or the body is not of its form.
    """
    known = _OPERATIONS.get(operation)
    if known is None:
        raise SqsError(
            "UnknownOperationException",
            f"The embedded queue does not have the operation {operation!r}. "
            f"It has {', '.join(_OPERATIONS)}.",
        )
    try:
        return known.decoder.decode(body)
    except msgspec.ValidationError as error:
        # msgspec names the place and the type, never the value.
        raise SqsError("SerializationException", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise SqsError("SerializationException", "The body is not valid JSON.") from None


def perform(queues: Queues, operation: str, request: ask.Request, host: str) -> Answer:
    """Carry out a request at once; a receive that finds nothing answers empty.

    Args:
        queues: The state to act on.
        operation: As given to `parse`.
        request: What `parse` made of it.
        host: Host and port by which the client reached the server, for queue URLs.

    Raises:
        SqsError: As SQS refuses it.
    """
    return _OPERATIONS[operation].act(queues, request, host)


def seconds_to_wait(queues: Queues, request: ask.ReceiveMessage) -> int:
    """How long a receive may wait for its first message: what it says, else the queue's own.

    Raises:
        SqsError: QueueDoesNotExist.
    """
    if request.wait_time_seconds is not None:
        return request.wait_time_seconds
    settings = queues.get(name_of(request.queue_url)).state.settings
    return settings.receive_message_wait_time_seconds


def _create_queue(queues: Queues, request: ask.CreateQueue, host: str) -> Answer:
    queues.create(request.queue_name, request.attributes, request.tags)
    return {"QueueUrl": url_of(request.queue_name, host)}


def _get_queue_url(queues: Queues, request: ask.GetQueueUrl, host: str) -> Answer:
    queues.get(request.queue_name)
    return {"QueueUrl": url_of(request.queue_name, host)}


def _list_queues(queues: Queues, request: ask.ListQueues, host: str) -> Answer:
    names = queues.names(request.queue_name_prefix)
    # SQS leaves the key out when there is nothing to list.
    return _page("QueueUrls", names, request, host) if names else {}


def _list_sources(queues: Queues, request: ask.ListDeadLetterSourceQueues, host: str) -> Answer:
    names = queues.dead_letter_sources(name_of(request.queue_url))
    return _page("queueUrls", names, request, host)


def _page(
    key: str,
    names: Sequence[str],
    request: ask.ListQueues | ask.ListDeadLetterSourceQueues,
    host: str,
) -> Answer:
    """The next page of sorted names as URLs; the token is the last name of the page before."""
    most = _PAGE if request.max_results is None else request.max_results
    if not 1 <= most <= _PAGE:
        raise out_of_range("MaxResults", most, least=1, most=_PAGE)
    left = [name for name in names if name > request.next_token]
    answer: Answer = {key: [url_of(name, host) for name in left[:most]]}
    # A client that names no size gets one page and no token, as from SQS.
    if len(left) > most and request.max_results is not None:
        answer["NextToken"] = left[most - 1]
    return answer


def _get_attributes(queues: Queues, request: ask.GetQueueAttributes, _: str) -> Answer:
    queue = queues.get(name_of(request.queue_url))
    return {"Attributes": queue_attributes(queue, request.attribute_names)}


def _set_attributes(queues: Queues, request: ask.SetQueueAttributes, _: str) -> Answer:
    queues.change_settings(name_of(request.queue_url), request.attributes)
    return {}


def _tag(queues: Queues, request: ask.TagQueue, _: str) -> Answer:
    queues.get(name_of(request.queue_url)).state.tags.update(request.tags)
    return {}


def _untag(queues: Queues, request: ask.UntagQueue, _: str) -> Answer:
    tags = queues.get(name_of(request.queue_url)).state.tags
    for key in request.tag_keys:
        tags.pop(key, None)
    return {}


def _list_tags(queues: Queues, request: ask.OnQueue, _: str) -> Answer:
    return {"Tags": queues.get(name_of(request.queue_url)).state.tags}


def _delete_queue(queues: Queues, request: ask.OnQueue, _: str) -> Answer:
    queues.delete(name_of(request.queue_url))
    return {}


def _purge_queue(queues: Queues, request: ask.OnQueue, _: str) -> Answer:
    queues.purge(name_of(request.queue_url))
    return {}


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


_OPERATIONS: Final = {
    "CreateQueue": _Operation(ask.CreateQueue, _create_queue),
    "GetQueueUrl": _Operation(ask.GetQueueUrl, _get_queue_url),
    "ListQueues": _Operation(ask.ListQueues, _list_queues),
    "ListDeadLetterSourceQueues": _Operation(ask.ListDeadLetterSourceQueues, _list_sources),
    "GetQueueAttributes": _Operation(ask.GetQueueAttributes, _get_attributes),
    "SetQueueAttributes": _Operation(ask.SetQueueAttributes, _set_attributes),
    "TagQueue": _Operation(ask.TagQueue, _tag),
    "UntagQueue": _Operation(ask.UntagQueue, _untag),
    "ListQueueTags": _Operation(ask.OnQueue, _list_tags),
    "DeleteQueue": _Operation(ask.OnQueue, _delete_queue),
    "PurgeQueue": _Operation(ask.OnQueue, _purge_queue),
    "SendMessage": _Operation(ask.SendMessage, _send),
    "SendMessageBatch": _Operation(ask.SendMessageBatch, _send_batch),
    "ReceiveMessage": _Operation(ask.ReceiveMessage, _receive),
    "DeleteMessage": _Operation(ask.DeleteMessage, _delete),
    "DeleteMessageBatch": _Operation(ask.DeleteMessageBatch, _delete_batch),
    "ChangeMessageVisibility": _Operation(ask.ChangeMessageVisibility, _change),
    "ChangeMessageVisibilityBatch": _Operation(ask.ChangeMessageVisibilityBatch, _change_batch),
}
