"""Deliver to each due sink the events that it has not confirmed, in order, and acknowledge what it confirms.

One relay at a time claims a sink, which keeps the order. A sink that is unavailable is retried with growing pauses
and delays no other sink. A sink that answered 410 Gone is disabled until an operator resumes it
(`ingest.admin.sinks`); its events are kept. An event that a sink rejects, or does not take several times while it
takes others, goes to the sink's dead-letter queue and is retried there, while the sink receives the events after it.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.domain.keys import fits, mark
from ingest.domain.retry import DISABLED_PAUSE, SINK_BACKOFF
from ingest.ports.eventlog import order_of
from ingest.ports.tracing import NO_TRACING, Tracer
from ingest.usecases.claims import work_off
from ingest.usecases.deliver.delivery import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from ingest.metrics import Metrics
    from ingest.ports.claims import Claim, WorkSets
    from ingest.ports.eventlog import EventLog
    from ingest.ports.sink import Sink
    from ingest.usecases.claims import LeaseKeeper

log = get_logger()

# Seconds after which another process may try a sink that this one does not know.
UNKNOWN_PAUSE = 10.0
# A relay that was woken collects further events for so many seconds before it delivers them together, and ends when
# none comes for as many. While it listens, nobody has to wake it: see the pause between two wake-ups for a relay.
GATHER, LISTEN = 0.25, 2.5
# Due times are in milliseconds: a sink that is done within one is due as early as the others, and may precede them.
BEHIND_OTHERS = 0.001


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
    fingerprint: Callable[[str], bytes] = lambda _: b""
    keeps_answers: bool = False
    sleep: Callable[[float], object] = time.sleep
    _listening: threading.Lock = field(default_factory=threading.Lock)
    _resumed: dict[str, bytes] = field(default_factory=dict)

    def run(self, stop: Callable[[], bool]) -> dict[str, int]:
        """Claim each due sink once and deliver its events; return the number of events delivered, by sink.

        A paused sink is due if its configuration or one of its secrets has changed since it failed.

        Raises:
            LedgerError: the ledger is unavailable. Events that were delivered and not acknowledged will be repeated.
        """
        self._resume_changed()
        return {sink: delivery.delivered for sink, delivery in self._run(stop).items()}

    def follow(self, stop: Callable[[], bool]) -> None:
        """Deliver to the due sinks, and again whenever there are new events, until none comes for a while.

        One thread of a process listens; another one that finds it listening ends. Errors as for `run`.
        """
        newest = _newest(self._run(stop))
        while not stop() and self._wait(newest):
            newest = _newest(self._run(stop))
            if not newest:
                break  # what is in the stream is for sinks that are paused, or that others deliver to

    def _wait(self, newest: str) -> bool:
        if not self._listening.acquire(blocking=False):
            return False
        try:
            if newest:
                self.sleep(GATHER)
            return self.events.wait(newest, LISTEN)
        finally:
            self._listening.release()

    def _resume_changed(self) -> None:
        """End the pauses of sinks whose configuration has changed since they failed.

        Once for each configuration that this process has: another process may have another one, during a roll-out or
        because somebody forgot it, and each would end the pauses that the other one begins.
        """
        for sink in self.sinks:
            if not self.ledger.sinks.due_in(sink):
                continue
            fingerprint, known = self.fingerprint(sink), self.events.sink_status(sink).config
            if not known or fits(fingerprint, known) or self._resumed.get(sink) == fingerprint:
                continue
            self._resumed[sink] = fingerprint
            if self.ledger.sinks.run_now(sink):
                log.info("sink.resumed", sink=sink)

    def _run(self, stop: Callable[[], bool]) -> dict[str, Delivery]:
        done: dict[str, Delivery] = {}
        again: set[str] = set()  # done, and claimed once more

        def stop_now() -> bool:
            # A sink without further events is due again at once, so that any relay can deliver the next event.
            return stop() or done.keys() >= self.sinks.keys()

        def handle(claim: Claim) -> None:
            if claim.id in done:
                again.add(claim.id)
                self.ledger.sinks.release(claim, BEHIND_OTHERS, claim.tries - 1)
                return
            delivery = self.handle(claim, stop)
            if delivery is not None:
                done[claim.id] = delivery

        def round_over(claim: Claim) -> bool:
            return claim.id in again

        work_off(self.ledger.sinks, handle, lease=self.keeper.seconds, stop=stop_now, enough=round_over)
        return done

    def handle(self, claim: Claim, stop: Callable[[], bool]) -> Delivery | None:
        """Deliver to one claimed sink until no event is left, it fails, or `stop` is true; None if it is unknown."""
        sink = self.sinks.get(claim.id)
        if sink is None:
            # This process started before the sink was configured; another one knows it.
            self.ledger.sinks.release(claim, UNKNOWN_PAUSE)
            return None
        with self.keeper.hold(self.ledger.sinks, claim) as lease:
            delivery = Delivery(
                self.events,
                sink,
                lease,
                stop,
                self.metrics,
                self.keeper.seconds,
                self.now,
                self.random,
                self.tracer,
                config=lambda: mark(self.fingerprint(sink.name), secrets.token_hex(8)),
                keeps_answers=self.keeps_answers,
            )
            delivery.run()
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
        return delivery


def _newest(done: Mapping[str, Delivery]) -> str:
    """The last position that was read; empty if none was."""
    return max((delivery.newest for delivery in done.values() if delivery.newest), key=order_of, default="")
