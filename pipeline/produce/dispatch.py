"""Sends events in full calls of SQS, and tells of each whether SQS has it."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from pipeline.messages import Event, Refusals, Sent
from pipeline.resources.sqs import attributes_of

ENTRIES = 10
"""Events of one call, the limit of SQS."""

BYTES = 2**20
"""Of one event and of one call, attributes included: the limit of SQS."""

_ATTEMPTS = 5
_FIRST_PAUSE = 0.05  # seconds; doubles


class Outlet(Protocol):
    """Where events go; `pipeline.resources.sqs.SqsQueue`, for one."""

    def send(self, events: Sequence[Event]) -> Sent:
        """Sends up to 10 events of at most 1 MiB together."""


def weigh(event: Event) -> int:
    """The bytes that SQS counts: body, and each attribute's name, type and value."""
    carried = sum(
        len(name) + len("String") + len(value.encode(errors="surrogatepass"))
        for name, value in attributes_of(event).items()
    )
    return len(event.body.encode(errors="surrogatepass")) + carried


def portions(events: Iterable[Event]) -> Iterator[list[Event]]:
    """The events in the portions that one call takes, each as full as it may be.

    Args:
        events: Read as they are asked for; none weighs more than `BYTES`.
    """
    portion: list[Event] = []
    size = 0
    for event in events:
        weight = weigh(event)
        if portion and (len(portion) == ENTRIES or size + weight > BYTES):
            yield portion
            portion, size = [], 0
        portion.append(event)
        size += weight
    if portion:
        yield portion


def dispatch(queue: Outlet, events: Sequence[Event]) -> Sent:
    """Sends one portion; what SQS refuses for the moment is tried again, with pauses.

    Returns:
        Of each event the message id; `refusals.retry` holds what SQS refused to the last.

    Raises:
        QueueError: SQS refused a call, or did not answer: what it has taken is not known, and
            the same event ids again make the same events.
    """
    message_ids: list[str | None] = [None] * len(events)
    final: tuple[Event, ...] = ()
    waiting = list(range(len(events)))
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_FIRST_PAUSE * 2**attempt)
        sent = queue.send([events[place] for place in waiting])
        for place, message_id in zip(waiting, sent.message_ids, strict=True):
            message_ids[place] = message_id
        final += sent.refusals.final
        again = {id(event) for event in sent.refusals.retry}
        waiting = [place for place in waiting if id(events[place]) in again]
        if not waiting:
            break
    retry = tuple(events[place] for place in waiting)
    return Sent(tuple(message_ids), Refusals(retry=retry, final=final))
