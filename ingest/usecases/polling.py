"""Claimed mailboxes: poll each, say what became of it, give it back with its next due time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.domain.retry import after_mailbox_error
from ingest.errors import ConfigError, LedgerError, LedgerUnavailableError, MaildropError, MailhaulError, StoreError
from ingest.ports.ledger import MailboxStatus
from ingest.usecases.poll import PollReport
from ingest.usecases.work import work_off

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ingest.domain.mailbox import Mailbox
    from ingest.ports.ledger import Claim
    from ingest.usecases.poll import Poller

log = get_logger()

# A claim on a mailbox this process does not know: its configuration is older than the scheduler's.
UNKNOWN_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class PollOutcome:
    """A poll as `drain` reports it: `result` is a label of `mailhaul_polls_total`."""

    mailbox: str
    result: str
    report: PollReport
    error: MailhaulError | None = None
    # More than this poll took waits on the server.
    full: bool = False


@dataclass(frozen=True, slots=True)
class PollStage:
    """Works off due mailboxes. One that fails never holds up the others."""

    poller: Poller
    mailboxes: Callable[[], Mapping[str, Mailbox]]
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
        """Poll one claimed mailbox and release it; None when the configuration does not have it."""
        work = self.poller.ledger.mailboxes
        mailbox = self.mailboxes().get(claim.id)
        if mailbox is None:
            work.release(claim, UNKNOWN_PAUSE)
            return None
        if not mailbox.enabled:
            self.poller.metrics.poll_ended(claim.id, "disabled")
            work.drop([claim.id])
            return None
        started = time.monotonic()
        outcome = self._poll(claim, mailbox, leave)
        seconds = time.monotonic() - started
        self.poller.metrics.observe("poll_duration_seconds", seconds, mailbox.server.label)
        self.poller.metrics.poll_ended(mailbox.id, outcome.result)
        self._tell(outcome, seconds)
        self._give_back(claim, mailbox, outcome)
        return outcome

    def _poll(self, claim: Claim, mailbox: Mailbox, leave: Callable[[], bool]) -> PollOutcome:
        try:
            report = self.poller.poll(claim, mailbox, leave)
        except MailhaulError as error:
            return PollOutcome(mailbox.id, result_of(error), PollReport(), error)
        except Exception as bug:  # the border of one mailbox: a bug that it brings out must not stop the others
            log.exception("poll.bug", mailbox=mailbox.id)
            return PollOutcome(mailbox.id, "internal_error", PollReport(), _UnexpectedError(type(bug).__name__))
        full = report.cut_short or report.new > mailbox.limits.messages_per_poll
        return PollOutcome(mailbox.id, "success", report, full=full)

    def _give_back(self, claim: Claim, mailbox: Mailbox, outcome: PollOutcome) -> None:
        ledger, now = self.poller.ledger, self.poller.now().timestamp()
        report = outcome.report
        if outcome.error is None:
            # What is full is due again at once, behind the mailboxes that are due already.
            delay, tries = (0.0 if outcome.full else mailbox.interval), 0
        else:
            pause = after_mailbox_error(outcome.error.code, claim.tries, self.random())
            delay, tries = max(pause, mailbox.interval), claim.tries
        status = MailboxStatus(
            last_poll=now,
            result=outcome.result,
            last_success=now if outcome.error is None else None,
            listed=report.listed,
            backlog_messages=report.backlog_messages,
            backlog_octets=report.backlog_octets,
            certificate_not_after=report.certificate_not_after,
        )
        try:
            ledger.put_status(mailbox.id, status)
            ledger.mailboxes.release(claim, delay, tries)
        except LedgerUnavailableError:
            log.warning("poll.not_released", mailbox=mailbox.id)  # the claim expires by itself

    def _tell(self, outcome: PollOutcome, seconds: float) -> None:
        report, error = outcome.report, outcome.error
        if error is not None:
            log.warning("poll.failed", mailbox=outcome.mailbox, result=outcome.result, error=error.code)
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
            octets=report.octets,
            seconds=round(seconds, 3),
        )


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
    return "internal_error"
