"""The operations on queues: make, find, list, describe, tag, empty and delete them."""

from collections.abc import Sequence
from typing import Final

from pipeline.local.queue import requests as ask
from pipeline.local.queue.errors import out_of_range
from pipeline.local.queue.names import name_of, url_of
from pipeline.local.queue.operation import Answer, Operation
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.views import queue_attributes

_PAGE: Final = 1_000


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


OPERATIONS: Final = {
    "CreateQueue": Operation(ask.CreateQueue, _create_queue),
    "GetQueueUrl": Operation(ask.GetQueueUrl, _get_queue_url),
    "ListQueues": Operation(ask.ListQueues, _list_queues),
    "ListDeadLetterSourceQueues": Operation(ask.ListDeadLetterSourceQueues, _list_sources),
    "GetQueueAttributes": Operation(ask.GetQueueAttributes, _get_attributes),
    "SetQueueAttributes": Operation(ask.SetQueueAttributes, _set_attributes),
    "TagQueue": Operation(ask.TagQueue, _tag),
    "UntagQueue": Operation(ask.UntagQueue, _untag),
    "ListQueueTags": Operation(ask.OnQueue, _list_tags),
    "DeleteQueue": Operation(ask.OnQueue, _delete_queue),
    "PurgeQueue": Operation(ask.OnQueue, _purge_queue),
}
