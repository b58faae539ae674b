"""Tracing over OpenTelemetry, which only the modules in here import: with an extra, and where it is configured."""
