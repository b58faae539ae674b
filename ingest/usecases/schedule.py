"""The scheduler's tick, once a second: make the schedule follow the configuration, send wake-ups for what is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.ports.wakeups import Queue, Wakeups
from ingest.usecases.claims import MESSAGES_PER_CLAIM

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingest.ports.claims import WorkSet
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger

log = get_logger()

# A wake-up keeps one worker thread or process busy until nothing is due, so more than the largest fleet has threads
# are useless.
MAX_WAITING = {Queue.POLL: 200, Queue.PROCESS: 100, Queue.RELAY: 20}
# In ticks. Trimming the stream is cheap, but need not be done every second.
TRIM_EVERY = 10
# In ticks. A relay with nothing to deliver still has to write the delivery watermark now and then.
RELAY_EVERY = 60
# In ticks. A poller that has not read yet that a mailbox was enabled again may unschedule it; this repairs that.
REPAIR_EVERY = 60


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the configuration wants scheduled.

    Attributes:
        mailboxes: ids of the enabled mailboxes.
        sinks: names of all sinks.
        digest: changes when anything else here does.
        from_now: names of the sinks that get no events from before they were added.
        disabled: ids of the mailboxes that are configured and not enabled.
    """

    mailboxes: Collection[str]
    sinks: Collection[str]
    digest: str
    from_now: Collection[str] = ()
    disabled: Collection[str] = ()

    @property
    def configured(self) -> list[str]:
        """The ids of all configured mailboxes."""
        return [*self.mailboxes, *self.disabled]


@dataclass(slots=True)
class Ticker:
    """Ticks once a second. Any number of schedulers may run at once: claims are atomic, wake-ups carry no state."""

    ledger: Ledger
    events: EventLog
    wakeups: Wakeups
    ticks: int = 0

    def tick(self, schedule: Schedule) -> None:
        """Follow the configuration if it changed or the ledger was lost, then send wake-ups for what is due.

        Raises:
            LedgerUnavailableError: the ledger is unavailable; the next tick tries again.
        """
        if self.ledger.schedule_digest() != schedule.digest:
            self._follow(schedule)
        elif self.ticks % REPAIR_EVERY == REPAIR_EVERY - 1:
            self._follow_mailboxes(schedule)
        self.ledger.record_tick()
        self._wake_up(Queue.POLL, self.ledger.mailboxes.backlog().due)
        self._wake_up(Queue.PROCESS, -(-self.ledger.messages.backlog().due // MESSAGES_PER_CLAIM))
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
        """Schedule the mailboxes to poll, and, after a loss of the ledger, those that are disabled or paused too.

        A poller that claims one of the latter rebuilds it and unschedules it again, so that its events are not lost.
        """
        polled = set(schedule.mailboxes) - self.ledger.paused().keys()
        not_polled = set(schedule.configured) - polled
        lost = not_polled if self.ledger.unknown(not_polled) else set[str]()
        _replace(self.ledger.mailboxes, keep=polled | not_polled, add=polled | lost)

    def _begin(self, schedule: Schedule) -> None:
        """Set where new sinks begin in the stream, before any process creates their consumer groups.

        To a ledger without a schedule every sink is new. Either it has no events yet, or it was lost and gets those
        events republished that some sink may not have: then no sink may begin behind them.
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
    """Drop the items not in `keep`, and add the missing ones of `add`."""
    known = work.members()
    work.drop(known - keep)
    work.add(sorted(add - known))
