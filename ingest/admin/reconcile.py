"""Compare the ledger with the store, mailbox by mailbox, and restore what the ledger has lost.

A poll does this by itself if the ledger does not know the mailbox at all (`ingest.usecases.recover.rebuild`). This
command also repairs a ledger that lost only a part: one restored from an older snapshot, or one that failed over to a
replica that lagged behind. Mail servers are not contacted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.admin.mailbox_claim import PATIENCE, MailboxBusyError, StopRequestedError, claim_mailbox
from ingest.errors import MailhaulError, StaleClaimError, StoreError
from ingest.usecases.recover.republish import StreamIds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ingest.domain.mailbox import Mailbox
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger
    from ingest.usecases.claims import Lease, LeaseKeeper
    from ingest.usecases.recover.rebuild import Rebuilder

log = get_logger()


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The result for one mailbox.

    Attributes:
        mailbox: its id.
        messages: how many messages the store holds of it.
        reopened: how many messages were stored and not processed, and unknown to the ledger.
        republished: how many events the ledger may have lost, and were published again.
        restored: how many unique-ids are done, and were unknown to the ledger.
        error: why the mailbox could not be reconciled, None if it was.
    """

    mailbox: str
    messages: int = 0
    reopened: int = 0
    republished: int = 0
    restored: int = 0
    error: MailhaulError | None = None


@dataclass(slots=True)
class Reconciler:
    """Reconciles mailboxes.

    Attributes:
        events: the event stream; what it holds need not be republished.
        patience: seconds to wait for a poll in progress.
    """

    ledger: Ledger
    keeper: LeaseKeeper
    rebuilder: Rebuilder
    events: EventLog
    patience: float = PATIENCE
    _stream: StreamIds = field(init=False)

    def __post_init__(self) -> None:
        self._stream = StreamIds(self.events)

    def run(
        self,
        mailboxes: Iterable[Mailbox],
        stop: Callable[[], bool],
        listen: Callable[[str, int], None] = lambda _mailbox, _messages: None,
    ) -> Iterator[Reconciled]:
        """Reconcile one mailbox after the other and yield each result; one that fails does not affect the others.

        Args:
            mailboxes: what to reconcile; disabled and paused ones may be among them.
            stop: asked between mailboxes.
            listen: called now and then with the mailbox and the number of its messages examined so far.

        Raises:
            LedgerUnavailableError: the ledger is unavailable; mailboxes that were yielded are done.
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
        try:
            with claim_mailbox(self.ledger, self.keeper, mailbox.id, stop, self.patience) as lease:
                return self._rebuild(lease, mailbox, listen)
        except (StoreError, StaleClaimError, MailboxBusyError) as error:
            log.warning("mailbox.not_rebuilt", mailbox=mailbox.id, error=error.code)
            return Reconciled(mailbox.id, error=error)

    def _rebuild(self, lease: Lease, mailbox: Mailbox, listen: Callable[[str, int], None]) -> Reconciled:
        before = self.ledger.seen(mailbox.id).records.keys()
        rebuilt = self.rebuilder.rebuild(
            mailbox, lease, in_stream=self._stream.read, listen=lambda messages: listen(mailbox.id, messages)
        )
        restored = len(rebuilt.done.keys() - before)
        return Reconciled(mailbox.id, rebuilt.messages, rebuilt.reopened, len(rebuilt.republished), restored)
