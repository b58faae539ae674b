"""The tracer on the OpenTelemetry SDK.

Only ids, counts and codes are recorded, not the text and traceback of exceptions, which the SDK would add by itself.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from typing_extensions import override

from ingest import __version__
from ingest.errors import MailhaulError
from ingest.ports.tracing import Attributes, Span, Step, Tracer

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, Unpack

    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

# Seconds that a terminating process gives its last spans; then they are lost.
CLOSE_SECONDS = 3.0
_PREFIX = "mailhaul."
_KINDS = {
    Step.POLL: SpanKind.INTERNAL,
    Step.FETCH: SpanKind.CLIENT,
    Step.PROCESS: SpanKind.CONSUMER,
    Step.DELIVER: SpanKind.PRODUCER,
}
_propagator = TraceContextTextMapPropagator()


class OtelTracer(Tracer):
    """The port's `Tracer`. To be created after a fork, never before, because its exporter has a thread.

    Args:
        provider: creates and exports spans; shut down with this tracer.
    """

    active = True

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("mailhaul", __version__)

    @override
    def start(self, step: Step, parent: str | None = None, **attributes: Unpack[Attributes]) -> Span:
        # Always a new context: other traces in this thread are not our parent.
        context = _propagator.extract({} if parent is None else {"traceparent": parent}, Context())
        return _OtelSpan(self._tracer, context, step, attributes)

    @override
    def close(self) -> None:
        # The SDK's own limit is half a minute, which a collector that does not answer would use up.
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)


class _OtelSpan(Span):
    def __init__(self, tracer: trace.Tracer, context: Context, step: Step, attributes: Attributes) -> None:
        self._tracer = tracer
        self._span = tracer.start_span(step, context, _KINDS[step], _named(attributes))

    @override
    @property
    def traceparent(self) -> str | None:
        found = self._span.get_span_context()
        if not found.is_valid:  # OTEL_SDK_DISABLED
            return None
        return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"

    @override
    def child(self, step: Step, **attributes: Unpack[Attributes]) -> Span:
        return _OtelSpan(self._tracer, set_span_in_context(self._span, Context()), step, attributes)

    @override
    def note(self, **attributes: Unpack[Attributes]) -> None:
        self._span.set_attributes(_named(attributes))

    @override
    def fail(self, code: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR))
        self._span.set_attribute("error.type", code)

    @override
    def __enter__(self) -> Self:
        return self

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.fail(error.code if isinstance(error, MailhaulError) else type(error).__name__)
        self._span.end()


def _named(attributes: Attributes) -> dict[str, Any]:
    return {_PREFIX + name: value for name, value in attributes.items()}
