"""Enriches a batch: what could not be is given back or quarantined, the rest goes on.

Which record ends where, and why: docs/enrichment.md.
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Collection, Coroutine, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.consume.batch import EVIDENCE, Decoded, Entry, Reject
from pipeline.consume.calls import Outcome, call_each
from pipeline.contract import Feed
from pipeline.decode import Enriched
from pipeline.enrichment import Record
from pipeline.errors import EnrichmentError
from pipeline.messages import Message
from pipeline.reasons import Reason

if TYPE_CHECKING:
    import pandas as pd

_LOOK = 0.2  # seconds: a thread that waits does not notice a signal that another one took
_ENDS = (SystemExit, KeyboardInterrupt)  # what asyncio lets out of a loop, from any task
_GRACE = 5.0  # seconds for calls that were cancelled, and for a loop that is late

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Added:
    """A batch after its enrichment.

    Attributes:
        batch: What goes on; it counts what is released, and no longer holds it.
        released: What is to be given back.
        outcome: What the calls came to.
    """

    batch: Decoded
    released: tuple[Message, ...]
    outcome: Outcome


def enrich(
    feed: Feed, batch: Decoded, settled: Collection[bytes], until: float, *, evidence: int
) -> Added:
    """Adds to each record what the feed's enrichment gives for it.

    Args:
        feed: The contract; it has an enrichment.
        batch: The batch as it was decoded.
        settled: Keys that need none.
        until: The moment (`time.monotonic`) by which it is done.
        evidence: From how many records on nothing is quarantined if not one could be enriched.

    Raises:
        EnrichmentError: Not one of ten or more records could be enriched, or the function keeps
            its event loop from going on.
    """
    enrichment = feed.enrichment
    assert enrichment is not None  # noqa: S101 - the caller has looked
    places = [at for at, entry in enumerate(batch.entries) if entry.key not in settled]
    calls = call_each(enrichment, Enriched(feed), _records(feed, batch, places), until)
    outcome = _run_apart(calls, until)
    if len(places) >= EVIDENCE and not outcome.rows:
        raise EnrichmentError(
            f"none of {len(places)} records could be enriched ({outcome.causes or 'no time'})",
            remedy="See whether its service is up; everything was released, nothing quarantined",
            feed=feed.name,
        )
    failed = [at for at in places if at not in outcome.rows]
    is_in_doubt = len(places) >= evidence and not outcome.rows
    deliveries = math.inf if is_in_doubt else enrichment.deliveries
    rejects, put_off = _sort(batch, outcome, failed, deliveries=deliveries)
    # A repeat may be the same message under a newer receipt: its delete would remove the message.
    released = tuple(message for entry in put_off for message in batch.deliveries(entry))
    kept = sorted(set(range(len(batch.entries))).difference(failed))
    batch = replace(
        batch,
        frame=_frame(feed, batch.frame, outcome, kept=kept),
        entries=tuple(batch.entries[at] for at in kept),
        rejects=(*batch.rejects, *rejects),
        released=len(released),
        duplicates=batch.duplicates - (len(released) - len(put_off)),
        unknown=batch.unknown + sum(row.unknown for row in outcome.rows.values()),
    )
    return Added(batch, released, outcome)


def _records(feed: Feed, batch: Decoded, places: list[int]) -> Iterator[tuple[int, Record]]:
    """The raw values by path, one record after the other, as copies."""
    fields = {each.path: each for each in reversed(feed.fields) if not each.enriched}
    columns = [batch.frame[each.name].tolist() for each in fields.values()]
    rows = list(zip(*columns, strict=True))
    for at in places:
        values = (value.copy() if isinstance(value, list) else value for value in rows[at])
        yield at, dict(zip(fields, values, strict=True))


def _sort(
    batch: Decoded, outcome: Outcome, failed: list[int], *, deliveries: float
) -> tuple[list[Reject], list[Entry]]:
    """Of what could not be enriched: what is quarantined, and what is given back."""
    rejects: list[Reject] = []
    put_off: list[Entry] = []
    for at in failed:
        entry, failure = batch.entries[at], outcome.failures.get(at)
        if failure is None or failure.outage or entry.message.receive_count < deliveries:
            put_off.append(entry)
        else:
            rejects.append(Reject(entry, Reason.ENRICHMENT_FAILED, failure.field))
    return rejects, put_off


def _frame(
    feed: Feed, frame: "pd.DataFrame", outcome: Outcome, *, kept: list[int]
) -> "pd.DataFrame":
    """The rows that go on, with what was added."""
    import pandas as pd  # noqa: PLC0415 - late, as in pipeline.masking.mask

    names = [each.name for each in feed.fields if each.enriched]
    nothing = (None,) * len(names)
    values = [row.values if (row := outcome.rows.get(at)) else nothing for at in kept]
    added = pd.DataFrame(values, columns=names, dtype=object, index=kept)
    return frame.iloc[kept].assign(**{name: added[name] for name in names})


def _run_apart(calls: Coroutine[Any, Any, Outcome], until: float) -> Outcome:
    """Runs the calls in a thread and an event loop of their own.

    This thread only waits: what interrupts it (Dagster raises an exception here on SIGTERM) hits
    neither the loop nor a call, and ends them in order. A call that cannot be ended does not keep
    anybody from releasing the batch.
    """
    done: Future[Outcome] = Future()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(_withhold)
    task = loop.create_task(calls)
    thread = threading.Thread(target=_run, args=(loop, task, done), name="enrich", daemon=True)
    try:
        thread.start()
        while not wait([done], _LOOK).done:
            if time.monotonic() > until + _GRACE:
                raise EnrichmentError(
                    "the enrichment blocks its event loop, or does not let itself be cancelled",
                    remedy="Its function is to await what takes time; everything was released",
                )
        return done.result()
    finally:
        # The loop may be closed by now: then everything has ended.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(task.cancel)
        thread.join(_GRACE)


def _run(
    loop: asyncio.AbstractEventLoop, task: asyncio.Task[Outcome], done: Future[Outcome]
) -> None:
    """The thread: runs the loop until the task has ended, then closes it."""
    with (
        contextlib.suppress(*_ENDS),  # of tasks that are left, and are cancelled now
        asyncio.Runner(loop_factory=lambda: loop) as runner,
    ):
        try:
            done.set_result(_run_to_its_end(runner.get_loop(), task))
        except Exception as error:  # noqa: BLE001 - the waiting thread raises it
            done.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - nobody strips these of their text
            told = f"the enrichment ended its event loop ({type(error).__name__})"
            remedy = "Look for what its session and its function end; everything was released"
            done.set_exception(EnrichmentError(told, remedy=remedy))


def _run_to_its_end(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Outcome]) -> Outcome:
    """Runs a task, whatever ends the loop meanwhile.

    An exit in a task or a callback of the function ends the loop, and goes to whoever awaits that
    task as well: there it costs one record. A real Ctrl-C arrives in the main thread.
    """
    while not task.done():
        # RuntimeError: the function has stopped the loop.
        with contextlib.suppress(*_ENDS, RuntimeError):
            loop.run_until_complete(task)
    return task.result()


def _withhold(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tells the type of what a task of the function raised unseen; its text may hold values."""
    _log.error("a task of the enrichment was left with %s", type(context.get("exception")).__name__)
