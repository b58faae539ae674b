"""Spans as a collector gets them, and what becomes of those that it does not take."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest
import structlog
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ingest.adapters.tracing.otlp import OtlpTracer, ReportingExporter, otlp_tracer, provider_over
from ingest.ports.tracing import Step
from tests.support.collector import Collector, collecting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(autouse=True)
def _own_variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    level = logging.getLogger("opentelemetry").level
    yield
    logging.getLogger("opentelemetry").setLevel(level)


def trace(endpoint: str | None, sample: float | None = None, count: int = 1) -> None:
    tracer = otlp_tracer(endpoint, sample)
    for _ in range(count):
        with tracer.start(Step.POLL, mailbox="a"):
            pass
    tracer.close()


@pytest.mark.parametrize("path", ["", "/", "/v1/traces", "/otlp"])
def test_the_path_of_traces_is_added_to_the_collectors_address(collector: Collector, path: str) -> None:
    trace(collector.endpoint + path)
    (request,) = collector.requests
    assert request.path == ("/otlp/v1/traces" if path == "/otlp" else "/v1/traces")


def test_what_is_not_configured_is_as_opentelemetrys_variables_say(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20token")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mail-of-ours")
    trace(None)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    trace(None)
    (request,) = collector.requests
    assert request.headers["authorization"] == "Bearer token"
    (span,) = collector.spans()
    assert span.process["service.name"] == "mail-of-ours"
    assert span.process["deployment.environment"] == "test"
    assert span.attributes == {"mailhaul.mailbox": "a"}


def test_configured_sampling_share_overrides_the_variables(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    trace(collector.endpoint, sample=0.0)
    assert collector.spans() == []
    trace(collector.endpoint, sample=1.0, count=3)
    assert len(collector.spans()) == 3


def test_opentelemetrys_own_switch_turns_it_off(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracer = otlp_tracer(collector.endpoint, None)
    with tracer.start(Step.POLL) as span:
        assert span.traceparent is None
    tracer.close()
    assert collector.requests == []


class Stuck(InMemorySpanExporter):
    """Tries and tries again until it is shut down, like the real one while a collector is unavailable."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.ended.wait()
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.ended.set()


def stuck_at_its_end(*, away: bool) -> Stuck:
    """The exporter of a tracer that was closed with a span still to be handed over."""
    inner = Stuck()
    exporter = ReportingExporter(inner)
    exporter.unavailable = away
    tracer = OtlpTracer(provider_over(exporter, None), exporter)
    with tracer.start(Step.POLL):
        pass
    tracer.close()
    return inner


def test_exit_does_not_wait_for_an_unavailable_collector() -> None:
    assert stuck_at_its_end(away=True).ended.is_set()


def test_exit_waits_a_few_seconds_for_a_reachable_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.adapters.tracing.otel.CLOSE_SECONDS", 0.1)
    exporter = stuck_at_its_end(away=False)
    assert not exporter.ended.is_set()
    exporter.shutdown()


class Moody(InMemorySpanExporter):
    result = SpanExportResult.SUCCESS

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.result


def test_collector_outage_and_recovery_are_logged_once_each() -> None:
    inner = Moody()
    exporter = ReportingExporter(inner)
    with structlog.testing.capture_logs() as lines:
        for result in "SFFFSSF":
            inner.result = SpanExportResult.SUCCESS if result == "S" else SpanExportResult.FAILURE
            exporter.export([])
    assert [line["event"] for line in lines] == ["tracing.unavailable", "tracing.available", "tracing.unavailable"]
