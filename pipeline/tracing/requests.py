"""The trace of a request of the REST service, and of the messages that it sends."""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from pipeline.contract import Feed
from pipeline.trace_context import read
from pipeline.tracing.telling import (
    ERROR,
    FEED,
    MESSAGE_ID,
    MESSAGES,
    OUTCOME,
    below,
    context_of,
    messaging,
    remote,
    unharmed,
)

_SERVER_ERROR = 500


class RequestTrace:
    """One request, from its headers to its answer.

    Args:
        tracer: Makes the spans.
        traceparent: The caller's header. One that is not exactly that is as none.

    Attributes:
        trace_id: Of the spans, where they are kept; else None.
    """

    def __init__(self, tracer: Tracer, traceparent: bytes | None) -> None:
        self._tracer = tracer
        given = None if traceparent is None else traceparent.decode("latin-1")
        before = read(given)
        self._span = tracer.start_span(
            "POST",
            context=Context() if before is None else below(remote(before)),
            kind=SpanKind.SERVER,
        )
        self._sending: Span | None = None
        context = context_of(self._span)
        self.trace_id = context.trace_id if context.sampled else None

    def send(self, feed: Feed) -> str | None:
        """Begins to send to a feed; what each of the messages is to carry."""
        with unharmed:
            self._sending = self._tracer.start_span(
                f"send {feed.queue}",
                context=below(self._span.get_span_context()),
                kind=SpanKind.PRODUCER,
                attributes=messaging("send", feed),
            )
            return str(context_of(self._sending))
        return None

    def end(
        self,
        method: str,
        route: str,
        status: int,
        *,
        message_ids: Sequence[str],
        **told: str | None,
    ) -> None:
        """Ends the request.

        Args:
            method: Its method.
            route: Its route; never the path.
            status: That of the answer.
            message_ids: What SQS has taken.
            told: `outcome`, `feed` and `request_id`, where they are known.
        """
        with unharmed:
            if self._sending is not None:
                self._sending.set_attribute(MESSAGES, len(message_ids))
                if len(message_ids) == 1:
                    self._sending.set_attribute(MESSAGE_ID, message_ids[0])
                self._sending.end()
            self._span.update_name(f"{method} {route}")
            self._span.set_attributes(
                {
                    "http.request.method": method,
                    "http.route": route,
                    "http.response.status_code": status,
                }
            )
            names = {"outcome": OUTCOME, "feed": FEED, "request_id": "pipeline.request_id"}
            for name, value in told.items():
                if value is not None:
                    self._span.set_attribute(names[name], value)
            if status >= _SERVER_ERROR:
                self._span.set_status(Status(StatusCode.ERROR))
                self._span.set_attribute(ERROR, str(status))
            self._span.end()
