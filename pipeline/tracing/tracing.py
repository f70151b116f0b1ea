"""The traces of this process: a span for each event that is made, each request, each batch."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Self

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Tracer

from pipeline.contract import Feed
from pipeline.messages import Event
from pipeline.trace_context import TraceContext
from pipeline.tracing.batches import BatchTraces
from pipeline.tracing.exporting import PatientExporter
from pipeline.tracing.requests import RequestTrace
from pipeline.tracing.telling import context_of, messaging, unharmed

_NAME: Final = "sqs-postgres-pipeline"
_TIMEOUTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
# The SDK's own is 10: a process would end so much later where its collector is away.
_TIMEOUT_SECONDS: Final = 3.0


class Tracing:
    """What makes spans, and sends them from a thread of its own.

    What waits to be sent is bounded (`OTEL_BSP_MAX_QUEUE_SIZE`, 2,048 spans): what is more is
    dropped.

    Args:
        exporter: Where they go.
        environment: OpenTelemetry's other settings; the SDK reads its own from `os.environ`.
    """

    def __init__(self, exporter: SpanExporter, environment: Mapping[str, str]) -> None:
        self._exporter = PatientExporter(exporter)
        named = environment.get("OTEL_SERVICE_NAME")
        resource = Resource.create(None if named else {SERVICE_NAME: _NAME})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer: Tracer = self._provider.get_tracer(_NAME)

    @classmethod
    def of_environment(cls) -> Self:
        """Those that the environment of this process asks for.

        Raises:
            Exception: A setting is none that the SDK takes.
        """
        given = any(os.environ.get(name) for name in _TIMEOUTS)
        return cls(OTLPSpanExporter(timeout=None if given else _TIMEOUT_SECONDS), os.environ)

    def created(self, feed: Feed, event: Event) -> Event:
        """The event with the context of a span that says where and when it was made."""
        context: TraceContext | None = None
        with unharmed:
            span = self._tracer.start_span(
                f"create {feed.queue}",
                kind=SpanKind.PRODUCER,
                attributes=messaging("create", feed),
            )
            span.end()
            context = context_of(span)
        return event if context is None else replace(event, trace=str(context))

    def request(self, traceparent: bytes | None) -> RequestTrace | None:
        """The trace of a request, which goes on with the caller's where it names one.

        Args:
            traceparent: The caller's header, whatever it holds.
        """
        with unharmed:
            return RequestTrace(self._tracer, traceparent)
        return None

    def batches(self, feed: Feed, run_id: str) -> BatchTraces:
        """The traces of a run's batches."""
        return BatchTraces(self._tracer, self.flush, feed, run_id)

    def flush(self) -> None:
        """Sends what waits: a process that is a fork of another ends without doing so.

        It waits for the time of one call at most, and not at all where the last one failed.
        """
        if not self._exporter.is_down:
            with unharmed:
                self._provider.force_flush()

    def close(self) -> None:
        """Sends what waits, and ends."""
        self._provider.shutdown()
