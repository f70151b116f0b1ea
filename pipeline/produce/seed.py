"""Puts events on a feed's queue, in full batches and with several threads."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from pipeline.errors import SeedError
from pipeline.messages import Event
from pipeline.produce.dispatch import BYTES, dispatch, portions, weigh
from pipeline.produce.stamping import stamped
from pipeline.resources.sqs import SqsQueue

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
        for batch in portions(_weighed(stamped(queue.feed, event) for event in events)):
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
    refusals = dispatch(queue, batch).refusals
    if refusals.final:
        raise SeedError(
            f"SQS refused {len(refusals.final)} events for what they hold",
            remedy="Look for characters that XML 1.0 does not allow; some others were sent",
        )
    if refusals.retry:
        raise SeedError(
            f"SQS refused {len(refusals.retry)} events again and again",
            remedy="Seed again later; an event that arrives twice is loaded once",
        )
    return len(batch)


def _weighed(events: Iterable[Event]) -> Iterator[Event]:
    for place, event in enumerate(events, start=1):
        if (weight := weigh(event)) > BYTES:
            raise SeedError(
                f"event {place} has {weight} bytes, more than the {BYTES} that SQS takes",
                remedy="Leave it out; those before it may have been sent",
            )
        yield event
