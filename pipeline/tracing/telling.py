"""What spans have in common: contexts, the names of attributes, and that they harm nothing."""

import functools
import logging
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from pipeline.contract import Feed
from pipeline.trace_context import TraceContext

FEED: Final = "pipeline.feed"
RUN: Final = "pipeline.run_id"
BATCH: Final = "pipeline.batch"
OUTCOME: Final = "pipeline.outcome"
# Source of the others: OpenTelemetry semantic conventions, messaging and HTTP.
MESSAGE_ID: Final = "messaging.message.id"
MESSAGES: Final = "messaging.batch.message_count"
ERROR: Final = "error.type"

_log: Final = logging.getLogger(__name__)


def messaging(operation: str, feed: Feed) -> dict[str, AttributeValue]:
    """The attributes of a span that does something with messages of a feed's queue."""
    return {
        "messaging.system": "aws_sqs",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": feed.queue,
        FEED: feed.name,
    }


def context_of(span: Span) -> TraceContext:
    """The context of a span, as it travels."""
    context = span.get_span_context()
    return TraceContext(
        f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags.sampled
    )


def remote(context: TraceContext) -> SpanContext:
    """The context of another process's span, as the SDK has it."""
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT),
    )


def below(parent: SpanContext) -> Context:
    """Where a span begins that is to be a child of another one."""
    return set_span_in_context(NonRecordingSpan(parent), Context())


class Unharmed:
    """Lets no error of a trace reach the work that it is about; the first one is logged."""

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> bool:
        """Whether it was an error, of a trace; what ends the process goes on."""
        if isinstance(error, Exception):
            _complain(type(error).__name__)
            return True
        return False


unharmed: Final = Unharmed()


@functools.cache
def _complain(kind: str) -> None:
    _log.warning("a trace is not complete (%s)", kind)
