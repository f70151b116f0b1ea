"""Whether traces are asked for, by OpenTelemetry's own variables; only then is it imported."""

import functools
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pipeline.tracing.tracing import Tracing

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_OURS: Final = "http/protobuf"

_log: Final = logging.getLogger(__name__)


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether an environment names a place for traces, and does not take that back."""
    return (
        any(environment.get(name) for name in _ENDPOINTS)
        and environment.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"
        and (environment.get("OTEL_TRACES_EXPORTER") or "otlp") == "otlp"
    )


@functools.cache
def find_tracing() -> "Tracing | None":
    """The traces of this process; None where none are wanted, or where there can be none.

    What is in the way is told in one line of the log, and the work goes on without traces.
    """
    if not is_wanted(os.environ):
        return None
    protocol = next((found for name in _PROTOCOLS if (found := os.environ.get(name))), _OURS)
    if protocol != _OURS:
        _log.error("no traces: OTEL_EXPORTER_OTLP_PROTOCOL is to be %s, or unset", _OURS)
        return None
    try:
        from pipeline.tracing.tracing import Tracing  # noqa: PLC0415 - an extra, and 0.4 s

        return Tracing.of_environment()
    except ModuleNotFoundError as error:
        _log.error(
            "no traces: %s is not installed; pip install '.[traces]', or unset %s",
            error.name,
            " and ".join(name for name in _ENDPOINTS if os.environ.get(name)),
        )
    except Exception as error:  # noqa: BLE001 - a setting that the SDK refuses; its text may quote it
        _log.error("no traces: OpenTelemetry does not start (%s)", type(error).__name__)
    return None
