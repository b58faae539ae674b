"""`mailhaul drain --dry-run`: what polling each mailbox would do now."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.admin.drain import PARALLEL_MAILBOXES
from ingest.admin.mailbox_claim import StopRequestedError, claim_mailbox
from ingest.errors import MailhaulError
from ingest.usecases.poll.preview import PollPreview

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.domain.mailbox import Mailbox
    from ingest.ports.ledger import Ledger
    from ingest.usecases.claims import LeaseKeeper
    from ingest.usecases.poll.poller import Poller


@dataclass(frozen=True, slots=True)
class PreviewedMailbox:
    """What a poll of one mailbox would do. `error` is the text for the person at the terminal, None without one."""

    mailbox: str
    preview: PollPreview = field(default_factory=PollPreview)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """Looks at maildrops without changing anything, on the servers, in the store or in the ledger."""

    ledger: Ledger
    keeper: LeaseKeeper
    poller: Poller

    def run(self, mailboxes: Sequence[Mailbox], stop: Callable[[], bool]) -> list[PreviewedMailbox]:
        """Return what a poll of each mailbox would do, in their order, several at once."""

        def look(mailbox: Mailbox) -> PreviewedMailbox:
            try:
                with claim_mailbox(self.ledger, self.keeper, mailbox.id, stop) as lease:
                    return PreviewedMailbox(mailbox.id, self.poller.preview(lease, mailbox))
            except StopRequestedError:
                return PreviewedMailbox(mailbox.id, error="was not looked at: the command was asked to stop")
            except MailhaulError as error:
                return PreviewedMailbox(mailbox.id, error=str(error))

        with ThreadPoolExecutor(min(PARALLEL_MAILBOXES, max(1, len(mailboxes)))) as threads:
            return list(threads.map(look, mailboxes))
