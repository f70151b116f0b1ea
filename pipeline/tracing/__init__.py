"""Traces over OpenTelemetry, where they are asked for: docs/tracing.md."""
