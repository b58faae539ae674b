"""Deliver to each due sink the events that it has not confirmed, in order, and acknowledge what it confirms.

One relay at a time claims a sink, which keeps the order. A sink that is unavailable is retried with growing pauses
and delays no other sink. A sink that answered 410 Gone is disabled until an operator resumes it
(`ingest.admin.sinks`); its events are kept. An event that a sink rejects goes to the sink's dead-letter queue and is
retried there, while the sink receives the events after it.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.domain.events import traceparent_of
from ingest.domain.retry import DISABLED_PAUSE, REDELIVERY_ATTEMPTS, REDELIVERY_BACKOFF, SINK_BACKOFF
from ingest.errors import SinkUnavailableError
from ingest.ports.sink import Outcome, Sink, Verdict
from ingest.ports.tracing import NO_SPAN, NO_TRACING, Attributes, Span, Step, Tracer
from ingest.usecases.claims import work_off

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from ingest.domain.events import Event
    from ingest.metrics import Metrics
    from ingest.ports.claims import Claim, WorkSets
    from ingest.ports.eventlog import Entry, EventLog
    from ingest.usecases.claims import Lease, LeaseKeeper

log = get_logger()

# Events per batch: few at first, then doubled for as long as the sink is fast. A relay stops only between two
# batches, and events that were delivered but not acknowledged when it dies are delivered twice.
FIRST_BATCH, BATCH = 10, 100
# Batches are halved for a sink that takes longer than this (seconds).
SLOW = 5.0
# Seconds after which another process may try a sink that this one does not know.
UNKNOWN_PAUSE = 10.0
_UNAVAILABLE = frozenset({Verdict.UNAVAILABLE, Verdict.GONE})


@dataclass(frozen=True, slots=True)
class RelayStage:
    """Delivers the event stream to every sink."""

    ledger: WorkSets
    events: EventLog
    sinks: Mapping[str, Sink]
    metrics: Metrics
    keeper: LeaseKeeper
    now: Callable[[], datetime]
    random: Callable[[], float]
    tracer: Tracer = NO_TRACING

    def run(self, stop: Callable[[], bool]) -> dict[str, int]:
        """Claim each due sink once and deliver its events; return the number of events delivered, by sink.

        Raises:
            LedgerError: the ledger is unavailable. Events that were delivered and not acknowledged will be repeated.
        """
        delivered: dict[str, int] = {}

        def handle(claim: Claim) -> None:
            delivered[claim.id] = self.handle(claim, stop)

        def round_over(claim: Claim) -> bool:
            # A sink without further events is due again at once, so that any relay can deliver the next event.
            return claim.id in delivered

        work_off(self.ledger.sinks, handle, lease=self.keeper.seconds, stop=stop, enough=round_over)
        return delivered

    def handle(self, claim: Claim, stop: Callable[[], bool]) -> int:
        """Deliver to one claimed sink until no event is left, it fails, or `stop` is true; return how many events."""
        sink = self.sinks.get(claim.id)
        if sink is None:
            # This process started before the sink was configured; another one knows it.
            self.ledger.sinks.release(claim, UNKNOWN_PAUSE)
            return 0
        with self.keeper.hold(self.ledger.sinks, claim) as lease:
            delivery = _Delivery(self, sink, lease, stop)
            delivery.retry_rejected()
            delivery.follow_stream()
        if delivery.trouble is None:
            self.ledger.sinks.release(claim, 0.0)
        elif delivery.disabled:
            self.ledger.sinks.release(claim, DISABLED_PAUSE)
            log.error("sink.disabled", sink=sink.name, error=delivery.trouble)
        else:
            pause = max(SINK_BACKOFF.pause(claim.tries, self.random()), delivery.retry_after)
            self.ledger.sinks.release(claim, pause, claim.tries)
            log.warning(
                "sink.unavailable", sink=sink.name, error=delivery.trouble, tries=claim.tries, seconds=round(pause, 1)
            )
        return delivery.delivered


@dataclass
class _Delivery:
    """What one relay delivers to one sink under one claim.

    `trouble` is the reason code once the sink was unavailable, or, if `disabled`, answered 410 Gone; `retry_after`
    are the seconds that it wants to be left alone.
    """

    stage: RelayStage
    sink: Sink
    lease: Lease
    stop: Callable[[], bool]
    delivered: int = 0
    trouble: str | None = None
    disabled: bool = False
    retry_after: float = 0.0
    batch: int = FIRST_BATCH

    def follow_stream(self) -> None:
        """Deliver the events that the sink has not confirmed, oldest first."""
        events = self.stage.events
        while self._goes_on():
            entries = events.read(self.sink.name, self.batch)
            if not entries:
                return
            outcomes = list(zip(entries, self._deliver(entries), strict=True))
            confirmed = [entry for entry, outcome in outcomes if outcome.verdict is Verdict.DELIVERED]
            events.acknowledge(self.sink.name, [entry.position for entry in confirmed])
            for entry, outcome in outcomes:
                if outcome.verdict is Verdict.REJECTED:
                    events.reject(self.sink.name, entry, REDELIVERY_BACKOFF.pause(1, self.stage.random()))
                    self._warn("event.retrying", entry, outcome)

    def retry_rejected(self) -> None:
        """Deliver the retrying events that are due."""
        events = self.stage.events
        retrying = events.retrying(self.sink.name)
        while self._goes_on():
            claims = retrying.claim(self.batch, self.stage.keeper.seconds)
            if not claims:
                return
            found = events.rejected_entries(self.sink.name, [claim.id for claim in claims])
            present = [(claim, entry) for claim, entry in zip(claims, found, strict=True) if entry is not None]
            retrying.drop({claim.id for claim in claims} - {claim.id for claim, _ in present})
            outcomes = self._deliver([entry for _, entry in present])
            for (claim, entry), outcome in zip(present, outcomes, strict=True):
                self._finish_retry(claim, entry, outcome)

    def _finish_retry(self, claim: Claim, entry: Entry, outcome: Outcome) -> None:
        retrying = self.stage.events.retrying(self.sink.name)
        if outcome.verdict is Verdict.DELIVERED:
            self.stage.events.mark_delivered(self.sink.name, claim)
        elif outcome.verdict in _UNAVAILABLE:
            retrying.release(claim, 0.0, claim.tries - 1)
        elif claim.tries >= REDELIVERY_ATTEMPTS:
            self.stage.events.dead_letter(self.sink.name, claim)
            self._warn("event.dead_lettered", entry, outcome)
        else:
            retrying.release(claim, REDELIVERY_BACKOFF.pause(claim.tries + 1, self.stage.random()), claim.tries)

    def _deliver(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Hand over entries, count the outcomes, and note whether the sink is unavailable; one outcome per entry."""
        began = self.stage.now().timestamp()
        outcomes = self._hand_over([entry.event for entry in entries]) if entries else []
        metrics, now = self.stage.metrics, self.stage.now().timestamp()
        self.batch = max(1, self.batch // 2) if now - began > SLOW else min(BATCH, self.batch * 2)
        for entry, outcome in zip(entries, outcomes, strict=True):
            metrics.count("events_published_total", self.sink.name, outcome.verdict.value)
            if outcome.verdict in _UNAVAILABLE:
                self.trouble = self.trouble or outcome.reason
                self.disabled = self.disabled or outcome.verdict is Verdict.GONE
                self.retry_after = max(self.retry_after, outcome.retry_after or 0.0)
            if outcome.verdict is Verdict.DELIVERED:
                self.delivered += 1
                metrics.count("messages_total", "published")
                if entry.first_seen is not None:
                    metrics.observe("end_to_end_latency_seconds", max(0.0, now - entry.first_seen))
        return outcomes

    def _hand_over(self, events: Sequence[Event]) -> list[Outcome]:
        """One outcome per event. The sink receives them together, so every span lasts as long as the whole batch."""
        with ExitStack() as stack:
            spans = [stack.enter_context(self._span(event)) for event in events]
            if self.stage.tracer.active:
                traced = zip(events, spans, strict=True)
                events = [replace(event, traceparent=span.traceparent) for event, span in traced]
            try:
                outcomes = self.sink.deliver(events)
            except SinkUnavailableError as error:
                outcomes = [Outcome(Verdict.UNAVAILABLE, error.code)] * len(events)
            for span, outcome in zip(spans, outcomes, strict=True):
                span.note(outcome=outcome.verdict.value)
                if outcome.verdict is not Verdict.DELIVERED:
                    span.fail(outcome.reason)
        return outcomes

    def _span(self, event: Event) -> Span:
        tracer = self.stage.tracer
        if not tracer.active:
            return NO_SPAN
        about: Attributes = {"mailbox": event.mailbox, "event": event.id, "sink": self.sink.name}
        return tracer.start(Step.DELIVER, traceparent_of(event), **about)

    def _goes_on(self) -> bool:
        self.lease.check()
        return self.trouble is None and not self.stop()

    def _warn(self, what: str, entry: Entry, outcome: Outcome) -> None:
        log.warning(what, sink=self.sink.name, event_id=entry.event.id, error=outcome.reason)
