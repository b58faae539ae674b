"""Poll one mailbox: connect, list, take what is new, delete what is done, quit.

The order is the promise. A message is deleted on the server only in a later session than the one that fetched it, and
only when its manifest is written; a session that holds fetched but unstored mail ends without QUIT, because some
servers (Gmail) take RETR and QUIT for consent to delete.
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
from ingest.usecases.poll.progress import PollReport, PollRun, id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.domain.mailbox import Credentials, Mailbox
    from ingest.metrics import Metrics
    from ingest.ports.claims import Claim
    from ingest.ports.ledger import Ledger
    from ingest.ports.maildrop import Listing, Maildrop, MaildropFactory
    from ingest.usecases.claims import LeaseKeeper
    from ingest.usecases.poll.fetch import Fetcher
    from ingest.usecases.recover.checkpoint import Checkpoints
    from ingest.usecases.recover.rebuild import Rebuilder

log = get_logger()

# Sessions in one poll: each one more skips a message that went past the limit after the server had lied about it, or
# goes in lockstep where the server cannot do what it announces.
SESSIONS_PER_POLL = 4
# A seen set is rewritten when this share of it is gone from the server.
COMPACT_SHARE = 4
# Redis may forget its last second (`appendfsync everysec`): what it has known for so long, it will not.
LAST_SECONDS = 5.0

_NO_UNIQUE_IDS = (
    "The server has no UIDL, so whatever stays on it would have to be fetched in full at every poll. "
    "Set `policy: delete` for this mailbox: its messages are then deleted there once they are done."
)
_REFUSED_ALL = "The store refused every message of this poll; nothing was deleted. `mailhaul check` says why."


@dataclass(frozen=True, slots=True)
class Poller:
    """Everything that polling needs, passed in."""

    connect: MaildropFactory
    credentials: Callable[[str], Credentials]
    ledger: Ledger
    fetcher: Fetcher
    checkpoints: Checkpoints
    rebuilder: Rebuilder
    metrics: Metrics
    keeper: LeaseKeeper
    tracer: Tracer = NO_TRACING
    # What servers said last, by mailbox: for what follows a poll, however it ended.
    _terms: dict[str, Terms] = field(default_factory=dict)

    def terms(self, mailbox: str) -> Terms:
        """What the server said of its rules when this process last polled the mailbox."""
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
            LedgerError: the ledger is away, or the claim is lost; nothing more was committed.
            ConfigError: a secret is missing.
        """
        with (
            self.tracer.start(Step.POLL, mailbox=mailbox.id, server=mailbox.server.label) as span,
            self.keeper.hold(self.ledger.mailboxes, claim) as lease,
        ):
            seen = self.ledger.seen(mailbox.id)
            run = PollRun(mailbox, lease, stop, seen.digests, span=span)
            if not seen.known:
                rebuilt = self.rebuilder.rebuild(mailbox, lease)
                run.seen, run.told = rebuilt.done, rebuilt.told
            for _ in range(SESSIONS_PER_POLL):
                if self._session_ended(run):
                    break
            if run.unstored and not run.took_any():
                raise StoreRefusedError(_REFUSED_ALL)
            self._compact(run)
            if seen.changes != seen.checkpointed:
                self.checkpoints.write(mailbox)
            span.note(**run.counted())
            return run.report()

    def rebuild(self, claim: Claim, mailbox: Mailbox) -> None:
        """Give the ledger back what it has lost of a claimed mailbox that is not to be polled.

        Raises:
            StoreError: the store is away.
            LedgerError: the ledger is away, or the claim is lost.
        """
        if not self.ledger.unknown([mailbox.id]):
            return
        with self.keeper.hold(self.ledger.mailboxes, claim) as lease:
            self.rebuilder.rebuild(mailbox, lease)

    def _session_ended(self, run: PollRun) -> bool:
        """One session; False when it met what the next one can go around."""
        try:
            self._session(run)
        except MessageTooLargeError as error:
            if error.listed is None:
                raise
            run.too_large.add(id_of(error.listed))
            run.unfetched = True
            return False
        except PipeliningStalledError:
            if run.stalled:
                raise
            run.stalled = True
            return False
        return True

    def _session(self, run: PollRun) -> None:
        """One session, from connecting to QUIT."""
        with closing(self._connect(run)) as session:
            listing = session.listing()
            require_unique_ids(listing, run.mailbox)
            run.begin_session(listing)
            run.terms = session.terms
            deletable = self._deletable(run)
            self._look(run, listing.left_out, deletable)
            self.fetcher.take(session, run)
            if run.cut_short or run.unstored:
                return  # answers may be under way, or mail is fetched and not stored: nothing may be committed
            self._delete(session, run, deletable)
            session.quit()

    def _connect(self, run: PollRun) -> Maildrop:
        mailbox = run.mailbox
        server = mailbox.server.label

        def observe(phase: str, seconds: float) -> None:
            self.metrics.observe("fetch_duration_seconds", seconds, server, phase)

        def acquire_slot(address: str) -> None:
            if not self.ledger.acquire_slot(run.lease.claim, server, address, mailbox.limits.connections):
                raise MaildropDeferredError(
                    f"{server} has {mailbox.limits.connections} connections of ours already; this mailbox waits."
                )

        return self.connect(mailbox, self.credentials(mailbox.id), observe, acquire_slot)

    def _look(self, run: PollRun, left_out: int, deletable: set[bytes]) -> None:
        """Say what is odd about a listing, and about the server's rules."""
        mailbox, terms = run.mailbox.id, run.terms
        if left_out:
            log.warning("listing.disagrees", mailbox=mailbox, left_out=left_out)
        if not run.registered and run.ids_were_reset(deletable):
            log.warning("unique_ids.reset", mailbox=mailbox, listed=len(run.rows))
            self.metrics.ids_reset(mailbox)
        if self._terms.get(mailbox) != terms:
            self._terms[mailbox] = terms
            if terms.expires_after is not None and terms.expires_after < run.mailbox.interval:
                log.warning("server.expires_mail", mailbox=mailbox, seconds=terms.expires_after)

    def _deletable(self, run: PollRun) -> set[bytes]:
        """Digests that were registered in an earlier poll, are old enough for the policy, and are done."""
        after = run.mailbox.deletion.after
        if after is None or not run.seen:
            return set()
        undone = self.ledger.undone(run.mailbox.id)
        until = self.fetcher.now().timestamp() - max(after, LAST_SECONDS)
        return {digest for digest, registered in run.seen.items() if registered <= until and digest not in undone}

    def _delete(self, session: Maildrop, run: PollRun, deletable: set[bytes]) -> None:
        """DELE what is done."""
        if run.mailbox.deletion.after is None:
            return
        run.lease.check()
        run.counts["deleted"] += session.delete(run.done_rows(deletable))

    def _compact(self, run: PollRun) -> None:
        """Let the seen set forget ids that are gone from the server, when they have become many."""
        kept = run.listed_ids() | run.contents
        gone = len(run.seen.keys() - kept)
        if gone and gone * COMPACT_SHARE >= len(run.seen):
            run.lease.check()
            self.ledger.compact(run.lease.claim, kept)


def require_unique_ids(listing: Listing, mailbox: Mailbox) -> None:
    """Raise `NoUniqueIdsError` where mail would stay on a server without UIDL."""
    if not listing.unique_ids and mailbox.deletion.after != 0:
        raise NoUniqueIdsError(_NO_UNIQUE_IDS)
