"""Export spans to a collector over OTLP/HTTP, in batches, from a separate thread.

Spans that the collector does not accept are lost, without other effects: the SDK's queue is bounded.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from structlog import get_logger
from typing_extensions import override

from ingest import __version__
from ingest.adapters.tracing.otel import OtelTracer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from ingest.ports.tracing import Tracer

log = get_logger()

_PATH = "/v1/traces"
_NEVER = logging.CRITICAL + 1


def otlp_tracer(endpoint: str | None, sample: float | None) -> Tracer:
    """Return a tracer that exports to a collector. Nothing is connected yet.

    Everything else follows OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_HEADERS, OTEL_RESOURCE_ATTRIBUTES, ...

    Args:
        endpoint: base URL of the collector, to which `/v1/traces` is added; None for OTEL_EXPORTER_OTLP_ENDPOINT.
        sample: share of traces to keep, 0 to 1; None for OTEL_TRACES_SAMPLER. A trace is kept or dropped as a whole.
    """
    exporter = ReportingExporter(OTLPSpanExporter(endpoint=None if endpoint is None else _traces(endpoint)))
    provider = provider_over(exporter, sample)
    # The SDK would log every failed batch several times; `ReportingExporter` logs once.
    logging.getLogger("opentelemetry").setLevel(_NEVER)
    return OtlpTracer(provider, exporter)


def provider_over(exporter: SpanExporter, sample: float | None) -> TracerProvider:
    """Return a provider that passes spans to an exporter in batches; `sample` is as for `otlp_tracer`."""
    provider = TracerProvider(
        sampler=None if sample is None else ParentBased(TraceIdRatioBased(sample)),
        resource=_resource(),
        shutdown_on_exit=False,  # it would wait longer than a terminating process can
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


class ReportingExporter(SpanExporter):
    """Wraps an exporter; logs one line when spans are no longer accepted and one when they are again."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self.unavailable = False

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        unavailable = result is not SpanExportResult.SUCCESS
        if unavailable and not self.unavailable:
            log.warning("tracing.unavailable")
        if self.unavailable and not unavailable:
            log.info("tracing.available")
        self.unavailable = unavailable
        return result

    @override
    def shutdown(self) -> None:
        self._inner.shutdown()

    @override
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


class OtlpTracer(OtelTracer):
    """A tracer that shuts down at once if its collector was unavailable."""

    def __init__(self, provider: TracerProvider, exporter: ReportingExporter) -> None:
        super().__init__(provider)
        self._exporter = exporter

    @override
    def close(self) -> None:
        if self._exporter.unavailable:
            # This ends the retries, which the SDK would wait for.
            self._exporter.shutdown()
        super().close()


def _traces(endpoint: str) -> str:
    base = endpoint.rstrip("/")
    return base if base.endswith(_PATH) else base + _PATH


def _resource() -> Resource:
    """Return our resource, overridden by OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES."""
    ours = Resource.create({"service.name": "mailhaul", "service.version": __version__})
    return ours.merge(OTELResourceDetector().detect())
