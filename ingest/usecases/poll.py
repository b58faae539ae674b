"""Poll one mailbox: connect, list, fetch, archive, register, delete what is done, quit.

The order is the promise. A message is registered only when its raw object is durable; it is deleted on the server
only in a later session and only when its manifest is written; a session that holds fetched but unstored mail ends
without QUIT, because some servers (Gmail) take RETR and QUIT for consent to delete.
"""

from __future__ import annotations

from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.domain import keys
from ingest.errors import MessageTooLargeError
from ingest.ports.hints import Hints, Queue
from ingest.ports.maildrop import Fetched, Listed, Maildrop, MaildropFactory, NotFetched
from ingest.usecases.archive import Archive, new_spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future
    from datetime import datetime

    from ingest.domain.mailbox import Credentials, Mailbox
    from ingest.metrics import Metrics
    from ingest.ports.ledger import Claim, Ledger, Registration
    from ingest.usecases.lease import Lease, LeaseKeeper
    from ingest.usecases.spool import Spool

log = get_logger()

# Messages of one mailbox that are on their way to the store at once: hides the store's latency, bounds the memory.
UPLOADS_PER_POLL = 8
# Sessions in one poll: each one more skips a message that went past the limit after the server had lied about it.
SESSIONS_PER_POLL = 4
# A seen set is rewritten when this share of it is gone from the server.
COMPACT_SHARE = 4


@dataclass(frozen=True, slots=True)
class PollReport:
    """What one poll found and did; counts are messages, but `octets` (stored) and `backlog_octets`."""

    listed: int = 0
    new: int = 0
    stored: int = 0
    duplicate: int = 0
    oversize: int = 0
    failed: int = 0
    deleted: int = 0
    octets: int = 0
    backlog_messages: int = 0
    backlog_octets: int = 0
    certificate_not_after: float | None = None
    cut_short: bool = False

    def __add__(self, later: PollReport) -> PollReport:
        """Two polls of one mailbox as one: what was done adds up, what is there is the later poll's."""
        done = ("new", "stored", "duplicate", "oversize", "failed", "deleted", "octets")
        return replace(later, **{name: getattr(self, name) + getattr(later, name) for name in done})


@dataclass
class _Run:
    """One poll under way: what it was given, and what happened so far, over all its sessions."""

    mailbox: Mailbox
    lease: Lease
    stop: Callable[[], bool]
    seen: dict[bytes, int]
    listed: list[Listed] = field(default_factory=list)
    new: int = 0
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("stored", "duplicate", "oversize", "failed", "deleted", "octets"), 0)
    )
    registered: set[bytes] = field(default_factory=set)
    too_large: set[bytes] = field(default_factory=set)
    cut_short: bool = False
    certificate_not_after: float | None = None

    def new_rows(self) -> list[Listed]:
        """What is listed and neither seen before nor registered in this poll."""
        known = self.registered.union(self.seen)
        return [row for row in self.listed if _digest(row) not in known]

    def report(self) -> PollReport:
        """The sums at the end."""
        left = self.new_rows()
        return PollReport(
            listed=len(self.listed),
            new=self.new,
            backlog_messages=len(left),
            backlog_octets=sum(row.size or 0 for row in left),
            certificate_not_after=self.certificate_not_after,
            cut_short=self.cut_short,
            **self.counts,
        )


@dataclass(frozen=True, slots=True)
class Poller:
    """Everything that polling needs, passed in."""

    connect: MaildropFactory
    credentials: Callable[[str], Credentials]
    ledger: Ledger
    archive: Archive
    hints: Hints
    metrics: Metrics
    keeper: LeaseKeeper
    uploads: Executor
    now: Callable[[], datetime]

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
        """
        with self.keeper.hold(self.ledger.mailboxes, claim) as lease:
            run = _Run(mailbox, lease, stop, self.ledger.seen(mailbox.id))
            for _ in range(SESSIONS_PER_POLL):
                if self._session(run):
                    break
            self._compact(run)
            return run.report()

    def _session(self, run: _Run) -> bool:
        """One session; False when another one is needed because of a message that was larger than listed."""
        server = run.mailbox.server.label

        def observe(phase: str, seconds: float) -> None:
            self.metrics.observe("fetch_duration_seconds", seconds, server, phase)

        session = self.connect(run.mailbox, self.credentials(run.mailbox.id), observe, lambda _: None)
        try:
            run.listed = session.listing().rows
            run.certificate_not_after = session.terms.certificate_not_after
            if not self._take_new(session, run):
                run.cut_short = True
                session.close()  # answers may be under way: the session is out of step, and nothing is lost by it
                return True
            self._delete_done(session, run)
            session.quit()
        except MessageTooLargeError as error:
            session.close()
            if error.listed is None:
                raise
            run.too_large.add(keys.unique_id_digest(error.listed.unique_id))
            return False
        except BaseException:
            session.close()
            raise
        return True

    def _take_new(self, session: Maildrop, run: _Run) -> bool:
        """Fetch and register what is new; False when `stop` ended it early."""
        new = run.new_rows()
        run.new = max(run.new, len(new))
        limits = run.mailbox.limits
        wanted: list[Listed] = []
        oversize: list[Listed] = []
        for row in new[: limits.messages_per_poll]:
            too_large = (row.size or 0) > limits.message_bytes or _digest(row) in run.too_large
            (oversize if too_large else wanted).append(row)
        first_seen = self.now()
        if not self._fetch(session, run, wanted, first_seen):
            return False
        for row in oversize:
            done = self.archive.oversize(run.mailbox, row, session.top(row), first_seen)
            self._register(run, [done])
        return True

    def _fetch(self, session: Maildrop, run: _Run, wanted: list[Listed], first_seen: datetime) -> bool:
        """RETR what is wanted while earlier messages are being stored; registers what got stored, come what may."""
        under_way: set[Future[Registration]] = set()
        messages = session.fetch(wanted, lambda _: new_spool(run.mailbox))
        try:
            for message in messages:
                if isinstance(message, NotFetched):
                    run.counts["failed"] += 1
                    log.warning("message.refused", mailbox=run.mailbox.id, number=message.listed.number)
                    continue
                under_way.add(self._submit(run, message, first_seen))
                if len(under_way) >= UPLOADS_PER_POLL:
                    self._settle(run, under_way, FIRST_COMPLETED)
                run.lease.check()
                if run.stop():
                    return False
            return True
        finally:
            messages.close()
            self._settle(run, under_way, ALL_COMPLETED)

    def _submit(self, run: _Run, message: Fetched[Spool], first_seen: datetime) -> Future[Registration]:
        self.metrics.observe("message_size_bytes", message.octets)
        run.counts["octets"] += message.octets
        return self.uploads.submit(self.archive.whole, run.mailbox, message.listed, message.spool, first_seen)

    def _settle(self, run: _Run, under_way: set[Future[Registration]], until: str) -> None:
        """Register the messages whose upload has ended, then raise the first error there was among the others."""
        if not under_way:
            return
        ended, _ = wait(under_way, return_when=until)
        under_way -= ended
        stored = [future.result() for future in ended if future.exception() is None]
        if stored:
            self._register(run, stored)
        for future in ended:
            future.result()

    def _register(self, run: _Run, registrations: list[Registration]) -> None:
        run.lease.check()
        opened = self.ledger.register(run.lease.claim, registrations)
        for registration in registrations:
            run.registered.add(registration.unique_id_digest)
            result = _result(registration)
            run.counts[result] += 1
            self.metrics.count("messages_total", result)
        if opened:
            self.hints.send(Queue.PROCESS, min(opened, UPLOADS_PER_POLL))

    def _delete_done(self, session: Maildrop, run: _Run) -> None:
        """DELE what was registered in an earlier poll, is old enough, and is done."""
        after = run.mailbox.deletion.after
        if after is None or not run.seen:
            return
        run.lease.check()
        undone = self.ledger.undone(run.mailbox.id)
        until = self.now().timestamp() - after
        done = {digest for digest, registered in run.seen.items() if registered <= until and digest not in undone}
        run.counts["deleted"] += session.delete([row for row in run.listed if _digest(row) in done])

    def _compact(self, run: _Run) -> None:
        """Let the seen set forget ids that are gone from the server, when they have become many."""
        listed = {_digest(row) for row in run.listed}
        gone = len(run.seen.keys() - listed)
        if gone and gone * COMPACT_SHARE >= len(run.seen):
            run.lease.check()
            self.ledger.compact(run.lease.claim, listed)


def _digest(row: Listed) -> bytes:
    return keys.unique_id_digest(row.unique_id)


def _result(registration: Registration) -> str:
    if registration.message is None:
        return "duplicate"
    return "oversize" if registration.message.kind == "oversize" else "stored"
