"""Calls the enrichment of a feed for many records at once, each with its attempts and its time."""

import asyncio
import logging
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from pipeline.decode import Enriched, Row
from pipeline.enrichment import Enrichment, Function, Record
from pipeline.errors import EnrichmentError
from pipeline.reasons import Refused

# So many records, or two for each call under way, that all met an outage, and no other record so
# far: then the service is down, and to go on asking would only take the time.
_HOPELESS = 100
_CLOSING = 3.0  # seconds for a session to close; what it was open for is done by then

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record was not enriched.

    Attributes:
        cause: What it is called where failures are told: types and places, never a text.
        outage: Whether the service is at fault, not the record.
        field: The column whose rule the result breaks, where one does.
    """

    cause: str
    outage: bool = False
    field: str | None = None


@dataclass(slots=True)
class Outcome:
    """What became of the records, by their place in the batch.

    Attributes:
        rows: What was added to each.
        failures: Why nothing was. What is in neither there was no time for.
        attempts: Calls in all.
        seconds: How long each successful call took.
    """

    rows: dict[int, Row] = field(default_factory=dict)
    failures: dict[int, Failure] = field(default_factory=dict)
    attempts: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        """The median time of a successful call, in milliseconds."""
        return 1000 * statistics.median(self.seconds) if self.seconds else 0.0

    @property
    def causes(self) -> str:
        """What the failures were, the commonest first."""
        counted = Counter(failure.cause for failure in self.failures.values())
        return ", ".join(f"{cause}: {n}" for cause, n in counted.most_common(5))


async def call_each(
    enrichment: Enrichment, reader: Enriched, records: Iterator[tuple[int, Record]], until: float
) -> Outcome:
    """Calls the function for each record, as many at once as the enrichment allows.

    Args:
        enrichment: What is called, and how.
        reader: Reads what it gives.
        records: Each with its place; taken when its turn comes, so that only those under way
            are held.
        until: The moment (`time.monotonic`) by which every call has ended; what is not done by
            then is left.

    Raises:
        EnrichmentError: The session could not be opened.
    """
    session = AsyncExitStack()
    function = await _open(enrichment, session, until)
    calls = _Calls(enrichment, reader, function, until)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(enrichment.concurrency):
                group.create_task(calls.work(records))
    finally:
        await _close(session)
    return calls.outcome


async def _open(enrichment: Enrichment, session: AsyncExitStack, until: float) -> Function:
    try:
        async with asyncio.timeout(until - time.monotonic()):
            function = await session.enter_async_context(enrichment.opened())
    except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold values
        raise EnrichmentError(
            f"the session of the enrichment was not opened ({_told(error)})",
            remedy="See whether its service is up; everything was released",
        ) from None
    _forget_cancellations()
    return function


async def _close(session: AsyncExitStack) -> None:
    """Closes a session; one that cannot be closed takes no result away."""
    try:
        async with asyncio.timeout(_CLOSING):
            await session.aclose()
    except BaseException as error:  # noqa: BLE001 - an exit there as well
        _log.error("the session of the enrichment was not closed (%s)", _told(error))


class _Calls:
    """What the workers share; they take turns in one thread."""

    def __init__(
        self, enrichment: Enrichment, reader: Enriched, function: Function, until: float
    ) -> None:
        self.outcome = Outcome()
        self._enrichment = enrichment
        self._reader = reader
        self._function = function
        self._until = until
        self._whole = asyncio.current_task()
        self._outages = 0
        self._outage_types: tuple[type[Exception], ...] = (TimeoutError, *enrichment.outages)
        self._hopeless = max(_HOPELESS, 2 * enrichment.concurrency)

    async def work(self, records: Iterator[tuple[int, Record]]) -> None:
        for place, record in records:
            if time.monotonic() >= self._until or self._is_hopeless() or self._is_to_end():
                return
            failure = await self._try(place, record)
            if failure is not None:
                self.outcome.failures[place] = failure
                self._outages += failure.outage

    def _is_hopeless(self) -> bool:
        failed = len(self.outcome.failures)
        return failed >= self._hopeless and self._outages == failed and not self.outcome.rows

    async def _try(self, place: int, record: Record) -> Failure | None:
        """Tries a record as often as there is time for; why it failed, if it did."""
        attempt = 1
        while True:
            failure = await self._call(place, record)
            if failure is None or attempt == self._enrichment.attempts:
                return failure
            pause = self._enrichment.pause(attempt) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
            if time.monotonic() + pause >= self._until:
                return Failure(failure.cause, outage=True)  # not all its attempts were made
            await asyncio.sleep(pause)
            attempt += 1

    async def _call(self, place: int, record: Record) -> Failure | None:
        self.outcome.attempts += 1
        started = time.monotonic()
        limit = min(self._enrichment.timeout_seconds, self._until - started)
        try:
            async with asyncio.timeout(limit) as patience:
                added = await self._function(dict(record))
            self.outcome.rows[place] = self._reader.read(added)
        except Refused as refused:
            return Failure(f"result {refused}, {refused.field}", patience.expired(), refused.field)
        except BaseException as error:  # a panic or an exit there costs one record
            if self._is_to_end():
                raise
            # Some code raises another exception where it is cancelled, here by the time limit.
            return Failure(_told(error), patience.expired() or self._is_outage(error))
        finally:
            if not self._is_to_end():
                _forget_cancellations()
        self.outcome.seconds.append(time.monotonic() - started)
        return None

    def _is_outage(self, error: BaseException) -> bool:
        """Whether an error is an outage, or a group of nothing else."""
        if isinstance(error, BaseExceptionGroup):
            return all(self._is_outage(each) for each in error.exceptions)
        return isinstance(error, self._outage_types)

    def _is_to_end(self) -> bool:
        """Whether all was cancelled, whatever the function has made of that.

        A worker's own cancellations do not tell: the function may leave some behind.
        """
        return self._whole is not None and self._whole.cancelling() > 0


def _forget_cancellations() -> None:
    """Takes back those that the code of the enrichment has left on this task.

    Before Python 3.13 a task group leaves one whenever it fails. The next time limit would take
    it for a cancellation of its own.
    """
    task = asyncio.current_task()
    while task is not None and task.uncancel():
        pass


def _told(error: BaseException) -> str:
    """The type of an error and where it was raised."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return type(error).__name__
    file = place.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f"{type(error).__name__} at {file}:{place.tb_lineno}"
