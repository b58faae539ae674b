"""The scheduler's tick, once a second: make the schedule follow the configuration, send wake-ups for what is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.errors import StoreError
from ingest.ports.eventlog import RETIRED_AFTER
from ingest.ports.schedule import Precedence
from ingest.ports.wakeups import Queue, Wakeups
from ingest.usecases.claims import MESSAGES_PER_CLAIM

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

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
# In ticks. The ledger may lose a part of the schedule; this repairs it.
REPAIR_EVERY = 60

_NOT_ANNOUNCED = Precedence(0, newest=False)


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the configuration wants scheduled.

    Attributes:
        mailboxes: ids of the enabled mailboxes.
        sinks: names of all sinks.
        digest: changes when anything else here does.
        from_now: names of the sinks that get no events from before they were added.
        disabled: ids of the mailboxes that are configured and not enabled.
        partial: the configuration has changed in parts that this process uses only after a restart.
    """

    mailboxes: Collection[str]
    sinks: Collection[str]
    digest: str
    from_now: Collection[str] = ()
    disabled: Collection[str] = ()
    partial: bool = False

    @property
    def configured(self) -> list[str]:
        """The ids of all configured mailboxes."""
        return [*self.mailboxes, *self.disabled]


@dataclass(slots=True)
class Ticker:
    """Ticks once a second. Any number of schedulers may run at once: claims are atomic, wake-ups carry no state.

    Schedulers may run with different configurations, as they do during an upgrade. Only the newest configuration
    changes the schedule and trims the stream; the other schedulers send wake-ups only, until their own configuration
    changes, or the newest has not been used for ten minutes.

    Attributes:
        polling_stops: whether no mailbox is to be polled now.
        lower_watermark: lowers the delivery watermark to a time to which the clock was set back.
    """

    ledger: Ledger
    events: EventLog
    wakeups: Wakeups
    polling_stops: Callable[[], bool] = lambda: False
    lower_watermark: Callable[[float], None] = lambda _: None
    ticks: int = 0
    digest: str = ""
    precedence: Precedence = _NOT_ANNOUNCED
    _set_back_to: float | None = None  # until the watermark was lowered

    def tick(self, schedule: Schedule) -> None:
        """Follow the configuration if it changed or the ledger was lost, then send wake-ups for what is due.

        Raises:
            LedgerUnavailableError: the ledger is unavailable; the next tick tries again.
        """
        newest = self._announce(schedule)
        if newest and self.ledger.schedule_digest() != schedule.digest:
            self._follow(schedule)
        elif newest and self.ticks % REPAIR_EVERY == 0:
            self._repair(schedule)
        self._record_tick()
        stopped = self.polling_stops()
        if not stopped:
            self._wake_up(Queue.POLL, self.ledger.mailboxes.backlog().due)
        self._wake_up(Queue.PROCESS, -(-self.ledger.messages.backlog().due // MESSAGES_PER_CLAIM))
        self._wake_up(Queue.RELAY, max(self._lagging(schedule), self.ticks % RELAY_EVERY == RELAY_EVERY - 1))
        if newest and (stopped or self.ticks % TRIM_EVERY == 0):
            self.events.trim(sorted(schedule.sinks), nearly_full=stopped)
        self.ticks += 1

    def _record_tick(self) -> None:
        """Record the tick; if the clock was set back, lower the delivery watermark, at every tick until it works."""
        back_to = self.ledger.record_tick()
        if back_to is not None:
            log.warning("clock.set_back")
            self._set_back_to = min(back_to, self._set_back_to or back_to)
        if self._set_back_to is None:
            return
        try:
            self.lower_watermark(self._set_back_to)
        except StoreError as error:
            log.warning("watermark.not_written", error=error.code)
        else:
            self._set_back_to = None

    def _announce(self, schedule: Schedule) -> bool:
        """Return whether this configuration is the newest one in use.

        A changed configuration is a new one, except that a process which another one has superseded does not become
        the newest again with a configuration that it uses in part.
        """
        before, epoch = self.precedence, self.precedence.epoch
        if schedule.digest != self.digest and not (schedule.partial and self._superseded()):
            epoch = 0
        self.precedence = self.ledger.announce(schedule.digest, epoch)
        self.digest = schedule.digest
        if before.newest and not self.precedence.newest:
            log.warning("schedule.superseded", epoch=self.precedence.epoch)
        elif self.precedence.newest and not before.newest:
            log.info("schedule.newest", epoch=self.precedence.epoch)
        return self.precedence.newest

    def _superseded(self) -> bool:
        """Return whether there is a newer configuration than the one that this process used until now."""
        known = self.precedence.epoch > 0
        return known and not self.ledger.announce(self.digest, self.precedence.epoch).newest

    def _follow(self, schedule: Schedule) -> None:
        self._begin(schedule)
        if not self._follow_mailboxes(schedule) or not self._follow_sinks(schedule):
            return
        self.ledger.set_schedule_digest(schedule.digest)
        log.info("schedule.changed", mailboxes=len(schedule.mailboxes), sinks=len(schedule.sinks))

    def _repair(self, schedule: Schedule) -> None:
        self._follow_mailboxes(schedule)
        self._follow_sinks(schedule)

    def _follow_sinks(self, schedule: Schedule) -> bool:
        known, wanted = self.ledger.sinks.members(), set(schedule.sinks)
        left = sorted(known - wanted)
        if not self.ledger.schedule_sinks(self.precedence.epoch, drop=left, add=sorted(wanted - known)):
            return False
        for sink in schedule.sinks:
            self.events.ensure_group(sink)
        for sink in left:
            log.warning("sink.left", sink=sink, seconds=RETIRED_AFTER)
        return True

    def _follow_mailboxes(self, schedule: Schedule) -> bool:
        """Schedule the mailboxes to poll, and, after a loss of the ledger, those that are disabled or paused too.

        A poller that claims one of the latter rebuilds it and unschedules it again, so that its events are not lost.
        Returns False if a newer configuration prevents it.
        """
        polled = set(schedule.mailboxes) - self.ledger.paused().keys()
        not_polled = set(schedule.configured) - polled
        lost = not_polled if self.ledger.unknown(not_polled) else set[str]()
        known = self.ledger.mailboxes.members()
        dropped, added = known - polled - not_polled, (polled | lost) - known
        return self.ledger.schedule_mailboxes(self.precedence.epoch, drop=dropped, add=sorted(added))

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
