"""An OpenTelemetry collector on loopback that keeps the spans it receives over OTLP/HTTP."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.http import Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

    from tests.support.http import Request


@dataclass(frozen=True, slots=True)
class SentSpan:
    """A span as it arrived; ids in hex, `parent` empty for the first of a trace."""

    name: str
    trace: str
    id: str
    parent: str
    attributes: Mapping[str, str | int]
    process: Mapping[str, str | int]
    failed: bool


class Collector:
    """The requests and spans so far. If `status` is not a success, clients retry."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.status = 200
        receiver.answer = self._answer

    @property
    def endpoint(self) -> str:
        """The URL to configure."""
        return self._receiver.url.partition("/hooks")[0]

    @property
    def requests(self) -> list[Request]:
        """All requests, accepted or not."""
        return list(self._receiver.requests)

    def spans(self) -> list[SentSpan]:
        """All spans, in the order of arrival."""
        return [span for request in self.requests for span in _spans(request.body)]

    def _answer(self, _request: Request) -> Answer:
        return Answer(self.status, {"content-type": "application/x-protobuf"})


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector during a `with` block."""
    with Receiver() as receiver:
        yield Collector(receiver)


def _spans(body: bytes) -> Iterator[SentSpan]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        process = _values(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield SentSpan(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    _values(span.attributes),
                    process,
                    span.status.code == span.status.STATUS_CODE_ERROR,
                )


def _values(attributes: Iterable[KeyValue]) -> dict[str, str | int]:
    """Convert attribute values; ours are texts or integers."""
    return {one.key: one.value.string_value or one.value.int_value for one in attributes}
