"""Deliver the events of one sink under one claim.

New events come first: after each batch of the stream a few retrying events follow, so that neither kind delays the
other for long.

A sink that does not take an event may be unavailable, or may be unable to take this one. The event is tried again and
keeps its place. After `REFUSALS` tries in a row an event behind it is tried. If the sink takes that one and again not
the first, the first event is at fault: it goes to the dead-letter queue, like one that the sink rejected. If the sink
takes nothing, it is unavailable, and every event stays where it is.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.domain.events import traceparent_of
from ingest.domain.retry import REDELIVERY_ATTEMPTS, REDELIVERY_BACKOFF
from ingest.errors import SinkUnavailableError
from ingest.ports.eventlog import Answer
from ingest.ports.sink import Outcome, Sink, Verdict
from ingest.ports.status import SinkStatus
from ingest.ports.tracing import NO_TRACING, Attributes, Span, Step, Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from ingest.domain.events import Event
    from ingest.metrics import Metrics
    from ingest.ports.claims import Claim
    from ingest.ports.eventlog import Entry, EventLog
    from ingest.usecases.claims import Lease

log = get_logger()

# Events per batch: few at first, then doubled for as long as the sink is fast. A relay stops only between two
# batches, and events that were delivered but not acknowledged when it dies are delivered twice.
FIRST_BATCH, BATCH = 10, 100
# Retrying events between two batches of the stream: what a new event waits for at most.
RETRY_BATCH = 10
# Batches are halved for a sink that takes longer than this (seconds).
SLOW = 5.0
# Tries in a row after which an event is suspected, and how many suspects are tried alone in one round.
REFUSALS, SUSPECTS = 3, 5
# The same for a sink that asks for a pause each time. It is busy, most likely, and the event not at fault, unless it
# takes others meanwhile, or has taken none for so many seconds: one that limits the rate takes some now and then.
PAUSED_REFUSALS, PAUSED_SECONDS = 9, 900.0
# Seconds that the recorded time of the last delivery may be old: it is not written with every batch.
FRESHNESS = 1.0
# After so many seconds the relay releases the sink, and claims what has been due for longest: another one, perhaps.
ROUND_SECONDS = 600.0
_DONE = (Verdict.DELIVERED, Verdict.SKIPPED)
_UNAVAILABLE = frozenset({Verdict.UNAVAILABLE, Verdict.GONE})


@dataclass
class Delivery:
    """What one relay delivers to one sink under one claim.

    `trouble` is the reason code once the sink was unavailable, or, if `disabled`, answered 410 Gone; `retry_after`
    are the seconds that it wants to be left alone. `newest` is the last position of the stream that was read.
    `config` returns the mark of the sink's configuration for `SinkStatus`. `keeps_answers` says whether what the sink
    made of each event is recorded, with what is acknowledged next.
    """

    events: EventLog
    sink: Sink
    lease: Lease
    stop: Callable[[], bool]
    metrics: Metrics
    lease_seconds: float
    now: Callable[[], datetime]
    random: Callable[[], float]
    tracer: Tracer = NO_TRACING
    config: Callable[[], str] = str
    delivered: int = 0
    newest: str = ""
    trouble: str | None = None
    disabled: bool = False
    retry_after: float = 0.0
    batch: int = FIRST_BATCH
    delivered_at: float | None = None
    failing_since: float | None = None
    refusals: dict[str, int] = field(default_factory=dict)
    keeps_answers: bool = False
    answers: list[Answer] = field(default_factory=list)

    def run(self) -> None:
        """Deliver until no event is left, the sink is unavailable, or `stop` is true; record what it answered."""
        before = self.events.sink_status(self.sink.name)
        self.delivered_at, self.refusals = before.delivered_at, dict(before.refusals)
        self.failing_since = before.failing_since
        ends = self._seconds() + ROUND_SECONDS
        while self._goes_on() and self._seconds() < ends:
            followed = self._follow_stream()
            retried = self._goes_on() and self._retry_rejected()
            while len(self.answers) >= BATCH:
                self._record_answers([])
            if not followed and not retried:
                break
        self._record_answers([])
        status = self._status(before)
        if _differs(status, before):
            self.events.put_sink_status(self.sink.name, status)

    def _status(self, before: SinkStatus) -> SinkStatus:
        known = SinkStatus(self.delivered_at, refusals=self.refusals)
        if self.trouble is not None:
            since = before.failing_since
            since = self._seconds() if since is None or self.delivered else since
            return replace(known, failing_since=since, answer=self.trouble, config=self.config())
        if self.delivered:
            return known
        return replace(known, failing_since=before.failing_since, answer=before.answer, config=before.config)

    def _follow_stream(self) -> bool:
        """Deliver one batch of what the sink has not confirmed, oldest first; return if more may be left."""
        limit = self.batch
        entries = self.events.read(self.sink.name, limit)
        if not entries:
            self.refusals.clear()
            return False
        self.newest = entries[-1].position
        mine, others = self._split(entries)
        outcomes = self._deliver(mine)
        self._finish(mine, outcomes, [entry.position for entry in others])
        unavailable = not _UNAVAILABLE.isdisjoint([outcome.verdict for outcome in outcomes])
        if unavailable and not self._isolate(outcomes):
            self._give_way(outcomes)
        return unavailable or len(entries) == limit

    def _split(self, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
        """Return the entries for this sink, and those that were republished for another one alone."""
        name = self.sink.name
        others = [entry for entry in entries if entry.only and entry.only != name]
        return [entry for entry in entries if not entry.only or entry.only == name], others

    def _finish(self, entries: Sequence[Entry], outcomes: Sequence[Outcome], unwanted: Sequence[str] = ()) -> None:
        """Acknowledge what the sink took, move what it rejected, count how often it did not take the rest.

        Args:
            entries: that were handed over.
            outcomes: one for each.
            unwanted: positions of entries for other sinks, to acknowledge too.
        """
        confirmed = list(unwanted)
        for entry, outcome in zip(entries, outcomes, strict=True):
            event_id = entry.event.id
            self._note(event_id, outcome, self.refusals.get(event_id, 0) + 1)
            if outcome.verdict is Verdict.UNAVAILABLE:
                if outcome.attempted:
                    self.refusals[event_id] = self.refusals.get(event_id, 0) + 1
            elif outcome.verdict is not Verdict.GONE:
                self.refusals.pop(event_id, None)
            if outcome.verdict in _DONE:
                confirmed.append(entry.position)
            elif outcome.verdict is Verdict.REJECTED:
                self.events.reject(self.sink.name, entry, REDELIVERY_BACKOFF.pause(1, self.random()))
                self._warn("event.retrying", entry, outcome)
        if confirmed:
            self._record_answers(confirmed)

    def _note(self, event_id: str, outcome: Outcome, tries: int, verdict: str = "") -> None:
        """Remember what the sink made of an event, unless it is unavailable: its status has that."""
        if self.keeps_answers and outcome.verdict not in _UNAVAILABLE:
            answer = outcome.reason or outcome.answer
            self.answers.append(Answer(event_id, verdict or outcome.verdict.value, answer, tries))

    def _record_answers(self, confirmed: Sequence[str]) -> None:
        """Acknowledge entries, and record what is remembered, a batch at the most: so many steps are kept."""
        if confirmed or self.answers:
            answers, self.answers = self.answers[:BATCH], self.answers[BATCH:]
            self.events.acknowledge(self.sink.name, confirmed, answers)

    def _isolate(self, outcomes: Sequence[Outcome]) -> bool:
        """Find the events that the sink does not take while it takes others, and move them to the dead-letter queue.

        Returns:
            Whether the sink works for all other events.
        """
        if any(one.verdict is Verdict.GONE for one in outcomes):
            return False
        works = any(outcome.verdict is Verdict.DELIVERED for outcome in outcomes)
        paused = any(outcome.retry_after is not None for outcome in outcomes)
        enough = PAUSED_REFUSALS if paused else REFUSALS
        if max(self.refusals.values(), default=0) < enough or (paused and not works and self._took_one_lately()):
            return False
        waiting, _ = self._split(self.events.read(self.sink.name, BATCH))
        suspects = [entry for entry in waiting if self.refusals.get(entry.event.id, 0) >= enough][:SUSPECTS]
        if not suspects or not (works or self._takes_another(waiting, suspects)):
            return False
        for suspect in suspects:
            if suspect.event.id not in self.refusals:
                continue  # the sink took this one meanwhile
            (outcome,) = self._deliver([suspect])
            if outcome.verdict is Verdict.UNAVAILABLE and outcome.attempted:
                outcome = replace(outcome, verdict=Verdict.REJECTED)
            self._finish([suspect], [outcome])
        return not self.refusals

    def _took_one_lately(self) -> bool:
        """Whether the sink took an event, or began to take none, a short time ago."""
        since = self.failing_since if self.delivered_at is None else self.delivered_at
        return since is None or self._seconds() - since < PAUSED_SECONDS

    def _takes_another(self, waiting: Sequence[Entry], suspects: Sequence[Entry]) -> bool:
        """Deliver one event behind the suspects, another one each time; return whether the sink took it."""
        others = list(_behind(waiting, suspects)) or list(suspects[1:])
        if not others:
            return False
        entry = others[(self.refusals[suspects[0].event.id] - REFUSALS) % len(others)]
        outcomes = self._deliver([entry])
        self._finish([entry], outcomes)
        return outcomes[0].verdict is Verdict.DELIVERED

    def _retry_rejected(self) -> bool:
        """Deliver some of the retrying events that are due; return if more may be due."""
        retrying = self.events.retrying(self.sink.name)
        limit = min(RETRY_BATCH, self.batch)
        claims = retrying.claim(limit, self.lease_seconds)
        if not claims:
            return False
        found = self.events.rejected_entries(self.sink.name, [claim.id for claim in claims])
        present = [(claim, entry) for claim, entry in zip(claims, found, strict=True) if entry is not None]
        retrying.drop({claim.id for claim in claims} - {claim.id for claim, _ in present})
        outcomes = self._deliver([entry for _, entry in present])
        judged = [
            self._finish_retry(claim, entry, outcome)
            for (claim, entry), outcome in zip(present, outcomes, strict=True)
        ]
        if not any(judged) or any(one.verdict is Verdict.GONE or one.retry_after is not None for one in outcomes):
            self._give_way(outcomes)
        return len(claims) == limit

    def _finish_retry(self, claim: Claim, entry: Entry, outcome: Outcome) -> bool:
        """Remove, release or dead-letter a retrying event; return whether the outcome is about this event."""
        retrying = self.events.retrying(self.sink.name)
        if outcome.verdict in _DONE:
            self._note(claim.id, outcome, claim.tries + 1)  # it was tried once before it was rejected
            self.events.mark_delivered(self.sink.name, claim)
            return True
        if outcome.verdict is Verdict.GONE or not outcome.attempted:
            retrying.release(claim, 0.0, claim.tries - 1)
            return False
        if outcome.verdict is Verdict.UNAVAILABLE and not self._worked_since(claim):
            retrying.release(claim, REDELIVERY_BACKOFF.pause(claim.tries, self.random()), claim.tries - 1)
            return False
        judged = replace(outcome, verdict=Verdict.REJECTED)
        if claim.tries >= REDELIVERY_ATTEMPTS:
            self._note(claim.id, judged, claim.tries + 1, "dead_lettered")
            self.events.dead_letter(self.sink.name, claim)
            self._warn("event.dead_lettered", entry, outcome)
        else:
            self._note(claim.id, judged, claim.tries + 1)
            retrying.release(claim, REDELIVERY_BACKOFF.pause(claim.tries + 1, self.random()), claim.tries)
        return True

    def _worked_since(self, claim: Claim) -> bool:
        """Whether the sink took another event since the last try, so that this event is at fault."""
        if self.delivered_at is None:
            return False
        return self.delivered_at >= self._seconds() - claim.late - REDELIVERY_BACKOFF.pause(claim.tries, 0.0)

    def _give_way(self, outcomes: Sequence[Outcome]) -> None:
        """Stop delivering for now, because the sink is unavailable."""
        for outcome in outcomes:
            if outcome.verdict in _UNAVAILABLE:
                self.trouble = self.trouble or outcome.reason
                self.disabled = self.disabled or outcome.verdict is Verdict.GONE
                self.retry_after = max(self.retry_after, outcome.retry_after or 0.0)

    def _deliver(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Hand over entries and count the outcomes; one outcome per entry."""
        self.lease.check()
        began = self._seconds()
        hand_over = self._hand_over_traced if self.tracer.active else self._hand_over
        outcomes = hand_over([entry.event for entry in entries]) if entries else []
        now = self._seconds()
        self.batch = max(1, self.batch // 2) if now - began > SLOW else min(BATCH, self.batch * 2)
        self._count(entries, outcomes, now)
        return outcomes

    def _count(self, entries: Sequence[Entry], outcomes: Sequence[Outcome], now: float) -> None:
        for entry, outcome in zip(entries, outcomes, strict=True):
            if outcome.verdict is Verdict.DELIVERED and entry.first_seen is not None:
                self.metrics.observe("end_to_end_latency_seconds", max(0.0, now - entry.first_seen))
        for verdict, number in Counter([outcome.verdict for outcome in outcomes]).items():
            self.metrics.count("events_published_total", self.sink.name, verdict.value, by=number)
            if verdict is Verdict.DELIVERED:
                self.delivered, self.delivered_at = self.delivered + number, now
                self.metrics.count("messages_total", "published", by=number)

    def _hand_over(self, events: Sequence[Event]) -> list[Outcome]:
        """Return one outcome per event."""
        try:
            return self.sink.deliver(events)
        except SinkUnavailableError as error:
            return [Outcome(Verdict.UNAVAILABLE, error.reason, attempted=False)] * len(events)
        except Exception:  # one event must not stop the others, nor this sink the other ones, even through a bug
            log.exception("sink.bug", sink=self.sink.name)
            return [Outcome(Verdict.UNAVAILABLE, "internal")] * len(events)

    def _hand_over_traced(self, events: Sequence[Event]) -> list[Outcome]:
        """The same with spans, each of which lasts as long as the whole batch: the sink receives it together."""
        with ExitStack() as stack:
            spans = [stack.enter_context(self._span(event)) for event in events]
            traced = zip(events, spans, strict=True)
            outcomes = self._hand_over([replace(event, traceparent=span.traceparent) for event, span in traced])
            for span, outcome in zip(spans, outcomes, strict=True):
                span.note(outcome=outcome.verdict.value)
                if outcome.verdict not in _DONE:
                    span.fail(outcome.reason)
        return outcomes

    def _span(self, event: Event) -> Span:
        about: Attributes = {"mailbox": event.mailbox, "event": event.id, "sink": self.sink.name}
        return self.tracer.start(Step.DELIVER, traceparent_of(event), **about)

    def _seconds(self) -> float:
        return self.now().timestamp()

    def _goes_on(self) -> bool:
        self.lease.check()
        return self.trouble is None and not self.stop()

    def _warn(self, what: str, entry: Entry, outcome: Outcome) -> None:
        log.warning(what, sink=self.sink.name, event_id=entry.event.id, error=outcome.reason)


def _differs(status: SinkStatus, before: SinkStatus) -> bool:
    """Whether a status has to be recorded; one that is newer only is not, so soon after the last one."""
    if status.delivered_at is None or before.delivered_at is None:
        return status != before
    newer = status.delivered_at - before.delivered_at
    return newer >= FRESHNESS or status != replace(before, delivered_at=status.delivered_at)


def _behind(waiting: Sequence[Entry], suspects: Sequence[Entry]) -> Iterator[Entry]:
    """The events to try behind suspects: the first of each other mailbox, then those of the suspects' mailboxes.

    An event of a suspect's mailbox overtakes it, and so is the last choice.
    """
    blamed, seen = {entry.event.mailbox for entry in suspects}, set[str]()
    ids = {entry.event.id for entry in suspects}
    for entry in waiting:
        if entry.event.mailbox not in blamed | seen:
            seen.add(entry.event.mailbox)
            yield entry
    yield from (entry for entry in waiting if entry.event.mailbox in blamed and entry.event.id not in ids)
