"""Poll claimed mailboxes: poll each, record how the poll ended, release the mailbox with its next due time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.domain.retry import after_mailbox_error
from ingest.errors import (
    ConfigError,
    LedgerError,
    LedgerUnavailableError,
    MaildropAuthError,
    MaildropDeferredError,
    MaildropError,
    MailhaulError,
    SpoolError,
    StoreError,
)
from ingest.ports.status import MailboxStatus
from ingest.usecases.claims import work_off
from ingest.usecases.poll.logins import (
    CredentialsDoubtedError,
    CredentialsNotRetriedError,
    DoubtNotRetriedError,
    Logins,
)
from ingest.usecases.poll.report import PollReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from ingest.domain.mailbox import Mailbox
    from ingest.metrics import Metrics
    from ingest.ports.claims import Claim
    from ingest.ports.ledger import Ledger
    from ingest.usecases.backpressure import MemoryPressure
    from ingest.usecases.claims import LeaseKeeper
    from ingest.usecases.poll.poller import Poller
    from ingest.usecases.poll.threads import PollThreads
    from ingest.usecases.schedule import Schedule

log = get_logger()

# Seconds until a mailbox is due again about which this process and the scheduler disagree: one of them has not read
# the changed configuration yet. Each looks for changes once a second.
DISAGREED_PAUSE = 2.0
# The longest announced pause between two logins that is followed, in seconds.
LONGEST_LOGIN_DELAY = 86_400.0


@dataclass(frozen=True, slots=True)
class PollOutcome:
    """How a poll ended. `result` is a label of `mailhaul_polls_total`, or `deferred` if no poll took place."""

    mailbox: str
    result: str
    report: PollReport
    error: MailhaulError | None = None

    @property
    def deferred(self) -> bool:
        """Whether our own limit of connections deferred the poll."""
        return isinstance(self.error, MaildropDeferredError)


@dataclass(frozen=True, slots=True)
class PollStage:
    """Polls due mailboxes. A mailbox that fails never delays the others.

    Attributes:
        mailboxes: returns the configured mailboxes by id, the same object until the configuration changes.
        schedule: returns what the configuration wants scheduled, as the scheduler would announce it.
        pressure: stops polls while the ledger has too little memory.
        threads: gives each server a share of this process's threads.
        fingerprint: returns a digest of everything a mailbox's login depends on, by its id; it changes when the
            credentials change.
        now: the wall clock, in UTC.
        random: returns a number in [0, 1).
    """

    poller: Poller
    ledger: Ledger
    keeper: LeaseKeeper
    metrics: Metrics
    mailboxes: Callable[[], Mapping[str, Mailbox]]
    schedule: Callable[[], Schedule]
    fingerprint: Callable[[str], bytes]
    now: Callable[[], datetime]
    random: Callable[[], float]
    threads: PollThreads
    pressure: MemoryPressure

    def run(
        self,
        stop: Callable[[], bool],
        *,
        leave: Callable[[], bool] | None = None,
        listen: Callable[[PollOutcome], None] = lambda _: None,
        skip: Callable[[str], bool] = lambda _: False,
    ) -> int:
        """Claim one due mailbox at a time until none is due, or the ledger's memory is nearly full.

        Returns how many were claimed.

        Args:
            stop: asked between mailboxes.
            leave: asked between messages too, for a stop that cannot wait for a large mailbox; `stop` by default.
            listen: called with every poll that ended.
            skip: whether a mailbox, by its id, is left for later, although it is due.
        """

        def stop_now() -> bool:
            return stop() or self.pressure.high()

        def leave_now() -> bool:
            return (leave or stop)() or self.pressure.high()

        def handle(claim: Claim) -> None:
            mailbox = self.mailboxes().get(claim.id)
            if mailbox is not None and skip(claim.id):
                self.ledger.mailboxes.release(claim, mailbox.interval, claim.tries - 1)
                return
            outcome = self.handle(claim, leave_now)
            if outcome is not None:
                listen(outcome)

        return work_off(self.ledger.mailboxes, handle, lease=self.keeper.seconds, stop=stop_now)

    def handle(self, claim: Claim, leave: Callable[[], bool]) -> PollOutcome | None:
        """Poll one claimed mailbox and release it; returns None if it is not to be polled."""
        mailboxes = self.mailboxes()
        mailbox = mailboxes.get(claim.id)
        if mailbox is None:
            self.ledger.mailboxes.release(claim, DISAGREED_PAUSE)
            return None
        if not mailbox.enabled or self.ledger.is_paused(mailbox.id):
            self._unschedule(claim, mailbox)
            return None
        pause = self.threads.enter(mailbox, claim.fence, mailboxes)
        if pause > 0:
            return self._defer(claim, mailbox, pause)
        started, outcome = time.monotonic(), None
        try:
            outcome = self._poll(claim, mailbox, leave)
        finally:
            self.threads.leave(mailbox, claim.fence, polled=outcome is not None and not outcome.deferred)
        self._record(mailbox, outcome, time.monotonic() - started)
        self._release(claim, mailbox, outcome)
        return outcome

    def _defer(self, claim: Claim, mailbox: Mailbox, pause: float) -> PollOutcome:
        """Release a mailbox whose server has used its share of the threads."""
        self.metrics.count("polls_deferred_total", mailbox.server.label)
        self.ledger.mailboxes.release(claim, pause, claim.tries - 1)
        error = MaildropDeferredError(f"{mailbox.server.label} has used its share of the threads.")
        return PollOutcome(mailbox.id, result_of(error), PollReport(), error)

    def _unschedule(self, claim: Claim, mailbox: Mailbox) -> None:
        """Take a mailbox that is disabled or paused out of the schedule.

        If the ledger was lost, the mailbox is rebuilt first: nobody else would do it, and its events would be lost.
        If the scheduler uses another configuration, that may have enabled the mailbox: it stays scheduled, and is due
        again when both should have read the same.
        """
        error = self._rebuild(claim, mailbox)
        if error is not None:
            log.warning("mailbox.not_rebuilt", mailbox=mailbox.id, error=error.code)
            pause = after_mailbox_error(error, claim.tries, self.random())
            self.ledger.mailboxes.release(claim, pause, claim.tries)
            return
        schedule = self.schedule()
        disabled = mailbox.id in schedule.disabled
        if self.ledger.unschedule(claim, schedule.digest if disabled else ""):
            self.metrics.poll_ended(claim.id, "disabled")
        else:  # otherwise it was resumed or enabled just now
            self.ledger.mailboxes.release(claim, DISAGREED_PAUSE if disabled else 0.0)

    def _rebuild(self, claim: Claim, mailbox: Mailbox) -> MailhaulError | None:
        """Rebuild what the ledger has lost of a mailbox that is not to be polled; return why that failed."""
        try:
            self.poller.rebuild(claim, mailbox)
        except MailhaulError as error:
            return error
        except Exception as bug:  # as for a poll
            log.exception("poll.bug", mailbox=mailbox.id)
            return _UnexpectedError(type(bug).__name__)
        return None

    @property
    def _logins(self) -> Logins:
        return Logins(self.ledger, self.fingerprint, self.now, self.random)

    def _poll(self, claim: Claim, mailbox: Mailbox, leave: Callable[[], bool]) -> PollOutcome:
        try:
            if claim.tries > 1:
                self._logins.raise_if_refused_before(mailbox.id)
            report = self.poller.poll(claim, mailbox, leave)
        except MailhaulError as error:
            return self._failed(mailbox, PollReport(), error)
        except Exception as bug:  # one mailbox must not stop the others, not even through a bug
            log.exception("poll.bug", mailbox=mailbox.id)
            return PollOutcome(mailbox.id, "internal_error", PollReport(), _UnexpectedError(type(bug).__name__))
        if report.error is not None:
            return self._failed(mailbox, report, report.error)
        return PollOutcome(mailbox.id, "success", report)

    def _failed(self, mailbox: Mailbox, report: PollReport, error: MailhaulError) -> PollOutcome:
        error = self._logins.judged(mailbox.id, error)
        return PollOutcome(mailbox.id, result_of(error), report, error)

    def _record(self, mailbox: Mailbox, outcome: PollOutcome, seconds: float) -> None:
        """Count and log a poll that ended."""
        if outcome.deferred:
            self.metrics.count("polls_deferred_total", mailbox.server.label)
            return
        self.metrics.observe("poll_duration_seconds", seconds, mailbox.server.label)
        self.metrics.poll_ended(mailbox.id, outcome.result)
        _log_outcome(outcome, seconds)

    def _release(self, claim: Claim, mailbox: Mailbox, outcome: PollOutcome) -> None:
        delay, tries = self._next(claim, mailbox, outcome)
        try:
            if not outcome.deferred:
                login = self._logins.worked(mailbox.id) if outcome.report.logged_in else None
                self.ledger.put_status(mailbox.id, self._status(outcome), login)
            self.ledger.mailboxes.release(claim, delay, tries)
        except LedgerUnavailableError:
            log.warning("poll.not_released", mailbox=mailbox.id)  # the claim expires by itself

    def _next(self, claim: Claim, mailbox: Mailbox, outcome: PollOutcome) -> tuple[float, int]:
        """Return in how many seconds the mailbox is due again, and how many tries its next claim counts on from."""
        error = outcome.error
        login_delay = min(self.poller.terms(mailbox.id).login_delay, LONGEST_LOGIN_DELAY)
        report = outcome.report
        if error is None:
            # With more to fetch, the mailbox is due again at once, behind those that are due already.
            return max(0.0 if report.more else mailbox.interval, login_delay), 0
        if isinstance(error, CredentialsNotRetriedError | DoubtNotRetriedError):
            return mailbox.interval, claim.tries - 1
        if report.rest_done and not report.registered and isinstance(error, MaildropError):
            # Only messages that end sessions are left: they must not delay new mail.
            return max(mailbox.interval, login_delay), 0
        tries = 1 if report.registered else claim.tries  # progress restarts the pauses
        pause = after_mailbox_error(error, tries, self.random())
        if isinstance(error, MaildropDeferredError):
            return pause, claim.tries - 1
        if isinstance(error, MaildropAuthError):
            self._logins.refused(mailbox.id, pause)
        if isinstance(error, MaildropAuthError | CredentialsDoubtedError):
            # Due at its interval nevertheless, to notice when the credentials have changed.
            return mailbox.interval, claim.tries
        return max(pause, 0.0 if report.registered else mailbox.interval, login_delay), tries

    def _status(self, outcome: PollOutcome) -> MailboxStatus:
        now, report = self.now().timestamp(), outcome.report
        doubt = outcome.error if isinstance(outcome.error, CredentialsDoubtedError) else None
        return MailboxStatus(
            last_poll=now,
            result=outcome.result,
            last_success=now if outcome.error is None else None,
            listed=report.listed,
            backlog_messages=report.backlog_messages,
            backlog_bytes=report.backlog_bytes,
            certificate_not_after=report.terms.certificate_not_after,
            expires_after=report.terms.expires_after,
            left_out=report.left_out,
            undeleted=report.undeleted,
            troubled=len(report.troubled),
            credentials_worked=None if doubt is None else doubt.worked,
            retry_at=None if doubt is None else doubt.until,
        )


def _log_outcome(outcome: PollOutcome, seconds: float) -> None:
    report, error = outcome.report, outcome.error
    if error is not None:
        # A login that was not even tried is no news: its refusal was logged when it happened.
        untried = isinstance(error, CredentialsNotRetriedError | DoubtNotRetriedError)
        write = log.debug if untried else log.warning
        write("poll.failed", mailbox=outcome.mailbox, result=outcome.result, error=error.code)
        return
    write = log.info if report.new or report.deleted else log.debug
    write(
        "poll.done",
        mailbox=outcome.mailbox,
        listed=report.listed,
        **report.counts(),
        seconds=round(seconds, 3),
    )


class _UnexpectedError(MailhaulError):
    """A bug in this program that one mailbox triggered; the text is the exception type's name only."""

    code = "internal"


def result_of(error: MailhaulError) -> str:
    """Return the label of `mailhaul_polls_total` for an error."""
    if isinstance(error, MaildropError):
        return error.result
    if isinstance(error, ConfigError):
        return "auth_error"  # the configuration names a secret that is missing
    if isinstance(error, StoreError):
        return "store_error"
    if isinstance(error, LedgerError):
        return "ledger_error"
    if isinstance(error, SpoolError):
        return "spool_error"
    return "internal_error"
