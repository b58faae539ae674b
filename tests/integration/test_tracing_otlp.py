"""Spans as a collector gets them, and what becomes of those that it does not take."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest
import structlog
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ingest.adapters.tracing.otlp import TellingExporter, otlp_tracer
from ingest.ports.tracing import Step
from tests.support.collector import Collector, collecting
from tests.support.waiting import eventually

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


def test_the_configured_share_goes_over_the_variables(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_end_waits_for_no_collector_that_was_away(collector: Collector) -> None:
    """It would be asked again and again for ten seconds and more; `close` gives it up, and its thread ends."""
    collector.status = 503
    tracer = otlp_tracer(collector.endpoint, None)
    before = threading.active_count()
    with tracer.start(Step.POLL):
        pass
    tracer.close()
    eventually(lambda: threading.active_count() < before, 30)
    assert collector.requests


class Moody(InMemorySpanExporter):
    result = SpanExportResult.SUCCESS

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.result


def test_a_collector_that_goes_and_comes_is_told_of_once_each() -> None:
    inner = Moody()
    exporter = TellingExporter(inner)
    with structlog.testing.capture_logs() as told:
        for result in "SFFFSSF":
            inner.result = SpanExportResult.SUCCESS if result == "S" else SpanExportResult.FAILURE
            exporter.export([])
    assert [line["event"] for line in told] == ["tracing.away", "tracing.back", "tracing.away"]
