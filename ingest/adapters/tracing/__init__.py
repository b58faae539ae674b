"""Tracing with OpenTelemetry, which only these modules import: it comes with an extra and has to be configured."""
