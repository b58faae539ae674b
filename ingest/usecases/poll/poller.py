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

from ingest.domain.keys import maildrop_identity
from ingest.errors import (
    MaildropDeferredError,
    MaildropError,
    MaildropInUseError,
    MaildropOutOfStepError,
    MaildropThrottledError,
    MailhaulError,
    MessageTooLargeError,
    PipeliningStalledError,
    StoreError,
    StoreRefusedError,
)
from ingest.ports.maildrop import Terms
from ingest.ports.seen import Registration
from ingest.ports.tracing import NO_TRACING, Step, Tracer
from ingest.usecases.poll.identity import identify, require_unique_ids, unreliable
from ingest.usecases.poll.preview import preview_of
from ingest.usecases.poll.progress import PollProgress
from ingest.usecases.poll.values import PollInput
from ingest.usecases.recover.republish import StreamIds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from ingest.domain.mailbox import Credentials, Mailbox
    from ingest.errors import Row
    from ingest.metrics import Metrics
    from ingest.ports.claims import Claim
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger
    from ingest.ports.maildrop import Listed, Listing, Maildrop, MaildropFactory
    from ingest.ports.seen import Seen
    from ingest.ports.tracing import Span
    from ingest.usecases.claims import Lease, LeaseKeeper
    from ingest.usecases.poll.deletions import Deletions
    from ingest.usecases.poll.fetch import Fetcher
    from ingest.usecases.poll.identity import IdentifiedRow
    from ingest.usecases.poll.preview import PollPreview
    from ingest.usecases.poll.report import PollReport
    from ingest.usecases.recover.checkpoint import Checkpoints
    from ingest.usecases.recover.rebuild import Rebuilder
    from ingest.usecases.store_identity import StoreIdentity

log = get_logger()

# Sessions in one poll. Another session is opened to go on without a message that ended the one before, to try such
# messages at last, or to send one command at a time where the announced pipelining does not work.
SESSIONS_PER_POLL = 4
# A claim on a mailbox is not renewed after this many seconds without progress (bytes, a registration, a step of a
# rebuild), nor when all sessions have taken as long as they may and what is left to upload this long: another worker
# polls the mailbox then, and the ledger rejects what this one still commits.
PATIENCE = 600.0
# A seen set is rewritten when the messages that are gone from the server outnumber the listed ones by this factor.
GENERATIONS = 3
SMALL_MAILBOX = 100
# If no more than this share of the messages that are still listed is gone, the same node has answered.
_FEW = 0.5

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
    events: EventLog
    fetcher: Fetcher
    checkpoints: Checkpoints
    rebuilder: Rebuilder
    metrics: Metrics
    keeper: LeaseKeeper
    store_identity: StoreIdentity
    deletions: Deletions
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

        Returns:
            What was found and done, and the error if the poll failed later: a `MaildropError` (a session failed; what
            was complete before is registered), a `StoreError` (the store did not take a message; the session was
            left without QUIT), a `LedgerError` (unavailable, or the claim is lost; nothing more was committed), or a
            `ConfigError` (a secret is missing).

        Raises:
            MailhaulError: the poll failed before its first session.
        """
        progress = None
        try:
            with (
                self.tracer.start(Step.POLL, mailbox=mailbox.id, server=mailbox.server.label) as span,
                self.keeper.hold(self.ledger.mailboxes, claim, patience=PATIENCE) as lease,
            ):
                seen = self.ledger.seen(mailbox.id)
                poll = self._input(mailbox, lease, stop, span, seen)
                # A rebuild has no limit of time, only of time without progress: an interrupted one starts over.
                lease.end_within(SESSIONS_PER_POLL * mailbox.deadlines.poll + PATIENCE)
                progress = PollProgress(poll)
                self._poll(poll, progress)
                if seen.changes != seen.checkpointed:
                    self.checkpoints.write(mailbox)
                span.note(**progress.attributes())
        except MailhaulError as error:
            if progress is None:
                raise
            return progress.report(error)
        return progress.report()

    def preview(self, lease: Lease, mailbox: Mailbox) -> PollPreview:
        """Return what a poll of a claimed mailbox would do. Logs in, lists, and fetches, deletes and records nothing.

        Raises:
            MailhaulError: as for a poll.
        """
        seen = self.ledger.seen(mailbox.id)
        now = self.now().timestamp()
        with self.tracer.start(Step.POLL, mailbox=mailbox.id, server=mailbox.server.label) as span:
            poll = PollInput(
                mailbox, lease, lambda: False, seen.records, frozenset(), span, seen.troubled, now, seen.deleted
            )
            progress = PollProgress(poll)
            credentials = self.credentials(mailbox.id)
            with closing(self._connect(poll, credentials)) as session:
                listing = session.listing()
                require_unique_ids(listing, mailbox)
                store_id = self.store_identity.peek()
                rows = self._identified(poll, credentials, session, listing, store_id)
                progress.begin_session(rows, session.terms, listing.left_out)
                session.quit(wait=True)
        return preview_of(progress, self.deletions.deletable(poll), known=seen.known)

    def rebuild(self, claim: Claim, mailbox: Mailbox) -> None:
        """Rebuild what the ledger has lost of a claimed mailbox that is not to be polled.

        Raises:
            StoreError: the store is unavailable.
            LedgerError: the ledger is unavailable, or the claim is lost.
        """
        if not self.ledger.unknown([mailbox.id]):
            return
        with self.keeper.hold(self.ledger.mailboxes, claim, patience=PATIENCE) as lease:
            self.rebuilder.rebuild(mailbox, lease, in_stream=StreamIds(self.events).read)

    def _input(self, mailbox: Mailbox, lease: Lease, stop: Callable[[], bool], span: Span, seen: Seen) -> PollInput:
        """Return the input of the poll; a mailbox that the ledger does not know is rebuilt first."""
        now = self.now().timestamp()
        republished: frozenset[str] = frozenset()
        if not seen.known:
            republished = self.rebuilder.rebuild(mailbox, lease, in_stream=StreamIds(self.events).read).republished
            seen = self.ledger.seen(mailbox.id)
        # A rebuild may have restored the record of a message that the server was asked to delete.
        records = seen.records
        if seen.deleted:
            records = {digest: record for digest, record in records.items() if digest not in seen.deleted}
        return PollInput(
            mailbox,
            lease,
            stop,
            records,
            republished,
            span,
            seen.troubled,
            now,
            seen.deleted,
            may_have_lost_events=not seen.notices_losses,
            tries=lease.claim.tries,
        )

    def _poll(self, poll: PollInput, progress: PollProgress) -> None:
        """Run the sessions; however they end, remember which messages are troubled."""
        try:
            self._run_sessions(poll, progress)
            if progress.store_refuses_all():
                raise StoreRefusedError(_REFUSED_ALL)
        except (MaildropError, StoreError):
            self._remember_troubled(poll, progress)
            raise
        self._remember_troubled(poll, progress)
        self._compact(poll, progress)

    def _run_sessions(self, poll: PollInput, progress: PollProgress) -> None:
        """Run sessions until one ends well, then one more for each message that has ended another."""
        failure: MaildropError | None = None
        for _ in range(SESSIONS_PER_POLL):
            try:
                self._session(poll, progress)
            except (MaildropInUseError, MaildropThrottledError) as error:
                if failure is None:
                    raise
                raise failure from error  # the server still holds the lock of the session that failed
            except MaildropError as error:
                if not self._can_go_on_without(poll, progress, error):
                    raise
                failure = error
                if self._is_last_after_failure(poll, progress):
                    break
            else:
                if self._is_last(poll, progress):
                    break
        if failure is not None and progress.has_new_trouble:
            raise failure

    def _is_last_after_failure(self, poll: PollInput, progress: PollProgress) -> bool:
        """Return whether no session is to follow one that failed: nothing is left to try, or it took too long."""
        if progress.is_alone and not progress.rest_done():
            return True
        return self.now().timestamp() - poll.now >= poll.mailbox.deadlines.poll

    def _is_last(self, poll: PollInput, progress: PollProgress) -> bool:
        """Return whether no session is to follow one that ended well, to try messages that ended others."""
        if progress.is_alone or progress.is_stopped or not progress.rest_done():
            return True
        return self.terms(poll.mailbox.id).login_delay > 0  # another login would come too early

    def _can_go_on_without(self, poll: PollInput, progress: PollProgress, error: MaildropError) -> bool:
        """Note which message ended a session; returns whether another session can go on without it."""
        if isinstance(error, PipeliningStalledError):
            return not progress.pipelining_stalled()
        if isinstance(error, MessageTooLargeError) and error.listed is not None:
            progress.too_large(error.listed, error)
            return True
        if (
            isinstance(error, MaildropOutOfStepError)
            and error.row is not None
            and progress.identified(error.row).digest is not None
        ):
            self._distrust(poll, progress, error.row)
            return True
        if error.during is None:
            return False
        entry = progress.ended_session(error.during, error)
        event = "message.postponed" if entry.postponed else "message.ends_session"
        log.warning(event, mailbox=poll.mailbox.id, number=entry.number, error=entry.code)
        return True

    def _remember_troubled(self, poll: PollInput, progress: PollProgress) -> None:
        troubled = progress.troubled_to_remember()
        if troubled is not None:
            poll.lease.check()
            self.ledger.put_troubled(poll.mailbox.id, troubled)

    def _distrust(self, poll: PollInput, progress: PollProgress, row: Row) -> None:
        """Withdraw the registration of a message that was followed by something that is no answer: it may be cut.

        It is fetched once more; if that happens again, it stays on the server and is left alone.
        """
        digest = progress.identified(row).digest
        assert digest is not None  # the caller has asked
        log.warning("message.may_be_cut", mailbox=poll.mailbox.id, number=row.number)
        poll.lease.check()
        self.ledger.forget(poll.lease.claim, {digest})
        self.ledger.register(poll.lease.claim, [Registration(progress.once_more(digest), None, stored=False)])
        progress.distrusted()

    def _session(self, poll: PollInput, progress: PollProgress) -> None:
        """Run one session, from connecting to QUIT."""
        credentials = self.credentials(poll.mailbox.id)
        with closing(self._connect(poll, credentials)) as session:
            progress.logged_in = True
            listing = session.listing()
            self._remember_terms(poll.mailbox, session.terms)
            require_unique_ids(listing, poll.mailbox)
            store_id = self.store_identity.read() if listing.rows else b""
            rows = self._identified(poll, credentials, session, listing, store_id)
            progress.begin_session(rows, session.terms, listing.left_out)
            self.deletions.compare(session, poll, progress)
            deletable = self.deletions.deletable(poll)
            self._warn(poll.mailbox, listing, reset=progress.unique_ids_were_reset(deletable))
            if not deletable and not progress.rows_to_fetch():
                progress.rest_done()  # so that messages which end sessions need no session of their own
            self.fetcher.fetch(session, poll, progress)
            confirmed: set[bytes] = set()
            if progress.may_commit:
                deleted = self.deletions.delete(session, poll, progress, deletable)
                confirmed = deleted if session.quit(wait=progress.is_followed) else set()
            self.deletions.record(poll, progress, confirmed)

    def _identified(
        self, poll: PollInput, credentials: Credentials, session: Maildrop, listing: Listing, store_id: bytes
    ) -> list[IdentifiedRow]:
        server = poll.mailbox.server
        maildrop = maildrop_identity(store_id, server.host, server.port, credentials.username)

        def tops(wanted: Sequence[Listed]) -> Iterator[bytes]:
            for header in session.tops(wanted):
                poll.lease.progress()
                yield header

        return identify(maildrop, listing.rows, tops)

    def _connect(self, poll: PollInput, credentials: Credentials) -> Maildrop:
        mailbox = poll.mailbox
        server = mailbox.server.label

        def observe(phase: str, seconds: float) -> None:
            self.metrics.observe("fetch_duration_seconds", seconds, server, phase)

        def acquire_slot(address: str) -> None:
            if not self.ledger.acquire_slot(poll.lease.claim, server, address, mailbox.limits.connections):
                raise MaildropDeferredError(
                    f"{server} has {mailbox.limits.connections} connections of ours already; this mailbox waits."
                )

        return self.connect(mailbox, credentials, observe, acquire_slot)

    def _warn(self, mailbox: Mailbox, listing: Listing, *, reset: bool) -> None:
        if listing.left_out:
            log.warning("listing.disagrees", mailbox=mailbox.id, left_out=listing.left_out)
        if reset:
            log.warning("unique_ids.reset", mailbox=mailbox.id, listed=len(listing.rows))
            self.metrics.ids_reset(mailbox.id)
        if unreliable(listing.rows):
            log.warning("unique_ids.unreliable", mailbox=mailbox.id, listed=len(listing.rows))
            self.metrics.ids_unreliable(mailbox.id)

    def _remember_terms(self, mailbox: Mailbox, terms: Terms) -> None:
        if self._terms.get(mailbox.id) == terms:
            return
        self._terms[mailbox.id] = terms
        if terms.expires_after is not None and terms.expires_after < mailbox.interval:
            log.warning("server.expires_mail", mailbox=mailbox.id, seconds=terms.expires_after)

    def _compact(self, poll: PollInput, progress: PollProgress) -> None:
        """Forget messages that are gone from the server, where a few are; else doubt what has their unique-ids later.

        A server may give the unique-id of a message that somebody else deleted to another one of the same size. If
        many are gone at once, another node may have answered: behind one name there may be several, each with
        unique-ids of its own. So a few generations stay, and a deletion has to compare the headers. Where a server
        lists a part of its messages at a time, nothing follows from what is missing.
        """
        keep, seen = progress.digests_to_keep(), poll.seen
        gone = seen.keys() - keep
        few = progress.lists_all and len(gone) <= _FEW * len(seen.keys() & keep)
        if few or len(gone) > GENERATIONS * max(len(keep), SMALL_MAILBOX):
            doubt = set[bytes]()
        elif poll.mailbox.server.quirks.lists_window:
            return
        else:
            doubt = {digest for digest in gone if seen[digest].as_restored() != seen[digest]}
            keep |= gone
        if doubt or not gone <= keep:
            poll.lease.check()
            self.ledger.compact(poll.lease.claim, keep, doubt)
