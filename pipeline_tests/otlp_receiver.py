"""A collector for tests: takes spans over OTLP/HTTP on loopback, and keeps every byte of them."""

import contextlib
import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pipeline.tracing.setting import find_tracing


@dataclass(frozen=True)
class Span:
    """A span as it was sent.

    Attributes:
        name: Its name.
        trace_id: In hexadecimal, as are the other ids.
        span_id: Its own.
        parent: Its parent's; empty for a root.
        attributes: By name.
        links: The ids of traces and spans that it is linked to.
        began: Nanoseconds since the epoch.
        ended: Likewise.
        is_error: Whether it says that it failed.
    """

    name: str
    trace_id: str
    span_id: str
    parent: str
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    began: int
    ended: int
    is_error: bool


@dataclass
class Collector:
    """What was received.

    Attributes:
        url: Where it listens.
        bodies: What came, as it came.
    """

    url: str
    bodies: list[bytes] = field(default_factory=list)

    def spans(self) -> list[Span]:
        """All spans, once this process has sent what waited."""
        tracing = find_tracing()
        if tracing is not None:
            tracing.flush()
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            _read(span)
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> list[Span]:
        """The spans of that name, in the order of their beginning."""
        return sorted((each for each in self.spans() if each.name == name), key=lambda s: s.began)

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of a trace, each below the one before it."""
        left = {each.parent: each for each in self.spans() if each.trace_id == trace_id}
        (root,) = set(left) - {each.span_id for each in left.values()}
        ordered, parent = [], root
        while parent in left:
            ordered.append(left.pop(parent))
            parent = ordered[-1].span_id
        assert not left
        return ordered


@contextlib.contextmanager
def collecting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector to which the traces of this process go, within the block."""
    collector = Collector("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            is_packed = self.headers.get("content-encoding") == "gzip"
            collector.bodies.append(gzip.decompress(body) if is_packed else body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        with traced_to(collector.url, monkeypatch):
            yield collector
        server.shutdown()


@contextlib.contextmanager
def traced_to(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has the traces of this process go to an address, within the block."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    find_tracing.cache_clear()
    try:
        yield
    finally:
        tracing = find_tracing()
        if tracing is not None:
            tracing.close()
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
        find_tracing.cache_clear()


def _read(span: Any) -> Span:  # noqa: ANN401 - made by protobuf
    return Span(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        attributes={
            each.key: getattr(each.value, each.value.WhichOneof("value"))
            for each in span.attributes
        },
        links=tuple((each.trace_id.hex(), each.span_id.hex()) for each in span.links),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        is_error=span.status.code == span.status.STATUS_CODE_ERROR,
    )
