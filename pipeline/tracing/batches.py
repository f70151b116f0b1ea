"""The trace of a batch: its stages, and each sampled message in the trace of its sender."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, Status, StatusCode, Tracer

from pipeline.contract import Feed
from pipeline.errors import PipelineError
from pipeline.messages import Message
from pipeline.trace_context import TraceContext, read
from pipeline.tracing.telling import (
    BATCH,
    ERROR,
    FEED,
    MESSAGE_ID,
    MESSAGES,
    OUTCOME,
    RUN,
    below,
    context_of,
    messaging,
    remote,
    unharmed,
)

MOST: Final = 128
"""Messages of one batch that are linked, and that have a span of their own."""

_NANO: Final = 1_000_000_000


class BatchTraces:
    """The traces of the batches of one run.

    Args:
        tracer: Makes the spans.
        send: Sends what waits.
        feed: Whose batches.
        run_id: The run.
    """

    def __init__(self, tracer: Tracer, send: Callable[[], None], feed: Feed, run_id: str) -> None:
        self._tracer = tracer
        self._send = send
        self._feed = feed
        self._run_id = run_id

    def begin(
        self, batch_id: str, messages: Sequence[Message], began: float, now: float
    ) -> "BatchTrace | None":
        """As `pipeline.consume.ports.Traces`."""
        with unharmed:
            chosen = _choose(messages)
            # The clock of the run knows no date.
            zero = time.time_ns() - int(now * _NANO)
            told = {FEED: self._feed.name, RUN: self._run_id, BATCH: batch_id}
            trace = BatchTrace(self._tracer, self._feed, told, chosen=chosen, zero=zero)
            trace.begin(len(messages), began)
            trace.stage("receive", began, now)
            return trace
        return None

    def flush(self) -> None:
        """As `pipeline.consume.ports.Traces`."""
        self._send()


class BatchTrace:
    """One batch.

    Args:
        tracer: Makes the spans.
        feed: Whose batch.
        told: What each span says.
        chosen: The messages that are traced, with the contexts of their senders.
        zero: When the clock of the run stood at 0, in nanoseconds since the epoch.
    """

    def __init__(
        self,
        tracer: Tracer,
        feed: Feed,
        told: Mapping[str, str],
        *,
        chosen: Mapping[str, tuple[Message, TraceContext]],
        zero: int,
    ) -> None:
        self._tracer = tracer
        self._feed = feed
        self._told = told
        self._chosen = chosen
        self._zero = zero
        self._became: dict[str, tuple[str, int]] = {}
        self._span: Span = INVALID_SPAN
        self._over = False

    def begin(self, received: int, began: float) -> None:
        """Begins the span of the batch."""
        self._span = self._tracer.start_span(
            f"ingest {self._feed.name}",
            context=Context(),
            kind=SpanKind.INTERNAL,
            attributes={**self._told, MESSAGES: received},
            links=[Link(remote(each)) for each in {each for _, each in self._chosen.values()}],
            start_time=self._at(began),
        )

    @property
    def trace_id(self) -> str | None:
        """As the port says."""
        context = context_of(self._span)
        return context.trace_id if context.sampled else None

    @property
    def wanted(self) -> Collection[str]:
        """As the port says."""
        return self._chosen.keys()

    def stage(self, name: str, began: float, ended: float) -> None:
        """As the port says."""
        with unharmed:
            is_receive = name == "receive"
            span = self._tracer.start_span(
                f"receive {self._feed.queue}" if is_receive else name,
                context=below(self._span.get_span_context()),
                kind=SpanKind.CLIENT if is_receive else SpanKind.INTERNAL,
                attributes=messaging("receive", self._feed) if is_receive else self._told,
                start_time=self._at(began),
            )
            span.end(self._at(ended))

    def became(self, outcomes: Mapping[str, str], at: float) -> None:
        """As the port says."""
        moment = self._at(at)
        self._became |= {receipt: (outcome, moment) for receipt, outcome in outcomes.items()}

    def end(self, counts: Mapping[str, int]) -> None:
        """As the port says."""
        with unharmed:
            self._span.set_attributes({f"pipeline.{name}": n for name, n in counts.items()})
        self._end("duplicate")

    def fail(self, stage: str, error: BaseException) -> None:
        """As the port says."""
        with unharmed:
            kind = error.code if isinstance(error, PipelineError) else type(error).__name__
            self._span.set_status(Status(StatusCode.ERROR, f"{stage} failed"))
            self._span.set_attribute(ERROR, kind)
        self._end("released")

    def _end(self, others: str) -> None:
        """Ends each span, once; what became of the messages of which nothing was told."""
        if self._over:
            return
        self._over = True
        with unharmed:
            now = time.time_ns()
            for receipt, (message, sender) in self._chosen.items():
                outcome, moment = self._became.get(receipt, (others, now))
                self._tell(message, sender, outcome, moment)
            self._span.end(now)

    def _tell(self, message: Message, sender: TraceContext, outcome: str, ended: int) -> None:
        """The span of one message, in the trace of its sender."""
        span = self._tracer.start_span(
            f"process {self._feed.queue}",
            context=below(remote(sender)),
            kind=SpanKind.CONSUMER,
            attributes={
                **messaging("process", self._feed),
                **self._told,
                MESSAGE_ID: message.message_id,
                OUTCOME: outcome,
                "pipeline.receive_count": message.receive_count,
            },
            links=[Link(self._span.get_span_context())],
            start_time=_nanoseconds(message.received_at),
        )
        span.end(ended)

    def _at(self, moment: float) -> int:
        return self._zero + int(moment * _NANO)


def _choose(messages: Sequence[Message]) -> dict[str, tuple[Message, TraceContext]]:
    """The first messages whose senders keep their spans, by receipt."""
    chosen: dict[str, tuple[Message, TraceContext]] = {}
    for message in messages:
        context = read(message.trace)
        if context is not None and context.sampled:
            chosen[message.receipt] = message, context
            if len(chosen) == MOST:
                break
    return chosen


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * _NANO)
