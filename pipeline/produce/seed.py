"""Puts events on a feed's queue, in full batches and with several threads."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from pipeline.errors import SeedError
from pipeline.messages import Event
from pipeline.resources.sqs import EVENT_ID, SqsQueue

_ENTRIES = 10
_BYTES = 2**20  # of one message and of one call, attributes included: the limit of SQS
_ATTEMPTS = 5
_FIRST_PAUSE = 0.05  # seconds; doubles
_THREADS = 4
_AHEAD = 2 * _THREADS  # calls that wait for a thread: bounds the memory, whatever the source


def seed(queue: SqsQueue, events: Iterable[Event], *, progress: Callable[[int], None]) -> int:
    """Sends the events; returns how many SQS has taken.

    Args:
        queue: Where to.
        events: What to send; read as it is sent.
        progress: Called with the number sent so far, after each call of SQS.

    Raises:
        SeedError: An event is too large, or SQS refused some again and again. What was sent
            before stays sent.
        QueueError: SQS did not do its work.
    """
    sent = 0
    waiting: set[Future[int]] = set()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="seed") as pool:
        for batch in _batches(events):
            waiting.add(pool.submit(_send, queue, batch))
            if len(waiting) < _AHEAD:
                continue
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            sent += sum(future.result() for future in done)
            progress(sent)
        for future in waiting:
            sent += future.result()
            progress(sent)
    return sent


def _send(queue: SqsQueue, batch: list[Event]) -> int:
    rest: tuple[Event, ...] = tuple(batch)
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_FIRST_PAUSE * 2**attempt)
        refusals = queue.send(rest)
        if refusals.final:
            raise SeedError(
                f"SQS refused {len(refusals.final)} events for what they hold",
                remedy="Look for characters that XML 1.0 does not allow; some others were sent",
            )
        rest = refusals.retry
        if not rest:
            return len(batch)
    raise SeedError(
        f"SQS refused {len(rest)} events {_ATTEMPTS} times",
        remedy="Seed again later; an event that arrives twice is loaded once",
    )


def _batches(events: Iterable[Event]) -> Iterator[list[Event]]:
    batch: list[Event] = []
    size = 0
    for place, event in enumerate(events, start=1):
        weight = _weight(event)
        if weight > _BYTES:
            raise SeedError(
                f"event {place} has {weight} bytes, more than the {_BYTES} that SQS takes",
                remedy="Leave it out; those before it may have been sent",
            )
        if len(batch) == _ENTRIES or size + weight > _BYTES:
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += weight
    if batch:
        yield batch


def _weight(event: Event) -> int:
    """The bytes that SQS counts: body, and each attribute's name, type and value."""
    attribute = len(EVENT_ID) + len("String") + len(event.event_id.encode())
    return len(event.body.encode(errors="surrogatepass")) + attribute
