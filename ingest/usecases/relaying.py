"""Claimed sinks: hand each the events it has not confirmed, in order, and acknowledge what it confirms.

A sink is claimed by one relay at a time, so that order holds. One that is away waits with growing pauses and holds up
no other. An event that a sink refuses by itself is parked: it is tried again on its own, while the others pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.domain.retry import PARKED_BACKOFF, PARKED_TRIES, SINK_BACKOFF
from ingest.errors import SinkUnavailableError
from ingest.ports.sink import Outcome, Sink, Verdict
from ingest.usecases.work import work_off

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from ingest.metrics import Metrics
    from ingest.ports.ledger import Claim, Entry, EventLog, Ledger
    from ingest.usecases.lease import Lease, LeaseKeeper

log = get_logger()

BATCH = 100


@dataclass(frozen=True, slots=True)
class RelayStage:
    """Delivers the event stream to every sink."""

    ledger: Ledger
    events: EventLog
    sinks: Mapping[str, Sink]
    metrics: Metrics
    keeper: LeaseKeeper
    now: Callable[[], datetime]
    random: Callable[[], float]

    def run(self, stop: Callable[[], bool]) -> int:
        """Claim each due sink once and deliver what waits for it; returns how many sinks were handled.

        Raises:
            LedgerError: the ledger is away; events that were delivered and not acknowledged are delivered again.
        """
        visited: set[str] = set()

        def handle(claim: Claim) -> None:
            # A sink that has nothing left is due again at once, for whoever hears of the next event.
            visited.add(claim.id)
            self.handle(claim, stop)

        return work_off(
            self.ledger.sinks,
            handle,
            lease=self.keeper.seconds,
            stop=lambda: stop() or len(visited) >= len(self.sinks),
        )

    def handle(self, claim: Claim, stop: Callable[[], bool]) -> None:
        """Deliver to one claimed sink until nothing waits, it fails, or `stop` says so."""
        sink = self.sinks.get(claim.id)
        if sink is None:
            self.ledger.sinks.drop([claim.id])
            return
        with self.keeper.hold(self.ledger.sinks, claim) as lease:
            trouble = self._parked(sink, lease, stop) or self._stream(sink, lease, stop)
        if trouble is None:
            self.ledger.sinks.release(claim, 0.0)
            return
        pause = SINK_BACKOFF.pause(claim.tries, self.random())
        self.ledger.sinks.release(claim, pause, claim.tries)
        log.warning("sink.away", sink=sink.name, error=trouble, tries=claim.tries, seconds=round(pause, 1))

    def _stream(self, sink: Sink, lease: Lease, stop: Callable[[], bool]) -> str | None:
        """Deliver what is new; the reason code when the sink is away."""
        while not stop():
            lease.check()
            entries = self.events.read(sink.name, BATCH)
            if not entries:
                return None
            outcomes = self._deliver(sink, entries)
            trouble = self._settle(sink, entries, outcomes)
            if trouble is not None:
                return trouble
        return None

    def _settle(self, sink: Sink, entries: Sequence[Entry], outcomes: Sequence[Outcome]) -> str | None:
        delivered = [
            entry for entry, outcome in zip(entries, outcomes, strict=True) if outcome.verdict is Verdict.DELIVERED
        ]
        self.events.acknowledge(sink.name, [entry.position for entry in delivered])
        self._count_delivered(delivered)
        trouble = None
        for entry, outcome in zip(entries, outcomes, strict=True):
            if outcome.verdict is Verdict.REFUSED:
                self.events.park(sink.name, entry, PARKED_BACKOFF.pause(1, self.random()))
                log.warning("event.parked", sink=sink.name, event_id=entry.event.id, error=outcome.reason)
            elif outcome.verdict is Verdict.UNAVAILABLE:
                trouble = outcome.reason
        return trouble

    def _parked(self, sink: Sink, lease: Lease, stop: Callable[[], bool]) -> str | None:
        """Try parked events that are due; the reason code when the sink is away."""
        parked = self.events.parked(sink.name)
        while not stop():
            lease.check()
            claims = parked.claim(BATCH, self.keeper.seconds)
            if not claims:
                return None
            entries = self.events.parked_events(sink.name, [claim.id for claim in claims])
            present = [(claim, entry) for claim, entry in zip(claims, entries, strict=True) if entry is not None]
            parked.drop(claim.id for claim, entry in zip(claims, entries, strict=True) if entry is None)
            outcomes = self._deliver(sink, [entry for _, entry in present])
            trouble = None
            for (claim, entry), outcome in zip(present, outcomes, strict=True):
                trouble = self._settle_parked(sink, claim, entry, outcome) or trouble
            if trouble is not None:
                return trouble
        return None

    def _settle_parked(self, sink: Sink, claim: Claim, entry: Entry, outcome: Outcome) -> str | None:
        parked = self.events.parked(sink.name)
        if outcome.verdict is Verdict.DELIVERED:
            self.events.unpark(sink.name, claim)
            self._count_delivered([entry])
        elif outcome.verdict is Verdict.UNAVAILABLE:
            parked.release(claim, 0.0, claim.tries - 1)
            return outcome.reason
        elif claim.tries >= PARKED_TRIES:
            # Out of the schedule, yet kept: a person decides.
            parked.drop([claim.id])
            log.error("event.set_aside", sink=sink.name, event_id=entry.event.id, error=outcome.reason)
        else:
            parked.release(claim, PARKED_BACKOFF.pause(claim.tries, self.random()), claim.tries)
        return None

    def _deliver(self, sink: Sink, entries: Sequence[Entry]) -> list[Outcome]:
        try:
            outcomes = sink.deliver([entry.event for entry in entries]) if entries else []
        except SinkUnavailableError as error:
            outcomes = [Outcome(Verdict.UNAVAILABLE, error.code)] * len(entries)
        for outcome in outcomes:
            self.metrics.count("events_published_total", sink.name, outcome.verdict.value)
        return outcomes

    def _count_delivered(self, entries: Sequence[Entry]) -> None:
        now = self.now().timestamp()
        for entry in entries:
            self.metrics.count("messages_total", "published")
            if entry.first_seen is not None:
                self.metrics.observe("end_to_end_latency_seconds", max(0.0, now - entry.first_seen))
