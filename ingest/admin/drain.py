"""`mailhaul drain`: poll every mailbox, process every open message, deliver every event, in this process."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ingest.admin.pipeline import PARALLEL_MESSAGES, in_threads, wait_for_others
from ingest.admin.progress import DrainProgress, DrainStage
from ingest.errors import MaildropError
from ingest.metrics import Metrics
from ingest.usecases.poll.report import PollReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from ingest.admin.pipeline import Pipeline
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger
    from ingest.usecases.handover import HandOver
    from ingest.usecases.poll.stage import PollOutcome, PollStage
    from ingest.usecases.recover.watermark import DeliveryWatermark
    from ingest.usecases.schedule import Schedule, Ticker

PARALLEL_MAILBOXES = 32
# Raw mail in memory that was fetched and is not processed yet; the rest is read from the store.
HANDOVER_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class DrainedMailbox:
    """The result for one mailbox. `error` is the text for the person at the terminal, None if there was no error."""

    mailbox: str
    result: str
    report: PollReport
    failed_messages: int = 0
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the poll succeeded and no message failed."""
        return self.result == "success" and not self.report.failed and not self.failed_messages


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What `drain` did.

    `events` counts delivered events by sink; `pending` messages wait for another try; `sink_errors` says what the
    sinks that take no events answered.
    """

    mailboxes: Sequence[DrainedMailbox]
    processed: int
    pending: int
    events: dict[str, int]
    waiting_events: int
    seconds: float
    sink_errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def totals(self) -> PollReport:
        """The sums over all mailboxes."""
        summed = (*PollReport().counts(), "listed", "backlog_messages", "backlog_bytes")
        return PollReport(**{name: sum(getattr(row.report, name) for row in self.mailboxes) for name in summed})

    @property
    def ok(self) -> bool:
        """Whether every message is stored and processed and every event delivered."""
        return all(row.ok for row in self.mailboxes) and not self.pending and not self.waiting_events


@dataclass(frozen=True, slots=True)
class Drain:
    """Runs the three stages until nothing is left to do."""

    ledger: Ledger
    events: EventLog
    ticker: Ticker
    poll: PollStage
    pipeline: Pipeline
    watermark: DeliveryWatermark
    now: Callable[[], datetime]
    handover: HandOver

    def run(self, schedule: Schedule, stop: Callable[[], bool], progress: DrainProgress | None = None) -> DrainReport:
        """Poll every mailbox until a poll brings nothing more, process all that is pending, deliver all events.

        Messages and sinks that have to wait for another try are tried by the next `drain`, or later.

        Args:
            schedule: what is configured.
            stop: asked between messages.
            progress: is kept up to date meanwhile.
        """
        started = time.monotonic()
        progress = progress or DrainProgress(Metrics())
        self.ticker.tick(schedule)
        with self.handover.open(HANDOVER_BYTES):
            progress.begin(DrainStage.FETCH, len(schedule.mailboxes))
            with self._processing_meanwhile(stop) as counts:
                outcomes = self._poll_all(schedule, stop, progress)
            progress.begin(DrainStage.PROCESS, self.ledger.counts()["open"])
            processed = sum(counts) + self.pipeline.process_all(stop)
        progress.begin(DrainStage.DELIVER, sum(self.events.lag(sink).entries for sink in schedule.sinks))
        events = self.pipeline.deliver_all(schedule.sinks, stop)
        self.watermark.write_if_due(schedule.configured, schedule.sinks, self.now().timestamp())
        answers = {sink: self.events.sink_status(sink) for sink in schedule.sinks}
        failed = Counter(failure.message.mailbox for failure in self.ledger.failed_messages())
        return DrainReport(
            mailboxes=[_row(outcome, failed[outcome.mailbox]) for outcome in outcomes],
            processed=processed,
            pending=self.ledger.counts()["open"],
            events=dict(events),
            waiting_events=sum(self.events.lag(sink).entries for sink in schedule.sinks)
            + self.ledger.counts()["dead_letters"],
            seconds=time.monotonic() - started,
            sink_errors={name: status.words for name, status in answers.items() if status.failing_since is not None},
        )

    @contextmanager
    def _processing_meanwhile(self, stop: Callable[[], bool]) -> Iterator[list[int]]:
        """Process during the `with` block, whenever the hand-over is nearly full; yield the list of how many.

        Fetching pauses then, because threads that alternate cost more than they gain: one stage has its turn after
        the other, as in a drain of little mail.
        """
        counts: list[int] = []

        def process() -> None:
            def enough() -> bool:
                return stop() or self.handover.is_fetched

            counts.extend(self.pipeline.process.run(enough) for _ in self.handover.pauses())

        with ThreadPoolExecutor(PARALLEL_MESSAGES) as threads:
            futures = [threads.submit(process) for _ in range(PARALLEL_MESSAGES)]
            try:
                yield counts
            finally:
                self.handover.end()
        for future in futures:
            future.result()

    def _poll_all(self, schedule: Schedule, stop: Callable[[], bool], progress: DrainProgress) -> list[PollOutcome]:
        outcomes: dict[str, PollOutcome] = {}
        finished: set[str] = set()
        deferred: set[str] = set()
        for mailbox in schedule.mailboxes:
            self.ledger.mailboxes.run_now(mailbox)

        def enough() -> bool:
            return stop() or finished.issuperset(schedule.mailboxes)

        def listen(outcome: PollOutcome) -> None:
            if outcome.mailbox in finished:
                return
            if outcome.deferred:
                deferred.add(outcome.mailbox)
                return
            before = outcomes.get(outcome.mailbox)
            whole = replace(outcome, report=before.report.then(outcome.report)) if before else outcome
            outcomes[outcome.mailbox] = whole
            goes_on = self._goes_on(outcome)
            progress.polled(outcome.mailbox, whole.report.registered, is_last=not goes_on)
            if not goes_on:
                finished.add(outcome.mailbox)

        def work() -> None:
            # A drain that takes longer than an interval would poll again what it has finished.
            self.poll.run(enough, leave=stop, listen=listen, skip=finished.__contains__)

        while not enough():
            in_threads(work, min(PARALLEL_MAILBOXES, max(1, len(schedule.mailboxes))))
            # A deferred mailbox is due again within seconds.
            if not wait_for_others(self.ledger.mailboxes, more=bool(deferred - finished)):
                break
        return sorted(outcomes.values(), key=lambda outcome: outcome.mailbox)

    def _goes_on(self, outcome: PollOutcome) -> bool:
        """Return whether the mailbox is to be polled again; it is due now.

        A poll that fetched messages before its session broke off leaves fewer of them to the next one.
        """
        report, error = outcome.report, outcome.error
        if isinstance(error, MaildropError) and error.during is not None and report.advanced:
            return report.terms.login_delay <= 0 and self.ledger.mailboxes.run_now(outcome.mailbox)
        return report.more


def _row(outcome: PollOutcome, failed_messages: int) -> DrainedMailbox:
    error = None if outcome.error is None else str(outcome.error)
    return DrainedMailbox(outcome.mailbox, outcome.result, outcome.report, failed_messages, error)
