"""Poll one mailbox: connect, list, fetch what is new, delete what is done, quit.

The order of these steps keeps the promise that no mail is lost. A message is deleted on the server only in a later
session than the one that fetched it, and only when its manifest is written. A session that holds fetched but unstored
mail ends without QUIT, because some servers (Gmail) take RETR and QUIT for consent to delete.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.errors import (
    MaildropDeferredError,
    MessageTooLargeError,
    NoUniqueIdsError,
    PipeliningStalledError,
    StoreRefusedError,
)
from ingest.ports.maildrop import Terms
from ingest.ports.tracing import NO_TRACING, Step, Tracer
from ingest.usecases.poll.progress import PollInput, PollProgress, PollReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ingest.domain.mailbox import Credentials, Mailbox
    from ingest.metrics import Metrics
    from ingest.ports.claims import Claim
    from ingest.ports.ledger import Ledger
    from ingest.ports.maildrop import Listing, Maildrop, MaildropFactory
    from ingest.ports.seen import Seen
    from ingest.ports.tracing import Span
    from ingest.usecases.claims import Lease, LeaseKeeper
    from ingest.usecases.poll.fetch import Fetcher
    from ingest.usecases.recover.checkpoint import Checkpoints
    from ingest.usecases.recover.rebuild import Rebuilder

log = get_logger()

# Sessions in one poll. Another session is opened to skip a message that exceeded the limit although the server had
# listed a smaller size, or to send one command at a time where the announced pipelining does not work.
SESSIONS_PER_POLL = 4
# A seen set is rewritten when one in so many of its unique-ids is gone from the server.
COMPACT_SHARE = 4
# Redis may lose its last second of writes (`appendfsync everysec`). What was registered longer ago is safe to delete.
LAST_SECONDS = 5.0

_NO_UNIQUE_IDS = (
    "The server has no UIDL, so whatever stays on it would have to be fetched in full at every poll. "
    "Set `policy: delete` for this mailbox: its messages are then deleted there once they are done."
)
_REFUSED_ALL = "The store refused every message of this poll; nothing was deleted. `mailhaul check` says why."


@dataclass(frozen=True, slots=True)
class Poller:
    """Polls mailboxes.

    Attributes:
        credentials: returns how to log in to a mailbox, by its id.
        now: the wall clock, in UTC.
    """

    connect: MaildropFactory
    credentials: Callable[[str], Credentials]
    ledger: Ledger
    fetcher: Fetcher
    checkpoints: Checkpoints
    rebuilder: Rebuilder
    metrics: Metrics
    keeper: LeaseKeeper
    now: Callable[[], datetime]
    tracer: Tracer = NO_TRACING
    # What each server announced last, by mailbox: needed after a poll, however the poll ended.
    _terms: dict[str, Terms] = field(default_factory=dict)

    def terms(self, mailbox: str) -> Terms:
        """Return what the server announced when this process last polled the mailbox."""
        return self._terms.get(mailbox, Terms())

    def poll(self, claim: Claim, mailbox: Mailbox, stop: Callable[[], bool]) -> PollReport:
        """Poll one claimed mailbox.

        Args:
            claim: ours on this mailbox, made with the keeper's lease.
            mailbox: what to poll.
            stop: asked between messages; True ends the poll early, with everything fetched so far registered.

        Raises:
            MaildropError: the session failed; what was complete before is registered.
            StoreError: the store did not take a message; the session was left without QUIT.
            LedgerError: the ledger is unavailable, or the claim is lost; nothing more was committed.
            ConfigError: a secret is missing.
        """
        with (
            self.tracer.start(Step.POLL, mailbox=mailbox.id, server=mailbox.server.label) as span,
            self.keeper.hold(self.ledger.mailboxes, claim) as lease,
        ):
            seen = self.ledger.seen(mailbox.id)
            poll = self._input(mailbox, lease, stop, span, seen)
            progress = PollProgress(poll)
            for _ in range(SESSIONS_PER_POLL):
                if self._session_ended(poll, progress):
                    break
            if progress.store_refuses_all():
                raise StoreRefusedError(_REFUSED_ALL)
            self._compact(poll, progress)
            if seen.changes != seen.checkpointed:
                self.checkpoints.write(mailbox)
            span.note(**progress.attributes())
            return progress.report()

    def rebuild(self, claim: Claim, mailbox: Mailbox) -> None:
        """Rebuild what the ledger has lost of a claimed mailbox that is not to be polled.

        Raises:
            StoreError: the store is unavailable.
            LedgerError: the ledger is unavailable, or the claim is lost.
        """
        if not self.ledger.unknown([mailbox.id]):
            return
        with self.keeper.hold(self.ledger.mailboxes, claim) as lease:
            self.rebuilder.rebuild(mailbox, lease)

    def _input(self, mailbox: Mailbox, lease: Lease, stop: Callable[[], bool], span: Span, seen: Seen) -> PollInput:
        """Return what the poll works with; a mailbox that the ledger does not know is rebuilt first."""
        if seen.known:
            return PollInput(mailbox, lease, stop, seen.digests, frozenset(), span)
        rebuilt = self.rebuilder.rebuild(mailbox, lease)
        return PollInput(mailbox, lease, stop, rebuilt.done, rebuilt.republished, span)

    def _session_ended(self, poll: PollInput, progress: PollProgress) -> bool:
        """Run one session; returns False if it failed in a way that another session can avoid."""
        try:
            self._session(poll, progress)
        except MessageTooLargeError as error:
            if error.listed is None:
                raise
            progress.too_large(error.listed)
            return False
        except PipeliningStalledError:
            if progress.pipelining_stalled():
                raise
            return False
        return True

    def _session(self, poll: PollInput, progress: PollProgress) -> None:
        """Run one session, from connecting to QUIT."""
        with closing(self._connect(poll)) as session:
            listing = session.listing()
            require_unique_ids(listing, poll.mailbox)
            progress.begin_session(listing, session.terms)
            deletable = self._deletable(poll)
            self._warn(poll.mailbox, listing, reset=progress.unique_ids_were_reset(deletable))
            self._remember_terms(poll.mailbox, session.terms)
            self.fetcher.fetch(session, poll, progress)
            if progress.may_commit:
                self._delete(session, poll, progress, deletable)
                session.quit()

    def _connect(self, poll: PollInput) -> Maildrop:
        mailbox = poll.mailbox
        server = mailbox.server.label

        def observe(phase: str, seconds: float) -> None:
            self.metrics.observe("fetch_duration_seconds", seconds, server, phase)

        def acquire_slot(address: str) -> None:
            if not self.ledger.acquire_slot(poll.lease.claim, server, address, mailbox.limits.connections):
                raise MaildropDeferredError(
                    f"{server} has {mailbox.limits.connections} connections of ours already; this mailbox waits."
                )

        return self.connect(mailbox, self.credentials(mailbox.id), observe, acquire_slot)

    def _warn(self, mailbox: Mailbox, listing: Listing, *, reset: bool) -> None:
        if listing.left_out:
            log.warning("listing.disagrees", mailbox=mailbox.id, left_out=listing.left_out)
        if reset:
            log.warning("unique_ids.reset", mailbox=mailbox.id, listed=len(listing.rows))
            self.metrics.ids_reset(mailbox.id)

    def _remember_terms(self, mailbox: Mailbox, terms: Terms) -> None:
        if self._terms.get(mailbox.id) == terms:
            return
        self._terms[mailbox.id] = terms
        if terms.expires_after is not None and terms.expires_after < mailbox.interval:
            log.warning("server.expires_mail", mailbox=mailbox.id, seconds=terms.expires_after)

    def _deletable(self, poll: PollInput) -> set[bytes]:
        """Return the digests that were registered in an earlier poll, are old enough for the policy, and are done."""
        after = poll.mailbox.deletion.after
        if after is None or not poll.seen:
            return set()
        unprocessed = self.ledger.unprocessed(poll.mailbox.id)
        until = self.now().timestamp() - max(after, LAST_SECONDS)
        return {
            digest for digest, registered in poll.seen.items() if registered <= until and digest not in unprocessed
        }

    def _delete(self, session: Maildrop, poll: PollInput, progress: PollProgress, deletable: set[bytes]) -> None:
        if poll.mailbox.deletion.after is None:
            return
        poll.lease.check()
        progress.deleted(session.delete(progress.done_rows(deletable)))

    def _compact(self, poll: PollInput, progress: PollProgress) -> None:
        """Drop unique-ids that are gone from the server from the seen set, once there are many of them."""
        kept = progress.digests_to_keep()
        gone = len(poll.seen.keys() - kept)
        if gone and gone * COMPACT_SHARE >= len(poll.seen):
            poll.lease.check()
            self.ledger.compact(poll.lease.claim, kept)


def require_unique_ids(listing: Listing, mailbox: Mailbox) -> None:
    """Raise `NoUniqueIdsError` if mail would stay on a server without UIDL."""
    if not listing.unique_ids and mailbox.deletion.after != 0:
        raise NoUniqueIdsError(_NO_UNIQUE_IDS)
