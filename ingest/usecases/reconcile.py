"""Compare the ledger with the store, mailbox by mailbox, and give it back what it has lost.

A poll does this by itself where the ledger knows nothing of a mailbox (`ingest.usecases.heal`). By hand it also finds
what a ledger lost that knows most: one put back to an older state, or one that failed over to a replica far behind.
Nothing is asked of mail servers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.errors import LedgerUnavailableError, MailhaulError, StaleClaimError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ingest.domain.mailbox import Mailbox
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Claim
    from ingest.usecases.poll import Poller

log = get_logger()

# Seconds to wait for somebody who polls a mailbox, and between two looks.
PATIENCE = 60.0
LOOK_AGAIN = 0.2


class MailboxHeldError(MailhaulError):
    """Another process has held a mailbox for too long to wait for it."""

    code = "mailbox_held"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was found of one mailbox.

    Attributes:
        mailbox: its id.
        looked: messages that the store has of it.
        reopened: messages that were stored and not processed, and that the ledger did not know.
        told: events that the ledger may have lost, and that are told again.
        restored: unique-ids that are done, and that the ledger did not know.
        error: why it was left alone; None where it was not.
    """

    mailbox: str
    looked: int = 0
    reopened: int = 0
    told: int = 0
    restored: int = 0
    error: MailhaulError | None = None


@dataclass(slots=True)
class Reconciler:
    """Everything that reconciling needs, passed in.

    Attributes:
        poller: knows how to hold and heal a mailbox.
        events: the stream, whose events need not be told again.
        patience: seconds to wait for a poll that is under way.
    """

    poller: Poller
    events: EventLog
    patience: float = PATIENCE
    _told: set[str] = field(default_factory=set)
    _position: str = ""

    def run(
        self,
        mailboxes: Iterable[Mailbox],
        stop: Callable[[], bool],
        listen: Callable[[str, int], None] = lambda _mailbox, _looked: None,
    ) -> Iterator[Reconciled]:
        """One after the other; a mailbox that fails holds up none.

        Args:
            mailboxes: disabled and paused ones too.
            stop: asked between mailboxes.
            listen: told now and then how many messages of which mailbox have been looked at.

        Raises:
            LedgerUnavailableError: the ledger is away; mailboxes that were handed out are done.
        """
        for mailbox in mailboxes:
            if stop():
                return
            yield self._reconciled(mailbox, stop, listen)

    def _reconciled(
        self, mailbox: Mailbox, stop: Callable[[], bool], listen: Callable[[str, int], None]
    ) -> Reconciled:
        try:
            claim = self._claim(mailbox, stop)
            try:
                return self._heal(claim, mailbox, listen)
            finally:
                self._give_back(claim)
        except (StoreError, StaleClaimError, MailboxHeldError) as error:
            log.warning("mailbox.not_healed", mailbox=mailbox.id, error=error.code)
            return Reconciled(mailbox.id, error=error)

    def _claim(self, mailbox: Mailbox, stop: Callable[[], bool]) -> Claim:
        work, until = self.poller.ledger.mailboxes, time.monotonic() + self.patience
        while True:
            claim = work.claim_one(mailbox.id, self.poller.keeper.seconds)
            if claim is not None:
                return claim
            if time.monotonic() >= until or stop():
                raise MailboxHeldError("another process is polling it; run this again for this mailbox")
            time.sleep(LOOK_AGAIN)

    def _heal(self, claim: Claim, mailbox: Mailbox, listen: Callable[[str, int], None]) -> Reconciled:
        ledger = self.poller.ledger
        more, self._position = self.events.ids(self._position)
        self._told.update(more)
        before = ledger.seen(mailbox.id).digests.keys()
        with self.poller.keeper.hold(ledger.mailboxes, claim) as lease:
            healed = self.poller.healer.heal(
                mailbox, lease, told=self._told, listen=lambda looked: listen(mailbox.id, looked)
            )
        restored = len(healed.done.keys() - before)
        return Reconciled(mailbox.id, healed.looked, healed.reopened, len(healed.told), restored)

    def _give_back(self, claim: Claim) -> None:
        """Due when it would have been; a poller takes a disabled one out of the schedule."""
        ledger = self.poller.ledger
        try:
            if not ledger.shelve(claim):
                ledger.mailboxes.release(claim, max(0.0, -claim.late), claim.tries - 1)
        except LedgerUnavailableError:
            log.warning("mailbox.not_released", mailbox=claim.id)  # the claim expires by itself
