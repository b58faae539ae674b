"""Purge messages, for the right to erasure: messages that a person names, or all messages of a mailbox.

The mailbox is claimed meanwhile, so that no poll opens or publishes its messages again.
"""

from __future__ import annotations

from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

from ingest.admin.erase import NotPurgedError, still_open
from ingest.admin.mailbox_claim import PATIENCE, StopRequestedError, claim_mailbox
from ingest.admin.purge_report import PurgeReport, Survey
from ingest.admin.stored_messages import StoredMessage, find_by_key, stored_messages
from ingest.domain.events import event_ids
from ingest.errors import MailhaulError
from ingest.usecases.batches import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager
    from datetime import date

    from ingest.admin.erase import Eraser
    from ingest.admin.holds import HeldNames
    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.message import FailedMessage
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger
    from ingest.ports.store import Store
    from ingest.usecases.claims import Lease, LeaseKeeper

# Messages that the ledger is asked about in one request.
_LOOKUP_BATCH = 100
# Messages that are purged at once: each takes several requests, which are slow if the store is far away.
_PARALLEL = 8
# Messages whose content is forgotten in one pass over what the ledger remembers.
_FORGET_BATCH = 20_000
# Messages whose events are looked for in one pass over the stream.
_EVENTS_BATCH = 2_000


@dataclass(frozen=True)
class Purge:
    """Finds and purges messages.

    Attributes:
        eraser: erases one message.
        configured: all mailboxes by id, including disabled ones.
        workers: purge several messages at once.
        patience: seconds to wait for a poll in progress.
    """

    store: Store
    ledger: Ledger
    events: EventLog
    eraser: Eraser
    layout: Layout
    configured: Mapping[str, Mailbox]
    keeper: LeaseKeeper
    workers: Executor
    patience: float = PATIENCE

    def find(self, wanted: Sequence[str], mailbox: str | None = None) -> list[StoredMessage]:
        """Return the stored messages with these keys, each given in full or by an unambiguous beginning.

        A message is stored twice if the mailbox's folder was changed and the message was fetched again.

        Args:
            wanted: message keys, or beginnings of them, in hex digits.
            mailbox: search only this mailbox, which is faster.

        Raises:
            NotPurgedError: no stored message has this key, or several begin with it.
            StoreError: the store is unavailable.
        """
        return find_by_key(lambda: self.stored(mailbox), wanted, NotPurgedError)

    def survey_mailbox(self, mailbox: str) -> Survey:
        """Return what would be purged of a whole mailbox.

        Raises:
            NotPurgedError: it is still polled, some of it is still being processed, or it is unknown.
            StoreError, LedgerError: the store or the ledger is unavailable.
        """
        survey = self.survey(self._of_mailbox(mailbox))
        if not survey.mailboxes and mailbox not in self.configured:
            raise NotPurgedError(
                f"nothing is stored under {mailbox}, and no mailbox of this name is configured; a mailbox that had"
                " a prefix is named by it"
            )
        return survey

    def survey(self, found: Iterable[StoredMessage]) -> Survey:
        """Return what would be purged.

        Raises:
            NotPurgedError: some of it is still being processed.
            StoreError, LedgerError: the store or the ledger is unavailable.
        """
        messages = purged = objects = size = opened = 0
        days: set[date] = set()
        mailboxes: set[str] = set()
        names, stay = self.eraser.holds.names(), PurgeReport()
        for batch in batches(found, _LOOKUP_BATCH):
            opened += sum(one is not None for one in self.ledger.open_messages([stored.key for stored in batch]))
            looks = self.workers.map(lambda stored: self._look(stored, names), batch)
            for stored, (is_purged, blocked) in zip(batch, looks, strict=True):
                mailboxes.add(self.owner(stored))
                if is_purged:
                    purged += 1
                    continue
                if blocked is not None:
                    stay.add(blocked)
                    continue
                messages, objects, size = messages + 1, objects + len(stored.objects), size + stored.size
                days |= {stored.day} if stored.day else set()
                days = {min(days), max(days)} if days else days
        if opened:
            raise still_open(opened)
        first, last = min(days, default=None), max(days, default=None)
        of = tuple(sorted(mailboxes))
        return Survey(messages, purged, objects, size, first, last, of, stay.held, stay.locked, stay.locked_until)

    def _look(self, stored: StoredMessage, names: HeldNames) -> tuple[bool, PurgeReport | None]:
        """Return whether a message was purged, else what forbids to erase it."""
        if self.eraser.tombstone(stored) is not None:
            return True, None
        return False, self.eraser.blocked(stored, self.owner(stored), names)

    def messages(self, found: Sequence[StoredMessage], stop: Callable[[], bool]) -> PurgeReport:
        """Purge messages, which may belong to several mailboxes; each mailbox is claimed while this happens.

        Args:
            found: from `find`.
            stop: asked between batches of messages.

        Returns:
            What was done, with the error that ended it early, if any; purging again does the rest.
        """
        report = PurgeReport()
        with _recording_errors(report):
            failed = self.failed()
            of_mailbox = {stored.folder: self.claimed_as(stored) for stored in found}
            ordered = sorted(found, key=lambda stored: of_mailbox[stored.folder])
            for mailbox, of_one in groupby(ordered, lambda stored: of_mailbox[stored.folder]):
                self.apply(mailbox, of_one, lambda stored: self._erase(stored, failed), stop, report)
        return report

    def stored(self, mailbox: str | None = None) -> Iterator[StoredMessage]:
        """Yield every stored message, or those of one mailbox.

        Raises:
            NotPurgedError: the mailbox is the folder of another one.
            StoreError: the store is unavailable.
        """
        yield from self._stored_messages(None if mailbox is None else self.folders(mailbox))

    def owner(self, stored: StoredMessage) -> str:
        """Return the id of the configured mailbox that has the message's folder, or else the folder's name."""
        return self._owners.get(stored.root, stored.root)

    def claimed_as(self, stored: StoredMessage) -> str:
        """Return the id of the mailbox that is claimed by whoever polls or updates a message.

        In a folder that is no mailbox's any more this is the one in its manifest.

        Raises:
            StoreError: the store is unavailable.
        """
        owner = self.owner(stored)
        return owner if owner in self.configured else self.eraser.holds.owner(stored) or owner

    def apply(
        self,
        mailbox: str,
        found: Iterable[StoredMessage],
        act: Callable[[StoredMessage], PurgeReport],
        stop: Callable[[], bool],
        report: PurgeReport,
    ) -> None:
        """Do something with messages while their mailbox is claimed; of those that it erases, remove the events.

        Args:
            mailbox: its id.
            found: the messages.
            act: called with each message, from several threads.
            stop: asked between batches of messages.
            report: is updated.

        Raises:
            StopRequestedError: `stop` returned True.
            MailhaulError: what `act` raises, and what claiming and forgetting do.
        """
        with self._claimed(mailbox, stop) as lease:
            self._purge_all(found, _Run(lease, act, stop, report))

    def wait_for_erasures(self, mailboxes: Iterable[str], patience: float) -> None:
        """Wait until nothing of mailboxes is being erased: each is claimed once, and released.

        Args:
            mailboxes: their ids; folder names of those that are not configured any more.
            patience: seconds to wait for each.

        Raises:
            MailboxBusyError: one is still claimed, by an erasure or by a poll.
            LedgerUnavailableError: nobody can tell.
        """
        for mailbox in sorted(set(mailboxes)):
            with claim_mailbox(self.ledger, self.keeper, mailbox, lambda: False, patience):
                pass

    def mailbox(
        self, mailbox: str, stop: Callable[[], bool], listen: Callable[[int], None] = lambda _: None
    ) -> PurgeReport:
        """Purge every message of a mailbox that is not polled any more; the mailbox is claimed while this happens.

        Its checkpoint is kept: it holds digests only, and prevents mail still on the server from being fetched again.

        Args:
            mailbox: its id, or the name of its folder if it is not configured any more.
            stop: asked between batches of messages.
            listen: called now and then with the number of messages handled.

        Returns:
            As for `messages`.
        """
        report = PurgeReport()
        with _recording_errors(report), self._claimed(mailbox, stop) as lease:
            failed = self.failed()
            run = _Run(lease, lambda stored: self._erase(stored, failed), stop, report, listen)
            self._purge_all(self._of_mailbox(mailbox), run)
            if not report.held and not report.locked:
                report.unread_events += self.events.erase(mailbox=mailbox)
        return report

    def _purge_all(self, found: Iterable[StoredMessage], run: _Run) -> None:
        """Purge several messages at once. If one fails, the others of its batch are completed and counted first.

        Raises:
            StopRequestedError: `stop` returned True.
        """
        erased: list[str] = []
        try:
            for batch in batches(found, _PARALLEL):
                if run.stop():
                    raise StopRequestedError
                run.lease.check()
                self._purge_batch(batch, run, erased)
                if len(erased) >= _FORGET_BATCH:
                    self._forget(erased, run.report)
        finally:
            self._forget(erased, run.report)

    def _forget(self, erased: list[str], report: PurgeReport) -> None:
        """Remove the events of erased messages, and what the ledger remembers of their content; empty the list.

        Purging the messages again does this again.
        """
        for some in batches(erased, _EVENTS_BATCH):
            removed = self.events.erase(event_ids(some))
            report.unread_events += removed
            if removed:  # a reader may have read one of them since the messages were recorded
                self.events.record_purged(some)
        self.ledger.forget_messages(erased)
        erased.clear()

    def _purge_batch(self, batch: Sequence[StoredMessage], run: _Run, erased: list[str]) -> None:
        erasures = [self.workers.submit(run.act, stored) for stored in batch]
        wait(erasures)
        gone = []
        for stored, future in zip(batch, erasures, strict=True):
            if future.exception() is None:
                done = future.result()
                run.report.add(done)
                if done.messages or done.purged_before:
                    gone.append(stored.key)
        erased += gone
        self.events.record_purged(gone)  # now, as a process that is killed leaves nothing that shows it later
        for future in erasures:
            future.result()
        run.listen(run.report.done)

    def _erase(self, stored: StoredMessage, failed: Mapping[str, FailedMessage]) -> PurgeReport:
        return self.eraser.erase(stored, self.owner(stored), failed.get(stored.folder))

    def failed(self) -> dict[str, FailedMessage]:
        """Return the failed messages by folder: one message may be stored twice, and fail once."""
        return {one.message.folder: one for one in self.ledger.failed_messages()}

    def _claimed(self, mailbox: str, stop: Callable[[], bool]) -> AbstractContextManager[Lease]:
        return claim_mailbox(self.ledger, self.keeper, mailbox, stop, self.patience)

    def _of_mailbox(self, mailbox: str) -> Iterator[StoredMessage]:
        box = self.configured.get(mailbox)
        if box is not None and box.enabled and not self.ledger.is_paused(mailbox):
            raise NotPurgedError(
                f"{mailbox} is still polled; pause it first with: mailhaul mailboxes pause {mailbox}"
            )
        return self._stored_messages(self.folders(mailbox))

    def _stored_messages(self, folders: Iterable[str] | None) -> Iterator[StoredMessage]:
        for folder in [None] if folders is None else folders:
            yield from stored_messages(self.store, self.layout.everything(), folder)

    def folders(self, mailbox: str) -> Sequence[str]:
        """Return the folders of a mailbox: its prefix, and its id, which was used before it had a prefix.

        A mailbox that is not configured any more is named by its folder.

        Raises:
            NotPurgedError: this is the folder of a configured mailbox with another id.
        """
        if mailbox in self.configured:
            return sorted({mailbox, self.configured[mailbox].folder})
        if mailbox in self._owners:
            raise NotPurgedError(f"{mailbox} is the folder of the mailbox {self._owners[mailbox]}; name that instead")
        return [mailbox]

    @cached_property
    def _owners(self) -> dict[str, str]:
        """The ids of configured mailboxes by their folders."""
        return {box.folder: box.id for box in self.configured.values()}


@dataclass(frozen=True, slots=True)
class _Run:
    """What is needed to purge the messages of one claimed mailbox, and the report to update."""

    lease: Lease
    act: Callable[[StoredMessage], PurgeReport]
    stop: Callable[[], bool]
    report: PurgeReport
    listen: Callable[[int], None] = lambda _: None


@contextmanager
def _recording_errors(report: PurgeReport) -> Iterator[None]:
    """Record an error in the report instead of raising it, so that what was done before is reported too."""
    try:
        yield
    except StopRequestedError:
        report.stopped = True
    except MailhaulError as error:
        report.error = error
