"""How a fault changes the work of a call: each wraps the work, and says whether it did anything."""

import random
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from pipeline.local.queue import requests as ask
from pipeline.local.queue.batches import check
from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.faults import (
    AnyEffect,
    Duplicate,
    Effect,
    Late,
    Part,
    Redeliver,
    Reorder,
    Short,
    Undelete,
)
from pipeline.local.queue.messages import Message, Place
from pipeline.local.queue.names import name_of
from pipeline.local.queue.operation import Answer
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.settings import MAX_DELAY
from pipeline.local.queue.views import received_message

Work = Callable[[Any], Answer]
"""Carries out a request; may be called again while a long poll finds nothing."""


class Spoiler:
    """The work of one call, with an effect on it.

    Args:
        queues: Which the call is about.
        work: As it would be without the effect.
        rng: Chance of this effect on this call.
        count: To be called when the effect took place.
    """

    def __init__(
        self, queues: Queues, work: Work, *, rng: random.Random, count: Callable[[], None]
    ) -> None:
        self.queues = queues
        self.work = work
        self.rng = rng
        self.count = count

    def wrap(self, effect: AnyEffect) -> Work:
        """The work with the effect; as it was, if the effect is none on the work."""
        spoil = _SPOILERS.get(type(effect))
        if spoil is None:
            return self.work
        return lambda request: spoil(self, effect, request)


def _duplicate(call: Spoiler, _: Duplicate, request: ask.ReceiveMessage) -> Answer:
    """Room is left for the second one: no answer is longer than it was asked to be."""
    most = request.max_number_of_messages
    if most < 2:  # noqa: PLR2004 - no room for two
        return call.work(request)
    answer = call.work(_limited(request, most - 1))
    shown = _received(answer)
    if shown:
        name = name_of(request.queue_url)
        message = call.queues.get(name).find(call.rng.choice(shown)["MessageId"])
        if message is not None:
            call.queues.hand_out(name, message)
            again = received_message(message, request)
            shown.insert(call.rng.randint(0, len(shown)), again)
            call.count()
    return answer


def _redeliver(call: Spoiler, effect: Redeliver, request: ask.ReceiveMessage) -> Answer:
    answer = call.work(request)
    queue, now = call.queues.get(name_of(request.queue_url)), call.queues.clock()
    early = []
    for shown in _received(answer):
        message = queue.find(shown["MessageId"])
        if (
            message is not None
            and message.place is Place.IN_FLIGHT
            and message.visible_at > now + effect.seconds
        ):
            early.append(message)
    if early:
        queue.hide(early, until=now + effect.seconds, now=now)
        call.count()
    return answer


def _reorder(call: Spoiler, effect: Reorder, request: ask.ReceiveMessage) -> Answer:
    if call.queues.get(name_of(request.queue_url)).shuffle(call.rng, effect.among):
        call.count()
    return call.work(request)


def _short(call: Spoiler, effect: Short, request: ask.ReceiveMessage) -> Answer:
    most = request.max_number_of_messages
    if most <= effect.most:
        return call.work(request)
    waiting = call.queues.get(name_of(request.queue_url)).deliverable
    answer = call.work(_limited(request, effect.most))
    if waiting > effect.most:
        call.count()
    return answer


def _late(call: Spoiler, effect: Late, request: Any) -> Answer:  # noqa: ANN401 - one of two
    default = call.queues.get(name_of(request.queue_url)).state.settings.delay_seconds

    def late(draft: ask.Draft) -> ask.Draft:
        own = default if draft.delay_seconds is None else draft.delay_seconds
        if not 0 <= own < MAX_DELAY:  # refused, or as late as can be
            return draft
        later = min(MAX_DELAY, own + effect.seconds)
        return msgspec.structs.replace(draft, delay_seconds=later)

    if isinstance(request, ask.SendMessageBatch):
        entries = [late(entry) for entry in request.entries]
        answer = call.work(msgspec.structs.replace(request, entries=entries))
    else:
        answer = call.work(late(request))
    call.count()
    return answer


def _undelete(call: Spoiler, _: Undelete, request: Any) -> Answer:  # noqa: ANN401 - one of two
    before = deletable(call.queues, request)
    kept = msgspec.structs.replace(call.rng.choice(before)[1]) if before else None
    answer = call.work(request)
    queue = call.queues.get(name_of(request.queue_url))
    if kept is not None and queue.find(kept.id) is None:
        queue.add(kept, delay_until=0.0, now=call.queues.clock())
        call.count()
    return answer


def _part(call: Spoiler, effect: Part, request: Any) -> Answer:  # noqa: ANN401 - any batch
    call.queues.get(name_of(request.queue_url))
    check(request.entries)
    some = {entry.id for entry in request.entries if call.rng.random() < effect.share}
    failing = some or {call.rng.choice(request.entries).id}
    left = [entry for entry in request.entries if entry.id not in failing]
    answer: Answer = {}
    if effect.done:
        answer = call.work(request)
    elif left:
        answer = call.work(msgspec.structs.replace(request, entries=left))
    failed: Any = answer.get("Failed", [])
    done: Any = answer.get("Successful", [])
    known = {entry["Id"] for entry in failed}
    untrue = [
        {
            "Id": entry.id,
            "SenderFault": effect.sender_fault,
            "Code": SqsError(effect.code, "").query_code,
            "Message": RULED,
        }
        for entry in request.entries
        if entry.id in failing - known
    ]
    if untrue:
        call.count()
    return {
        "Successful": [entry for entry in done if entry["Id"] not in failing],
        "Failed": failed + untrue,
    }


RULED: Final = "A rule of the embedded queue says so."
"""The message of an error that a rule made."""

_SPOILERS: Final[Mapping[type[Effect], Callable[[Spoiler, Any, Any], Answer]]] = {
    Duplicate: _duplicate,
    Late: _late,
    Part: _part,
    Redeliver: _redeliver,
    Reorder: _reorder,
    Short: _short,
    Undelete: _undelete,
}


def deletable(queues: Queues, request: ask.Request) -> list[tuple[str, Message]]:
    """The messages that a request would delete, each with the name of its queue."""
    match request:
        case ask.DeleteMessage():
            receipts = [request.receipt_handle]
        case ask.DeleteMessageBatch():
            receipts = [entry.receipt_handle for entry in request.entries]
        case _:
            return []
    name = name_of(request.queue_url)
    found: dict[str, Message] = {}
    for receipt in receipts:
        try:
            message = queues.deletable(name, receipt)
        except SqsError:
            continue  # The call itself says what is wrong with it.
        if message is not None:
            found[message.id] = message
    return [(name, message) for message in found.values()]


def _received(answer: Answer) -> list[dict[str, Any]]:
    """The messages of an answer, which may be changed in place."""
    shown: Any = answer.get("Messages", [])
    found: list[dict[str, Any]] = shown
    return found


def _limited(request: ask.ReceiveMessage, most: int) -> ask.ReceiveMessage:
    return msgspec.structs.replace(request, max_number_of_messages=most)
