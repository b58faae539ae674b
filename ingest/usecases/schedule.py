"""The scheduler's second: keep the schedule true to the configuration, and send no more wakeups than are of use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.ports.wakeups import Queue, Wakeups
from ingest.usecases.process.stage import BATCH

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingest.ports.claims import WorkSet
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger

log = get_logger()

# A hint sets one worker thread or process to work until nothing is due; more than the largest fleet has are no use.
MAX_WAITING = {Queue.POLL: 200, Queue.PROCESS: 100, Queue.RELAY: 20}
# Trimming the stream costs little, yet need not be done every second.
TRIM_EVERY = 10
# A relay that has nothing to deliver still writes down, once in a while, how far everything is published.
RELAY_EVERY = 60
# Who has not read yet that a mailbox is enabled again may take it out of the schedule; so that is looked through.
LOOK_THROUGH_EVERY = 60


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the configuration asks for: ids of enabled mailboxes, names of sinks, and a digest of it all.

    `from_now` are those of the sinks that want no event from before they were added. `resting` are ids of mailboxes
    that are configured and not enabled.
    """

    mailboxes: Collection[str]
    sinks: Collection[str]
    digest: str
    from_now: Collection[str] = ()
    resting: Collection[str] = ()


@dataclass(slots=True)
class Ticker:
    """One tick a second. Any number of schedulers may tick at once: claims are atomic, wakeups carry no truth."""

    ledger: Ledger
    events: EventLog
    wakeups: Wakeups
    ticks: int = 0

    def tick(self, schedule: Schedule) -> None:
        """Follow the configuration where it changed or the ledger was lost, then hint at what is due.

        Raises:
            LedgerUnavailableError: the ledger is away; the next tick tries again.
        """
        if self.ledger.schedule_digest() != schedule.digest:
            self._follow(schedule)
        elif self.ticks % LOOK_THROUGH_EVERY == LOOK_THROUGH_EVERY - 1:
            self._follow_mailboxes(schedule)
        self.ledger.record_tick()
        self._wake_up(Queue.POLL, self.ledger.mailboxes.backlog().due)
        self._wake_up(Queue.PROCESS, -(-self.ledger.messages.backlog().due // BATCH))
        self._wake_up(Queue.RELAY, max(self._lagging(schedule), self.ticks % RELAY_EVERY == RELAY_EVERY - 1))
        if self.ticks % TRIM_EVERY == 0:
            self.events.trim(sorted(schedule.sinks))
        self.ticks += 1

    def _follow(self, schedule: Schedule) -> None:
        self._begin(schedule)
        self._follow_mailboxes(schedule)
        _replace(self.ledger.sinks, keep=set(schedule.sinks), add=set(schedule.sinks))
        for sink in schedule.sinks:
            self.events.ensure_group(sink)
        self.ledger.set_schedule_digest(schedule.digest)
        log.info("schedule.changed", mailboxes=len(schedule.mailboxes), sinks=len(schedule.sinks))

    def _follow_mailboxes(self, schedule: Schedule) -> None:
        """Those that are polled, and those that rest, where the ledger has lost what it knew of one of them.

        Whoever claims one that rests heals it and takes it out again; so it does not lose its events either.
        """
        polled = set(schedule.mailboxes) - self.ledger.paused().keys()
        resting = {*schedule.mailboxes, *schedule.resting} - polled
        unknown = resting if self.ledger.unknown(resting) else set[str]()
        _replace(self.ledger.mailboxes, keep=polled | resting, add=polled | unknown)

    def _begin(self, schedule: Schedule) -> None:
        """Before anybody makes their groups, say where new sinks begin.

        To a ledger without a schedule every sink is new. It has no events yet, or it was lost and is told again those
        that some sink may not have: then nobody begins behind them.
        """
        lost = not self.ledger.schedule_digest()
        for sink in set(schedule.sinks) - self.ledger.sinks.members():
            self.events.begin(sink, now=sink in schedule.from_now and not lost)

    def _lagging(self, schedule: Schedule) -> int:
        if self.ledger.sinks.backlog().due == 0:
            return 0
        return sum(
            1 for sink in schedule.sinks if self.events.lag(sink).entries or self.events.retrying(sink).backlog().due
        )

    def _wake_up(self, queue: Queue, wanted: int) -> None:
        if wanted <= 0:
            return
        missing = min(wanted, MAX_WAITING[queue]) - self.wakeups.waiting(queue)
        if missing > 0:
            self.wakeups.send(queue, missing)


def _replace(work: WorkSet, *, keep: set[str], add: set[str]) -> None:
    """Drop what is not to be kept, and add what is missing."""
    known = work.members()
    work.drop(known - keep)
    work.add(sorted(add - known))
