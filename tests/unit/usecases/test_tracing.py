"""All steps of one message are one trace, across processes that share nothing but the ledger."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode, TraceFlags

from ingest.adapters.tracing.otel import OtelTracer
from ingest.domain.events import traceparent_of
from ingest.domain.message import OpenMessage
from ingest.domain.retry import MESSAGE_TRIES
from ingest.errors import StoreUnavailableError
from ingest.ports.tracing import NO_TRACING, Attributes, Step
from tests.support.bench import Bench, bench, mail, message_key, never

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    from ingest.ports.tracing import Tracer

HELLO = mail("Invoice 4711", attachment=b"%PDF-1.7 secret")


class Traced:
    """A bench each of whose stages has its own tracer, like separate processes."""

    def __init__(self, work: Bench, sample: float = 1.0) -> None:
        self.work = work
        self.exporter = InMemorySpanExporter()
        self.sample = sample
        self.trace_with(self.tracer, self.tracer, self.tracer)

    @property
    def tracer(self) -> OtelTracer:
        provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(self.sample)), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        return OtelTracer(provider)

    def trace_with(self, poll: Tracer, process: Tracer, relay: Tracer) -> None:
        work = self.work
        work.poll_stage = replace(work.poll_stage, poller=replace(work.poll_stage.poller, tracer=poll))
        work.process_stage = replace(work.process_stage, tracer=process)
        work.relay_stage = replace(work.relay_stage, tracer=relay)

    def spans(self, step: Step) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == step]

    def span(self, step: Step) -> ReadableSpan:
        (found,) = self.spans(step)
        return found


@pytest.fixture
def traced() -> Iterator[Traced]:
    with bench() as work:
        yield Traced(work)


def give(work: Bench, raw: bytes) -> None:
    messages = work.maildrops["a"].messages
    messages[b"%d" % (len(messages) + 1)] = raw


def trace_id(span: ReadableSpan) -> int:
    return context(span).trace_id


def follows(span: ReadableSpan, before: ReadableSpan) -> bool:
    parent = span.parent
    return parent is not None and (parent.trace_id, parent.span_id) == (trace_id(before), span_id(before))


def span_id(span: ReadableSpan) -> int:
    return context(span).span_id


def context(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


def parent_of(span: ReadableSpan) -> str:
    return f"00-{trace_id(span):032x}-{span_id(span):016x}-{context(span).trace_flags:02x}"


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_one_message_is_one_trace(traced: Traced) -> None:
    give(traced.work, HELLO)
    traced.work.everything()
    poll, fetch, process, deliver = (traced.span(step) for step in Step)
    assert poll.parent is None
    assert follows(fetch, poll)
    assert follows(process, fetch)
    assert follows(deliver, process)
    assert [span.kind for span in (fetch, process, deliver)] == [
        SpanKind.CLIENT,
        SpanKind.CONSUMER,
        SpanKind.PRODUCER,
    ]


def test_event_carries_its_processing_span_and_its_delivery_has_its_own(traced: Traced) -> None:
    give(traced.work, HELLO)
    traced.work.everything()
    (event,) = traced.work.sinks["main"].delivered
    assert traceparent_of(event) == parent_of(traced.span(Step.PROCESS))
    assert event.traceparent == parent_of(traced.span(Step.DELIVER))


def test_spans_carry_ids_and_counts(traced: Traced) -> None:
    give(traced.work, HELLO)
    traced.work.everything()
    (event,) = traced.work.sinks["main"].delivered
    counts = {"listed": 1, "new": 1, "stored": 1, "duplicate": 0, "oversize": 0, "failed": 0, "deleted": 0}
    polled = {"mailbox": "a", "server": "pop.example.org:110", **counts, "fetched_bytes": len(HELLO)}
    expected: dict[Step, dict[str, object]] = {
        Step.POLL: dict(polled),
        Step.FETCH: dict(polled),
        Step.PROCESS: {
            "mailbox": "a",
            "message": message_key("a", HELLO),
            "tries": 1,
            "size_bytes": len(HELLO),
            "attachments": 1,
            "defects": 0,
        },
        Step.DELIVER: {"mailbox": "a", "event": event.id, "sink": "main", "outcome": "delivered"},
    }
    for step, values in expected.items():
        assert attributes(traced.span(step)) == {f"mailhaul.{name}": value for name, value in values.items()}


def test_spans_carry_no_content_of_mail(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a message is processed, fails, is rejected, or triggers a bug whose text quotes it."""
    give(traced.work, HELLO)
    traced.work.refuse_everything()
    traced.work.everything()
    give(traced.work, mail("Invoice 4712"))

    def broken(key: str) -> IO[bytes]:
        raise ValueError("billing@example.org Invoice 4712")

    monkeypatch.setattr(traced.work.store, "open", broken)
    traced.work.everything()
    exported = "".join(span.to_json() for span in traced.exporter.get_finished_spans())
    for private in ("Invoice", "billing@", "in@example", "i.pdf", "secret", "Hello", "user"):
        assert private not in exported
    named = {name for span in traced.exporter.get_finished_spans() for name in attributes(span)}
    assert named - {"error.type"} <= {f"mailhaul.{name}" for name in Attributes.__annotations__}


def test_poll_without_new_mail_has_no_fetch_span(traced: Traced) -> None:
    traced.work.poll_all()
    assert traced.spans(Step.FETCH) == []
    assert attributes(traced.span(Step.POLL))["mailhaul.listed"] == 0


def test_all_messages_of_a_session_share_one_fetch_span(traced: Traced) -> None:
    for number in range(3):
        give(traced.work, mail(str(number)))
    traced.work.everything()
    fetch = traced.span(Step.FETCH)
    assert len(traced.spans(Step.PROCESS)) == 3
    assert all(follows(process, fetch) for process in traced.spans(Step.PROCESS))


def test_work_of_a_dead_process_continues_in_the_same_trace(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """It died when everything was stored and nothing committed: the message is processed again."""
    work = traced.work
    give(work, HELLO)
    work.poll_all()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(work.ledger, "complete", die)
        with pytest.raises(KeyboardInterrupt):
            work.process_stage.run(never)
    manifest = {key: work.store.objects[key] for key in work.keys("message.json")}
    work.clock.time += 3600
    work.process_stage.run(never)
    work.relay_stage.run(never)
    first, again = traced.spans(Step.PROCESS)
    assert first.status.status_code is StatusCode.ERROR
    assert attributes(again)["mailhaul.tries"] == 2
    assert follows(first, traced.span(Step.FETCH))
    assert follows(again, traced.span(Step.FETCH))
    assert follows(traced.span(Step.DELIVER), again)
    assert {key: work.store.objects[key].content for key in manifest} == {
        key: stored.content for key, stored in manifest.items()
    }


def test_a_message_that_is_fetched_again_before_it_is_done_stays_in_its_first_trace(traced: Traced) -> None:
    work = traced.work
    give(work, HELLO)
    work.poll_all()
    give(work, HELLO)
    work.everything()
    first, _again = traced.spans(Step.FETCH)
    assert follows(traced.span(Step.PROCESS), first)


def test_repeated_event_differs_only_in_trace_and_time(traced: Traced) -> None:
    """The ledger is lost after processing; events that may not be delivered are republished."""
    work = traced.work
    give(work, HELLO)
    work.everything()
    work.ledger.lose()
    work.everything()
    first, again = work.published()
    assert first.pop("traceparent")
    assert "traceparent" not in again
    del first["time"], again["time"]
    assert first == again


def test_delivery_of_an_untraced_event_begins_a_trace(traced: Traced) -> None:
    traced.trace_with(NO_TRACING, NO_TRACING, traced.tracer)
    give(traced.work, HELLO)
    traced.work.everything()
    (event,) = traced.work.sinks["main"].delivered
    assert traced.span(Step.DELIVER).parent is None
    assert traceparent_of(event) is None
    assert event.traceparent == parent_of(traced.span(Step.DELIVER))


def test_sampling_is_decided_once_for_all_processes() -> None:
    with bench() as work:
        traced = Traced(work, sample=0.0)
        sampling = Traced(work).tracer
        traced.trace_with(traced.tracer, sampling, sampling)
        give(work, HELLO)
        work.everything()
        assert traced.exporter.get_finished_spans() == ()
        (event,) = work.sinks["main"].delivered
        flags = str(traceparent_of(event)).rpartition("-")[2]
        assert not int(flags, 16) & TraceFlags.SAMPLED


def test_failed_span_carries_the_error_code(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    work = traced.work
    give(work, HELLO)
    work.runtime.poller.store_identity.read()

    def unavailable(*_: object, **__: object) -> None:
        raise StoreUnavailableError("the store at 192.0.2.1 is unavailable")

    with monkeypatch.context() as broken:
        broken.setattr(work.store, "put", unavailable)
        work.poll_all()
    for span in (traced.span(Step.POLL), traced.span(Step.FETCH)):
        assert span.status.status_code is StatusCode.ERROR
        assert attributes(span)["error.type"] == "store_unavailable"
    work.everything()
    work.refuse_everything()
    give(work, mail("another"))
    work.everything()
    refused = traced.spans(Step.DELIVER)[-1]
    assert refused.status.status_code is StatusCode.ERROR
    assert attributes(refused)["error.type"] == "http_400"
    assert attributes(refused)["mailhaul.outcome"] == "rejected"


def test_event_of_a_failed_message_belongs_to_its_trace(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    work = traced.work
    give(work, HELLO)
    work.poll_all()
    monkeypatch.setattr("ingest.usecases.process.processor.parse_in_pieces", lambda *_: 1 / 0)
    for _ in range(MESSAGE_TRIES):
        work.clock.time += 100_000
        work.process_stage.run(never)
    work.relay_stage.run(never)
    (event,) = work.sinks["main"].delivered
    assert event.type == "dev.mailhaul.message.failed.v1"
    assert traceparent_of(event) == parent_of(traced.spans(Step.PROCESS)[-1])


def test_without_tracing_nothing_is_added() -> None:
    with bench() as work:
        give(work, HELLO)
        work.poll_all()
        (message,) = work.ledger.open_messages([message_key("a", HELLO)])
        assert message is not None
        assert message.traceparent is None
        work.process_stage.run(never)
        work.relay_stage.run(never)
        (event,) = work.sinks["main"].delivered
        assert event.traceparent is None
        assert b"traceparent" not in event.body


def test_tracing_that_was_switched_off_leaves_the_rest_of_a_message_untraced(traced: Traced) -> None:
    give(traced.work, HELLO)
    traced.work.poll_all()
    traced.trace_with(NO_TRACING, NO_TRACING, NO_TRACING)
    traced.work.process_stage.run(never)
    traced.work.relay_stage.run(never)
    (event,) = traced.work.sinks["main"].delivered
    assert b"traceparent" not in event.body


def test_open_messages_of_older_versions_can_be_read(traced: Traced) -> None:
    give(traced.work, HELLO)
    traced.work.poll_all()
    (message,) = traced.work.ledger.open_messages([message_key("a", HELLO)])
    assert message is not None
    older = json.loads(message.model_dump_json())
    del older["traceparent"]
    assert OpenMessage.model_validate(older) == message.model_copy(update={"traceparent": None})
