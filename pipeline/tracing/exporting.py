"""Sends spans, and lets nothing wait for a collector that is away."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_REST_SECONDS: Final = 30.0
"""For so long nothing is sent to a collector that has just failed."""

# Each would tell the same again with every call, with cause and address at length.
_NOISY: Final = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal")

_log: Final = logging.getLogger(__name__)


class PatientExporter(SpanExporter):
    """An exporter that gives up early, tells of it once, and tries again later.

    Args:
        exporter: What sends.
        clock: Seconds that never go back.

    Attributes:
        is_down: Whether the last call failed.
    """

    def __init__(self, exporter: SpanExporter, clock: Callable[[], float] = time.monotonic) -> None:
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._exporter = exporter
        self._clock = clock
        self._again = 0.0
        self._lost = 0
        self.is_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """As the SDK asks; called by one thread at a time."""
        if self.is_down and self._clock() < self._again:
            self._lost += len(spans)
            return SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001 - whatever it is, no work stops for it
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            if self.is_down:
                _log.warning("traces are taken again; %d spans were lost", self._lost)
            self.is_down, self._lost = False, 0
            return result
        self._lost += len(spans)
        self._again = self._clock() + _REST_SECONDS
        if not self.is_down:
            _log.warning("traces are not taken: spans are dropped until they are; nothing else is")
        self.is_down = True
        return result

    def shutdown(self) -> None:
        """As the SDK asks."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """As the SDK asks; nothing is kept here."""
        return self._exporter.force_flush(timeout_millis)
