"""Claimed mailboxes: poll each, say what became of it, give it back with its next due time."""

from __future__ import annotations

import hashlib
import secrets
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
from ingest.ports.slots import Refusal
from ingest.ports.status import MailboxStatus
from ingest.usecases.claims import work_off
from ingest.usecases.poll.progress import PollReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ingest.domain.mailbox import Mailbox
    from ingest.ports.claims import Claim
    from ingest.usecases.poll.poller import Poller

log = get_logger()

# A claim on a mailbox this process does not know: its configuration is older than the scheduler's.
UNKNOWN_PAUSE = 10.0
# Servers that mean it want minutes between two logins.
LONGEST_LOGIN_DELAY = 86_400.0


@dataclass(frozen=True, slots=True)
class PollOutcome:
    """A poll as `drain` reports it: `result` is a label of `mailhaul_polls_total`, or `deferred`: no poll at all."""

    mailbox: str
    result: str
    report: PollReport
    error: MailhaulError | None = None

    @property
    def deferred(self) -> bool:
        """Whether our own limit of connections put the poll off."""
        return isinstance(self.error, MaildropDeferredError)


@dataclass(frozen=True, slots=True)
class PollStage:
    """Works off due mailboxes. One that fails never holds up the others.

    Attributes:
        fingerprint: of everything that a mailbox's login depends on, by its id: changes when its credentials do.
    """

    poller: Poller
    mailboxes: Callable[[], Mapping[str, Mailbox]]
    fingerprint: Callable[[str], bytes]
    random: Callable[[], float]

    def run(
        self,
        stop: Callable[[], bool],
        *,
        leave: Callable[[], bool] | None = None,
        listen: Callable[[PollOutcome], None] = lambda _: None,
    ) -> int:
        """Claim one due mailbox at a time until none is due; returns how many were polled.

        Args:
            stop: asked between mailboxes.
            leave: asked between messages too, for an end that cannot wait for a large mailbox; `stop` by default.
            listen: told of every poll that ended.
        """
        ledger, keeper = self.poller.ledger, self.poller.keeper

        def handle(claim: Claim) -> None:
            outcome = self.handle(claim, leave or stop)
            if outcome is not None:
                listen(outcome)

        return work_off(ledger.mailboxes, handle, lease=keeper.seconds, stop=stop)

    def handle(self, claim: Claim, leave: Callable[[], bool]) -> PollOutcome | None:
        """Poll one claimed mailbox and release it; None when it is not to be polled."""
        work = self.poller.ledger.mailboxes
        mailbox = self.mailboxes().get(claim.id)
        if mailbox is None:
            work.release(claim, UNKNOWN_PAUSE)
            return None
        if not mailbox.enabled or self.poller.ledger.is_paused(mailbox.id):
            self._rest(claim, mailbox)
            return None
        started = time.monotonic()
        outcome = self._poll(claim, mailbox, leave)
        self._count(mailbox, outcome, time.monotonic() - started)
        self._give_back(claim, mailbox, outcome)
        return outcome

    def _rest(self, claim: Claim, mailbox: Mailbox) -> None:
        """Take a mailbox that is disabled or paused out of the schedule, once its part of a lost ledger is rebuilt."""
        ledger = self.poller.ledger
        self.poller.metrics.poll_ended(claim.id, "disabled")
        try:
            self.poller.rebuild(claim, mailbox)
        except StoreError as error:
            log.warning("mailbox.not_rebuilt", mailbox=mailbox.id, error=error.code)
            ledger.mailboxes.release(claim, after_mailbox_error(error, claim.tries, self.random()), claim.tries)
            return
        if not mailbox.enabled:
            ledger.mailboxes.drop([claim.id])
        elif not ledger.unschedule(claim):
            ledger.mailboxes.release(claim, 0.0)  # it was resumed just now

    def _poll(self, claim: Claim, mailbox: Mailbox, leave: Callable[[], bool]) -> PollOutcome:
        try:
            if claim.tries > 1:
                self._spare_the_account(mailbox)
            report = self.poller.poll(claim, mailbox, leave)
        except MailhaulError as error:
            return PollOutcome(mailbox.id, result_of(error), PollReport(), error)
        except Exception as bug:  # the border of one mailbox: a bug that it brings out must not stop the others
            log.exception("poll.bug", mailbox=mailbox.id)
            return PollOutcome(mailbox.id, "internal_error", PollReport(), _UnexpectedError(type(bug).__name__))
        return PollOutcome(mailbox.id, "success", report)

    def _spare_the_account(self, mailbox: Mailbox) -> None:
        """Do not try credentials again that were refused; servers lock accounts for it."""
        refusal = self.poller.ledger.refusal(mailbox.id)
        if refusal is not None and refusal.check == _check(refusal.salt, self.fingerprint(mailbox.id)):
            raise CredentialsSparedError(
                "The server refused these credentials before. They are not tried again for a while, "
                "to spare the account a lock-out; once they are changed, they are tried at the next poll."
            )

    def _count(self, mailbox: Mailbox, outcome: PollOutcome, seconds: float) -> None:
        metrics = self.poller.metrics
        if outcome.deferred:
            metrics.count("polls_deferred_total", mailbox.server.label)
            return
        metrics.observe("poll_duration_seconds", seconds, mailbox.server.label)
        metrics.poll_ended(mailbox.id, outcome.result)
        self._tell(outcome, seconds)

    def _give_back(self, claim: Claim, mailbox: Mailbox, outcome: PollOutcome) -> None:
        ledger = self.poller.ledger
        delay, tries = self._next(claim, mailbox, outcome)
        try:
            if not outcome.deferred:
                ledger.put_status(mailbox.id, self._status(outcome))
            ledger.mailboxes.release(claim, delay, tries)
        except LedgerUnavailableError:
            log.warning("poll.not_released", mailbox=mailbox.id)  # the claim expires by itself

    def _next(self, claim: Claim, mailbox: Mailbox, outcome: PollOutcome) -> tuple[float, int]:
        """In how many seconds the mailbox is due again, and what its next claim counts on from."""
        error = outcome.error
        login_delay = min(self.poller.terms(mailbox.id).login_delay, LONGEST_LOGIN_DELAY)
        if error is None:
            # What has more is due again at once, behind the mailboxes that are due already.
            return max(0.0 if outcome.report.more else mailbox.interval, login_delay), 0
        if isinstance(error, CredentialsSparedError):
            return mailbox.interval, claim.tries - 1
        pause = after_mailbox_error(error, claim.tries, self.random())
        if isinstance(error, MaildropDeferredError):
            return pause, claim.tries - 1
        if isinstance(error, MaildropAuthError):
            # Due at its interval nevertheless: to see whether the credentials have changed.
            self._remember_refusal(mailbox, pause)
            return mailbox.interval, claim.tries
        return max(pause, mailbox.interval, login_delay), claim.tries

    def _remember_refusal(self, mailbox: Mailbox, seconds: float) -> None:
        salt = secrets.token_hex(8)
        try:
            refusal = Refusal(salt, _check(salt, self.fingerprint(mailbox.id)))
            self.poller.ledger.put_refusal(mailbox.id, refusal, seconds)
        except (ConfigError, LedgerUnavailableError):
            log.warning("poll.refusal_not_kept", mailbox=mailbox.id)  # a secret went away, or the ledger did

    def _status(self, outcome: PollOutcome) -> MailboxStatus:
        now, report = self.poller.fetcher.now().timestamp(), outcome.report
        return MailboxStatus(
            last_poll=now,
            result=outcome.result,
            last_success=now if outcome.error is None else None,
            listed=report.listed,
            backlog_messages=report.backlog_messages,
            backlog_bytes=report.backlog_bytes,
            certificate_not_after=report.terms.certificate_not_after,
            expires_after=report.terms.expires_after,
        )

    def _tell(self, outcome: PollOutcome, seconds: float) -> None:
        report, error = outcome.report, outcome.error
        if error is not None:
            # What was not even tried has been told of when it was.
            tell = log.debug if isinstance(error, CredentialsSparedError) else log.warning
            tell("poll.failed", mailbox=outcome.mailbox, result=outcome.result, error=error.code)
            return
        tell = log.info if report.new or report.deleted else log.debug
        tell(
            "poll.done",
            mailbox=outcome.mailbox,
            listed=report.listed,
            new=report.new,
            stored=report.stored,
            duplicate=report.duplicate,
            oversize=report.oversize,
            failed=report.failed,
            deleted=report.deleted,
            fetched_bytes=report.fetched_bytes,
            seconds=round(seconds, 3),
        )


class CredentialsSparedError(MaildropAuthError):
    """Credentials that were refused before and have not changed since: they were not tried again."""

    code = "auth_spared"


class _UnexpectedError(MailhaulError):
    """A bug of ours that one mailbox or message brought out; the text is the type's name only."""

    code = "internal"


def result_of(error: MailhaulError) -> str:
    """The label of `mailhaul_polls_total` for an error."""
    if isinstance(error, MaildropError):
        return error.result
    if isinstance(error, ConfigError):
        return "auth_error"  # the secret it points to is missing
    if isinstance(error, StoreError):
        return "store_error"
    if isinstance(error, LedgerError):
        return "ledger_error"
    if isinstance(error, SpoolError):
        return "spool_error"
    return "internal_error"


def _check(salt: str, fingerprint: bytes) -> str:
    """16 bits that change, as good as always, when the fingerprint does; see `Refusal`."""
    return hashlib.sha256(salt.encode() + fingerprint).hexdigest()[:4]
