"""Purge messages, for the right to be forgotten: some that a person names, or all of a mailbox.

Nobody polls a mailbox while its messages are purged, so that none is opened or told of behind our back.
"""

from __future__ import annotations

from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

from ingest.admin.erase import NotPurgedError, event_ids, still_open
from ingest.admin.mailbox_claim import PATIENCE, StopRequestedError, claim_mailbox
from ingest.admin.purge_report import PurgeReport, Survey
from ingest.admin.stored_messages import StoredMessage, stored_messages
from ingest.domain.keys import DIGEST_BYTES
from ingest.errors import MailhaulError
from ingest.usecases.batches import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager
    from datetime import date

    from ingest.admin.erase import Eraser
    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.message import FailedMessage
    from ingest.usecases.claims import Lease, LeaseKeeper

# The ledger is asked about so many messages at once, and so many are purged at once: of a store far away each request
# takes its time, and each message takes several.
_ASKED = 100
_AT_ONCE = 8
_KEY_DIGITS = 2 * DIGEST_BYTES


@dataclass(frozen=True)
class Purge:
    """Everything that purging needs, passed in.

    Attributes:
        eraser: erases one message, and knows store and ledger.
        configured: mailboxes by id, the disabled ones too.
        workers: purge several messages at once.
        patience: seconds to wait for somebody who polls a mailbox.
    """

    eraser: Eraser
    layout: Layout
    configured: Mapping[str, Mailbox]
    keeper: LeaseKeeper
    workers: Executor
    patience: float = PATIENCE

    def find(self, wanted: Sequence[str], mailbox: str | None = None) -> list[StoredMessage]:
        """The messages with these keys, each given whole or by a beginning that no other has.

        One message is there twice when the mailbox's folder was changed and it was fetched again.

        Args:
            wanted: message keys, hex digits.
            mailbox: where to look, which is faster than to look everywhere.

        Raises:
            NotPurgedError: one of them is not there, or stands for several.
            StoreError: the store is away.
        """
        for beginning in wanted:
            if not 1 <= len(beginning) <= _KEY_DIGITS or set(beginning) - set("0123456789abcdef"):
                raise NotPurgedError(f"{beginning} is no message key: write its {_KEY_DIGITS} digits, or the first")
        found: dict[str, dict[str, list[StoredMessage]]] = {beginning: {} for beginning in wanted}
        for stored in self._stored_messages(None if mailbox is None else self._folders(mailbox)):
            for beginning, matches in found.items():
                if stored.key.startswith(beginning):
                    matches.setdefault(stored.key, []).append(stored)
        return list({one.folder: one for beginning in wanted for one in _only(beginning, found[beginning])}.values())

    def survey_mailbox(self, mailbox: str) -> Survey:
        """Look at what would be purged of a whole mailbox.

        Raises:
            NotPurgedError: it is still polled, some of it is still being processed, or nobody knows of it.
            StoreError, LedgerError: the store or the ledger is away.
        """
        survey = self.survey(self._of_mailbox(mailbox))
        if not survey.mailboxes and mailbox not in self.configured:
            raise NotPurgedError(
                f"nothing is stored under {mailbox}, and no mailbox of this name is configured; one that had a prefix"
                " is called by that"
            )
        return survey

    def survey(self, found: Iterable[StoredMessage]) -> Survey:
        """Look at what would be purged.

        Raises:
            NotPurgedError: some of it is still being processed.
            StoreError, LedgerError: the store or the ledger is away.
        """
        messages = purged = objects = size = opened = 0
        days: set[date] = set()
        mailboxes: set[str] = set()
        for batch in batches(found, _ASKED):
            opened += sum(
                one is not None for one in self.eraser.ledger.open_messages([stored.key for stored in batch])
            )
            for stored in batch:
                mailboxes.add(self._mailbox(stored))
                if self.eraser.record(stored) is not None:
                    purged += 1
                    continue
                messages, objects, size = messages + 1, objects + len(stored.objects), size + stored.size
                days |= {stored.day} if stored.day else set()
                days = {min(days), max(days)} if days else days
        if opened:
            raise still_open(opened)
        first, last = min(days, default=None), max(days, default=None)
        return Survey(messages, purged, objects, size, first, last, tuple(sorted(mailboxes)))

    def messages(self, found: Sequence[StoredMessage], stop: Callable[[], bool]) -> PurgeReport:
        """Purge messages, which may belong to several mailboxes; none is polled while its messages are purged.

        Args:
            found: as `find` gave them.
            stop: asked now and then, between messages.

        Returns:
            What was done, with the error that broke it off, if any; then it may be done again.
        """
        report = PurgeReport()
        with _noted(report):
            failed = self._failed()
            for mailbox, of_one in groupby(sorted(found, key=self._mailbox), self._mailbox):
                chosen = list(of_one)
                with self._held(mailbox, stop) as lease:
                    self._purge_all(chosen, _Course(lease, failed, stop, report))
                    report.unread_events += self.eraser.events.erase(event_ids(stored.key for stored in chosen))
        return report

    def mailbox(
        self, mailbox: str, stop: Callable[[], bool], listen: Callable[[int], None] = lambda _: None
    ) -> PurgeReport:
        """Purge every message of a mailbox that is polled no more, and that nobody can poll meanwhile.

        Its checkpoint stays: it holds digests only, and keeps mail that is still on the server from being fetched.

        Args:
            mailbox: its id, or the name of its folder where it is not configured any more.
            stop: asked now and then, between messages.
            listen: told now and then how many messages there were.

        Returns:
            As for `messages`.
        """
        report = PurgeReport()
        with _noted(report), self._held(mailbox, stop) as lease:
            self._purge_all(self._of_mailbox(mailbox), _Course(lease, self._failed(), stop, report, listen))
            report.unread_events += self.eraser.events.erase(mailbox=mailbox)
        return report

    def _purge_all(self, found: Iterable[StoredMessage], course: _Course) -> None:
        """Several at once. Where one fails, those beside it come to their end and are counted.

        Raises:
            StopRequestedError: it was asked to stop.
        """
        for batch in batches(found, _AT_ONCE):
            if course.stop():
                raise StopRequestedError
            course.lease.check()
            under_way = [self.workers.submit(self._erase, stored, course.failed) for stored in batch]
            wait(under_way)
            for future in under_way:
                if future.exception() is None:
                    course.report.add(future.result())
            for future in under_way:
                future.result()
            course.listen(course.report.done)

    def _erase(self, stored: StoredMessage, failed: Mapping[str, FailedMessage]) -> PurgeReport:
        return self.eraser.erase(stored, self._mailbox(stored), failed.get(stored.key))

    def _failed(self) -> dict[str, FailedMessage]:
        return {one.message.key: one for one in self.eraser.ledger.failed_messages()}

    def _held(self, mailbox: str, stop: Callable[[], bool]) -> AbstractContextManager[Lease]:
        return claim_mailbox(self.eraser.ledger, self.keeper, mailbox, stop, self.patience)

    def _of_mailbox(self, mailbox: str) -> Iterator[StoredMessage]:
        box = self.configured.get(mailbox)
        if box is not None and box.enabled and not self.eraser.ledger.is_paused(mailbox):
            raise NotPurgedError(
                f"{mailbox} is still polled; stop that first with: mailhaul mailboxes pause {mailbox}"
            )
        return self._stored_messages(self._folders(mailbox))

    def _stored_messages(self, folders: Iterable[str] | None) -> Iterator[StoredMessage]:
        for folder in [None] if folders is None else folders:
            yield from stored_messages(self.eraser.store, self.layout.everything(), folder)

    def _folders(self, mailbox: str) -> Sequence[str]:
        """The folders of a mailbox. One that has a prefix has not always had it: then its mail lay under its id.

        One that is not configured any more is called as its folder is.

        Raises:
            NotPurgedError: this is the folder of a mailbox with another name.
        """
        if mailbox in self.configured:
            return sorted({mailbox, self.configured[mailbox].folder})
        if mailbox in self._owners:
            raise NotPurgedError(f"{mailbox} is the folder of the mailbox {self._owners[mailbox]}; name that instead")
        return [mailbox]

    def _mailbox(self, stored: StoredMessage) -> str:
        """The mailbox whose folder it is, else the folder's name."""
        return self._owners.get(stored.root, stored.root)

    @cached_property
    def _owners(self) -> dict[str, str]:
        """Ids of mailboxes by their folders."""
        return {box.folder: box.id for box in self.configured.values()}


@dataclass(frozen=True, slots=True)
class _Course:
    """What a purge of several messages goes by, and the report it writes."""

    lease: Lease
    failed: Mapping[str, FailedMessage]
    stop: Callable[[], bool]
    report: PurgeReport
    listen: Callable[[int], None] = lambda _: None


@contextmanager
def _noted(report: PurgeReport) -> Iterator[None]:
    """What goes wrong becomes part of the report: it tells what was done before."""
    try:
        yield
    except StopRequestedError:
        report.stopped = True
    except MailhaulError as error:
        report.error = error


def _only(beginning: str, found: Mapping[str, list[StoredMessage]]) -> list[StoredMessage]:
    if len(found) != 1:
        what = f"{len(found)} messages begin with" if found else "no message is stored under"
        raise NotPurgedError(f"{what} {beginning}")
    (stored_messages_,) = found.values()
    return stored_messages_
