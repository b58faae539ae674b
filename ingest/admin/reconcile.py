"""Compare the ledger with the store, mailbox by mailbox, and give it back what it has lost.

A poll does this by itself where the ledger knows nothing of a mailbox (`ingest.usecases.recover.rebuild`). By hand it also finds
what a ledger lost that knows most: one put back to an older state, or one that failed over to a replica far behind.
Nothing is asked of mail servers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.admin.mailbox_claim import PATIENCE, MailboxBusyError, StopRequestedError, claim_mailbox
from ingest.errors import MailhaulError, StaleClaimError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from ingest.domain.mailbox import Mailbox
    from ingest.ports.eventlog import EventLog
    from ingest.usecases.claims import Lease
    from ingest.usecases.poll.poller import Poller

log = get_logger()


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
        poller: knows how to hold and rebuild a mailbox.
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
            try:
                found = self._reconciled(mailbox, stop, listen)
            except StopRequestedError:
                return
            yield found

    def _reconciled(
        self, mailbox: Mailbox, stop: Callable[[], bool], listen: Callable[[str, int], None]
    ) -> Reconciled:
        ledger, keeper = self.poller.ledger, self.poller.keeper
        try:
            with claim_mailbox(ledger, keeper, mailbox.id, stop, self.patience) as lease:
                return self._rebuild(lease, mailbox, listen)
        except (StoreError, StaleClaimError, MailboxBusyError) as error:
            log.warning("mailbox.not_rebuilt", mailbox=mailbox.id, error=error.code)
            return Reconciled(mailbox.id, error=error)

    def _rebuild(self, lease: Lease, mailbox: Mailbox, listen: Callable[[str, int], None]) -> Reconciled:
        before = self.poller.ledger.seen(mailbox.id).digests.keys()
        rebuilt = self.poller.rebuilder.rebuild(
            mailbox, lease, told=self._ids, listen=lambda looked: listen(mailbox.id, looked)
        )
        restored = len(rebuilt.done.keys() - before)
        return Reconciled(mailbox.id, rebuilt.looked, rebuilt.reopened, len(rebuilt.told), restored)

    def _ids(self) -> AbstractSet[str]:
        """Of all events in the stream now, and of those that were in it when it was read before."""
        more, self._position = self.events.ids(self._position)
        self._told.update(more)
        return self._told
