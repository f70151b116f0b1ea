"""What is done for each record on its way: a call that adds values to it."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import KW_ONLY, dataclass
from typing import Final

from pipeline.types import Scalar

ENRICHED: Final = "@enriched."
"""How the path of a field begins whose value the enrichment adds; no producer sends it."""

Record = Mapping[str, Scalar | None]
"""The values of a message by path, in canonical form (a `JsonObject` as its text)."""

Function = Callable[[Record], Awaitable[Mapping[str, object]]]
"""Gives what is added, as a JSON object would hold it, by path without `ENRICHED`."""

_QUEUES_LIMIT = 20  # deliveries after which the queues that we make turn to the dead-letter queue
_FIRST_PAUSE = 0.2  # seconds; doubles with each attempt
_JITTER = 1.5  # the factor that a pause may grow by


@dataclass(frozen=True, slots=True)
class Enrichment:
    """An async function that is applied to each record between decoding and masking.

    It may run more than once for a record (a run that died is repeated), and for several records
    at once; what it adds should depend on the record alone. Each run has an event loop of its own.

    Attributes:
        function: The function; None where a session gives it.
        session: An async context manager that gives the function, for one that needs a client or
            a pool: entered at the beginning of each run, left at its end.
        concurrency: Calls that are under way at once.
        timeout_seconds: How long one call may take.
        attempts: How often a record is tried in one run, with pauses that grow.
        deliveries: From this delivery on a record that fails goes to the quarantine.
        outages: The exceptions that say that the service is at fault, not the record: such a
            record is released, never quarantined. Time-outs and lost connections are `OSError`s.
    """

    function: Function | None = None
    _: KW_ONLY
    session: Callable[[], AbstractAsyncContextManager[Function]] | None = None
    concurrency: int = 500
    timeout_seconds: float = 10.0
    attempts: int = 3
    deliveries: int = 5
    outages: tuple[type[Exception], ...] = (OSError,)

    @property
    def longest_seconds(self) -> float:
        """How long all attempts of one record may take together, pauses included."""
        pauses = sum(_JITTER * self.pause(attempt) for attempt in range(1, self.attempts))
        return self.attempts * self.timeout_seconds + pauses

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Function]:
        """The function, for the length of a run."""
        if self.session is not None:
            async with self.session() as function:
                yield function
        else:
            assert self.function is not None  # noqa: S101 - one of the two, by the contract
            yield self.function

    def pause(self, attempt: int) -> float:
        """Seconds to wait after that attempt (the first is 1), before jitter of up to half."""
        return float(_FIRST_PAUSE * 2 ** (attempt - 1))

    def problems(self, hold_seconds: float) -> Iterator[tuple[str, str]]:
        """Each broken rule: the name of the attribute and what it must be.

        Args:
            hold_seconds: What a run has for enriching, at the least.
        """
        if (self.function is None) == (self.session is None):
            yield "function", "must be given, or session, and not both"
        if self.function is not None and not inspect.iscoroutinefunction(self.function):
            yield "function", "must be an async function"
        for name in ("concurrency", "attempts", "deliveries"):
            if getattr(self, name) < 1:
                yield name, "must be at least 1"
        if not self.timeout_seconds > 0:
            yield "timeout_seconds", "must be positive"
        if self.deliveries >= _QUEUES_LIMIT:
            limit = f"must be below {_QUEUES_LIMIT}: from then on a queue gives up on a message"
            yield "deliveries", limit
        if not self.longest_seconds <= hold_seconds:
            yield "attempts", "must end, pauses and all, within what hold_seconds leaves of a run"
