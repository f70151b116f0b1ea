"""The stages of a run, one after the other, over its ports; Dagster's ops are made of these.

What a stage holds when it fails is released, and no value of anybody's data leaves it.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from pipeline.consume.batch import EVIDENCE, NOTHING, Account, Decoded, Reject
from pipeline.consume.calls import Outcome as Enriched
from pipeline.consume.enrich import enrich as add_to_each
from pipeline.consume.held import Held
from pipeline.consume.load import Load, settle
from pipeline.consume.outcomes import Outcome, entries_of, outcomes
from pipeline.consume.ports import CHANCE, CLOCK, Chance, Clock, Trace, Traces, Warehouse
from pipeline.consume.receive import Received, receive
from pipeline.consume.settlement import decode_batch
from pipeline.consume.suspects import part, portions
from pipeline.contract import Feed
from pipeline.crash_points import CrashPoint, reach
from pipeline.errors import (
    EnrichmentError,
    PipelineError,
    TableMismatch,
    UnexpectedError,
    values_kept_out,
)
from pipeline.masking.keyring import Keyring
from pipeline.masking.mask import mask as mask_frame
from pipeline.masking.vault import seal
from pipeline.messages import Message, Queue

_FAILURES = 3  # portions that fail: then it is not the messages

_log = logging.getLogger(__name__)


def _new_batch_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Ports:
    """What a run works with.

    Attributes:
        warehouse: Where the batch goes.
        open_queue: Finds the queue; asked only once the warehouse was found to be well.
        clock: The time.
        chance: Where jitter comes from.
        traces: Told what becomes of each batch, where traces are asked for.
    """

    warehouse: Warehouse
    open_queue: Callable[[], Queue]
    clock: Clock = CLOCK
    chance: Chance = CHANCE
    traces: Traces | None = None


@dataclass(frozen=True, slots=True)
class InHand:
    """A batch on its way from stage to stage, in memory only.

    Attributes:
        feed: The contract.
        ports: The outside.
        held: The receipts, kept alive.
        batch: The messages, decoded; once masked, the frame holds masked values only.
        keyring: The keys.
        began: When its receiving began, by the clock of the ports.
        seconds: The time that each stage has taken.
        more: Whether more messages may be waiting.
        suspects: What was received and is not in the batch: delivered often, and never settled.
        outcome: What the enrichment came to, where the feed has one.
        account: What became of the messages, once it is committed.
        batch_id: Under which the account is kept.
        trace: The batch's, where there is one.
    """

    feed: Feed
    ports: Ports
    held: Held
    batch: Decoded
    keyring: Keyring
    began: float
    seconds: dict[str, float]
    more: bool
    suspects: tuple[Message, ...] = ()
    outcome: Enriched | None = None
    account: Account | None = None
    batch_id: str = field(default_factory=_new_batch_id)
    trace: Trace | None = None

    @property
    def ids(self) -> dict[str, str | None]:
        """What its lines of the log are known by, besides feed and run."""
        trace_id = None if self.trace is None else self.trace.trace_id
        return {"batch": self.batch_id, "trace_id": trace_id}

    def __repr__(self) -> str:
        return f"InHand({self.batch.received} messages)"


@dataclass(frozen=True, slots=True)
class Taken:
    """A batch as it was received.

    Attributes:
        feed: The contract.
        ports: The outside.
        held: The receipts, kept alive.
        received: The messages.
        keyring: The keys.
        began: When its receiving began, by the clock of the ports.
        seconds: The time that receiving has taken.
        batch_id: Under which the account is to be kept.
        trace: The batch's, where there is one.
    """

    feed: Feed
    ports: Ports
    held: Held
    received: Received
    keyring: Keyring
    began: float
    seconds: float
    batch_id: str
    trace: Trace | None = None


def extract(feed: Feed, ports: Ports) -> InHand:
    """Makes sure of the warehouse, then receives a batch, decodes and validates it.

    Raises:
        PipelineError: Whatever was received has been released.
    """
    return decode(take(feed, ports))


def take(feed: Feed, ports: Ports, over: threading.Event | None = None) -> Taken:
    """Makes sure of the warehouse, then receives a batch.

    Args:
        feed: The contract.
        ports: The outside.
        over: Set by whoever wants the receiving to end before.

    Raises:
        PipelineError: Whatever was received has been released.
    """
    with values_kept_out(feed=feed.name, stage="extract"):
        reach(CrashPoint.BEFORE_CHECK)
        keyring = ports.warehouse.check()
        reach(CrashPoint.AFTER_CHECK)
        held = Held(queue := ports.open_queue(), feed.limits, ports.clock)
        began = ports.clock.monotonic()
        with held.released_on_failure():
            received = receive(queue, held, feed.limits, ports.clock, over)
            ended, batch_id = ports.clock.monotonic(), _new_batch_id()
            trace = None
            if ports.traces is not None and received.messages:
                trace = ports.traces.begin(batch_id, received.messages, began, ended)
    return Taken(feed, ports, held, received, keyring, began, ended - began, batch_id, trace)


def decode(taken: Taken) -> InHand:
    """Decodes and validates what was received.

    Raises:
        PipelineError: Everything has been released.
    """
    feed, clock = taken.feed, taken.ports.clock
    started = clock.monotonic()
    with (
        values_kept_out(feed=feed.name, stage="extract"),
        _told_to(taken.trace, "decode", clock),
        taken.held.released_on_failure(),
    ):
        messages, suspects = part(feed, taken.received.messages)
        batch = decode_batch(feed, messages, taken.keyring.settlement_key(feed.name))
        seconds = {"receive": taken.seconds, "decode": clock.monotonic() - started}
        reach(CrashPoint.AFTER_DECODE)
    return InHand(
        feed=feed,
        ports=taken.ports,
        held=taken.held,
        batch=batch,
        keyring=taken.keyring,
        began=taken.began,
        seconds=seconds,
        more=taken.received.more,
        suspects=suspects,
        batch_id=taken.batch_id,
        trace=taken.trace,
    )


def enrich(hand: InHand) -> InHand:
    """Calls the feed's enrichment for each record; gives back what it could not be done for.

    Raises:
        PipelineError: Everything has been released.
    """
    with _stage(hand, "enrich"):
        hand = _enrich(hand)
        reach(CrashPoint.AFTER_ENRICH)
    return hand


def mask(hand: InHand) -> InHand:
    """Masks each column by its policy.

    Raises:
        PipelineError: Everything has been released.
    """
    with _stage(hand, "mask"):
        hand = _mask(hand)
        reach(CrashPoint.AFTER_MASK)
    return hand


def load(hand: InHand, run_id: str) -> InHand:
    """Settles the batch in one transaction; when this returns, it has committed.

    Raises:
        PipelineError: Everything has been released; whether it has committed may not be known.
    """
    with _stage(hand, "load"):
        return _load(hand, run_id)


def acknowledge(hand: InHand) -> int:
    """Deletes the batch from the queue, now that it is committed; how many messages SQS kept."""
    started = hand.ports.clock.monotonic()
    with _told_to(hand.trace, "acknowledge", hand.ports.clock):
        left = hand.held.acknowledge(keep=hand.suspects)
    hand.seconds["acknowledge"] = hand.ports.clock.monotonic() - started
    reach(CrashPoint.AFTER_ACKNOWLEDGE)
    return left


def isolate(hand: InHand, run_id: str) -> tuple[Account, int]:
    """Settles the suspects of a batch, in portions that are each committed and acknowledged.

    One of them may be what ended the runs before. Whatever it does, it costs only its own portion
    another delivery, and with each delivery the portions are smaller: docs/reliability.md.

    Returns:
        What became of them, and how many of those that are committed SQS kept.

    Raises:
        PipelineError: A portion failed; what was not committed has been released.
    """
    left, settled = list(hand.suspects), list[Account]()
    failures: list[PipelineError] = []
    kept = 0
    with _stage(hand, "isolate", of=len(left), settled=settled):
        for portion in portions(hand.feed, hand.suspects):
            left = left[len(portion) :]
            # Where nothing of this run went well yet, one failure is enough to doubt the others.
            before = [*settled, hand.account] if hand.account else settled
            evidence = EVIDENCE if any(each.loaded for each in before) else 1
            try:
                settled.append(_settle_apart(hand, portion, run_id, evidence=evidence))
            except (UnexpectedError, TableMismatch, EnrichmentError) as error:
                failures.append(error)
                hand.held.give_back(portion)
                if len(failures) == _FAILURES:
                    break
            else:
                kept += hand.held.acknowledge(keep=left)
        if failures:
            raise failures[0]
    return sum(settled, NOTHING), kept


def _settle_apart(
    hand: InHand, portion: Sequence[Message], run_id: str, *, evidence: int
) -> Account:
    with values_kept_out(feed=hand.feed.name, stage="isolate"):
        batch = decode_batch(hand.feed, portion, hand.keyring.settlement_key(hand.feed.name))
        apart = replace(hand, batch=batch, suspects=(), batch_id=_new_batch_id())
        if hand.feed.enrichment is not None:
            apart = _enrich(apart, evidence)
        settled = _load(_mask(apart), run_id, evidence).account
        assert settled is not None  # noqa: S101 - it has been set right there
        return settled


def _enrich(hand: InHand, evidence: int = EVIDENCE) -> InHand:
    settled = hand.ports.warehouse.find_settled([entry.key for entry in hand.batch.entries])
    # After the last beat a message stays hidden for half of its time and more: that much is left
    # to load what was enriched.
    room = hand.held.seconds_left - hand.feed.limits.visibility_seconds
    # The calls run in an event loop, which goes by the machine's own clock.
    until = time.monotonic() + room
    added = add_to_each(hand.feed, hand.batch, settled, until, evidence=evidence)
    hand.held.give_back(added.released)
    if hand.trace is not None:
        released = {each.receipt: Outcome.RELEASED for each in added.released}
        hand.trace.became(released, hand.ports.clock.monotonic())
    return replace(hand, batch=added.batch, outcome=added.outcome)


def _mask(hand: InHand) -> InHand:
    frame = mask_frame(hand.feed, hand.batch.frame, hand.keyring)
    sealed = seal(hand.feed, hand.batch.frame, hand.keyring)
    return replace(hand, batch=replace(hand.batch, frame=frame, vault=sealed))


def _load(hand: InHand, run_id: str, evidence: int = EVIDENCE) -> InHand:
    task = Load(hand.feed, hand.batch, hand.keyring, run_id, evidence, hand.batch_id)
    ports = hand.ports
    tell = None if hand.trace is None else _outcomes_for(hand.trace, hand)
    account = settle(task, ports.warehouse, ports.clock, chance=ports.chance, rejected=tell)
    return replace(hand, account=account)


def _outcomes_for(trace: Trace, hand: InHand) -> Callable[[Sequence[Reject]], None]:
    """What tells the trace, once the batch has committed, what became of its messages."""
    keys = [entry.key for entry in entries_of(hand.batch, trace.wanted)]
    settled = frozenset[bytes]()
    if keys:
        with suppress(PipelineError):  # the transaction that follows will tell
            settled = hand.ports.warehouse.find_settled(keys)

    def tell(rejects: Sequence[Reject]) -> None:
        became = outcomes(hand.batch, trace.wanted, rejects=rejects, settled=settled)
        trace.became(became, hand.ports.clock.monotonic())

    return tell


@contextmanager
def _stage(
    hand: InHand, name: str, *, of: int | None = None, settled: Sequence[Account] = ()
) -> Iterator[None]:
    """A stage over a batch in hand: timed, released where it fails, and no value gets out.

    Args:
        hand: The batch.
        name: The name of the stage.
        of: With how many messages it begins, where not with those of the batch.
        settled: What has been committed within the stage, for the account of one that fails.
    """
    started = hand.ports.clock.monotonic()
    with values_kept_out(feed=hand.feed.name, stage=name):
        try:
            with _told_to(hand.trace, name, hand.ports.clock), hand.held.released_on_failure():
                yield
        except BaseException:
            done = sum(settled, NOTHING)
            rest = (hand.batch.received if of is None else of) - done.received
            _log.error("%s", done + Account(received=rest, released=rest))
            raise
    hand.seconds[name] = hand.ports.clock.monotonic() - started


@contextmanager
def _told_to(trace: Trace | None, stage: str, clock: Clock) -> Iterator[None]:
    """A stage, as the trace of its batch is told of it."""
    if trace is None:
        yield
        return
    began = clock.monotonic()
    try:
        yield
    except BaseException as error:
        trace.fail(stage, error)
        raise
    trace.stage(stage, began, clock.monotonic())
