"""Purge messages, for the right to be forgotten: of each a record is left that it was here, without its content.

The record takes the manifest's place, and an empty object the place of the raw mail. So everybody who would store or
tell of the message again (a poll that meets it on the server, healing) finds it done, and nobody has to ask for more
than before. It is written first: a purge that breaks off leaves a message that counts as purged, and doing it again
takes away what is left.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

from pydantic import ValidationError
from structlog import get_logger

from ingest.domain import keys
from ingest.domain.events import EventType
from ingest.domain.tombstone import MOST_OCTETS, Tombstone
from ingest.errors import LedgerUnavailableError, MailhaulError, ObjectMissingError
from ingest.usecases.holdings import Holding, holdings
from ingest.usecases.purgereport import PurgeReport, Survey

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import date, datetime

    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.message import FailedMessage
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Claim, Ledger
    from ingest.ports.store import Store
    from ingest.usecases.lease import Lease, LeaseKeeper

log = get_logger()

# The ledger is asked about so many messages at once.
_BATCH = 100
_KEY_DIGITS = 2 * keys.DIGEST_OCTETS


class NotPurgedError(MailhaulError):
    """What cannot be purged now, or is not there; the text says why, and what to do."""

    code = "not_purged"


@dataclass(frozen=True)
class Purge:
    """Everything that purging needs, passed in.

    Attributes:
        configured: mailboxes by id, the disabled ones too.
        sinks: the names of all sinks.
    """

    store: Store
    layout: Layout
    ledger: Ledger
    events: EventLog
    sinks: Collection[str]
    configured: Mapping[str, Mailbox]
    keeper: LeaseKeeper
    now: Callable[[], datetime]

    def find(self, wanted: Sequence[str], mailbox: str | None = None) -> list[Holding]:
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
        found: dict[str, dict[str, list[Holding]]] = {beginning: {} for beginning in wanted}
        for holding in self._holdings(None if mailbox is None else self._folders(mailbox)):
            for beginning, matches in found.items():
                if holding.key.startswith(beginning):
                    matches.setdefault(holding.key, []).append(holding)
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

    def survey(self, found: Iterable[Holding]) -> Survey:
        """Look at what would be purged.

        Raises:
            NotPurgedError: some of it is still being processed.
            StoreError, LedgerError: the store or the ledger is away.
        """
        messages = purged = objects = octets = opened = 0
        days: set[date] = set()
        mailboxes: set[str] = set()
        for batch in _batches(found):
            opened += sum(one is not None for one in self.ledger.open_messages([holding.key for holding in batch]))
            for holding in batch:
                mailboxes.add(self._mailbox(holding))
                if self._record(holding) is not None:
                    purged += 1
                    continue
                messages, objects, octets = messages + 1, objects + len(holding.objects), octets + holding.octets
                days |= {holding.day} if holding.day else set()
                days = {min(days), max(days)} if days else days
        if opened:
            raise _open(opened)
        first, last = min(days, default=None), max(days, default=None)
        return Survey(messages, purged, objects, octets, first, last, tuple(sorted(mailboxes)))

    def messages(self, found: Sequence[Holding], stop: Callable[[], bool]) -> PurgeReport:
        """Purge messages, which may belong to several mailboxes, none of which is polled meanwhile.

        Args:
            found: as `find` gave them.
            stop: asked between messages.

        Returns:
            What was done, with the error that broke it off, if any; then it may be done again.
        """
        report = PurgeReport()
        with _noted(report):
            failed = self._failed()
            for mailbox, of_one in groupby(sorted(found, key=self._mailbox), self._mailbox):
                with self._held(mailbox) as lease:
                    for holding in of_one:
                        if stop():
                            report.stopped = True
                            return report
                        lease.check()
                        self._purge(holding, failed, report)
                        report.unread_events += self.events.erase(_event_ids(holding.key))
        return report

    def mailbox(
        self, mailbox: str, stop: Callable[[], bool], listen: Callable[[int], None] = lambda _: None
    ) -> PurgeReport:
        """Purge every message of a mailbox that is polled no more, and that nobody can poll meanwhile.

        Its checkpoint stays: it holds digests only, and keeps mail that is still on the server from being fetched.

        Args:
            mailbox: its id, or the name of its folder where it is not configured any more.
            stop: asked between messages.
            listen: told after each message how many there were.

        Returns:
            As for `messages`.
        """
        report = PurgeReport()
        with _noted(report), self._held(mailbox) as lease:
            failed = self._failed()
            for holding in self._of_mailbox(mailbox):
                if stop():
                    report.stopped = True
                    return report
                lease.check()
                self._purge(holding, failed, report)
                listen(report.done)
            report.unread_events += self.events.erase(mailbox=mailbox)
        return report

    def _purge(self, holding: Holding, failed: Mapping[str, FailedMessage], report: PurgeReport) -> None:
        """One message. The record first, its content last; in between whatever would make somebody ask for it."""
        if self.ledger.open_messages([holding.key])[0] is not None:
            raise _open(1)
        mailbox, before = self._mailbox(holding), self._record(holding)
        if before is None:
            self._leave_record(holding, mailbox)
        kept = [f"{holding.folder}/{keys.MANIFEST}", *self._empty(holding)]
        if holding.key in failed:
            report.failed += self.ledger.drop_failed(failed[holding.key])
        events = _event_ids(holding.key)
        report.refused_events += sum(self.events.drop_parked(sink, events) for sink in self.sinks)
        erased = self.store.erase(holding.folder, kept)
        if before is not None:
            report.purged_before, report.left_over = report.purged_before + 1, report.left_over + erased
            return
        report.messages += 1
        report.objects += len(holding.objects)
        report.octets += holding.octets
        log.info("message.purged", mailbox=mailbox, message=holding.key)

    def _leave_record(self, holding: Holding, mailbox: str) -> None:
        record = Tombstone(
            message_key=holding.key,
            mailbox=mailbox,
            purged_at=self.now(),
            objects=len(holding.objects),
            octets=holding.octets,
        )
        self._put(f"{holding.folder}/{keys.MANIFEST}", record.to_json(), "application/json")

    def _empty(self, holding: Holding) -> list[str]:
        """Leave nothing in the place of the mail; returns its key."""
        sources = [stored.key for stored in holding.sources] or [f"{holding.folder}/{keys.RAW}"]
        empty = {stored.key for stored in holding.sources if stored.size == 0}
        for key in sources:
            if key not in empty:
                self._put(key, b"", "message/rfc822")
        return sources

    def _put(self, key: str, body: bytes, content_type: str) -> None:
        digest = hashlib.sha256(body).hexdigest()
        self.store.put(key, io.BytesIO(body), size=len(body), sha256=digest, content_type=content_type)

    def _record(self, holding: Holding) -> Tombstone | None:
        manifest = holding.manifest
        if manifest is None or manifest.size > MOST_OCTETS:
            return None
        try:
            with self.store.open(manifest.key) as body:
                return Tombstone.model_validate_json(body.read())
        except (ValidationError, ObjectMissingError):
            return None

    def _failed(self) -> dict[str, FailedMessage]:
        return {one.message.key: one for one in self.ledger.failed_messages()}

    @contextmanager
    def _held(self, mailbox: str) -> Iterator[Lease]:
        """Hold the claim on a mailbox, so that nobody polls it, and give it back as it was found."""
        work = self.ledger.mailboxes
        known = work.due_in(mailbox) is not None
        claim = work.claim_one(mailbox, self.keeper.seconds)
        if claim is None:
            raise NotPurgedError(
                f"{mailbox} is being polled now; wait until `mailhaul mailboxes list` shows that this is over"
            )
        try:
            with self.keeper.hold(work, claim) as lease:
                yield lease
        finally:
            with suppress(LedgerUnavailableError):  # the claim expires by itself
                self._give_back(claim, known=known)

    def _give_back(self, claim: Claim, *, known: bool) -> None:
        """As it was found; one that was not known was paused, disabled, or is not configured any more."""
        work = self.ledger.mailboxes
        if known or (claim.id in self.configured and not self.ledger.shelve(claim)):
            work.release(claim, max(0.0, -claim.late), claim.tries - 1)
        elif claim.id not in self.configured:
            work.drop([claim.id])

    def _of_mailbox(self, mailbox: str) -> Iterator[Holding]:
        box = self.configured.get(mailbox)
        if box is not None and box.enabled and not self.ledger.is_paused(mailbox):
            raise NotPurgedError(
                f"{mailbox} is still polled; stop that first with: mailhaul mailboxes pause {mailbox}"
            )
        return self._holdings(self._folders(mailbox))

    def _holdings(self, folders: Iterable[str] | None) -> Iterator[Holding]:
        prefix = f"{self.layout.prefix}/" if self.layout.prefix else ""
        for folder in [None] if folders is None else folders:
            yield from holdings(self.store, prefix, folder)

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

    def _mailbox(self, holding: Holding) -> str:
        """The mailbox whose folder it is, else the folder's name."""
        return self._owners.get(holding.root, holding.root)

    @cached_property
    def _owners(self) -> dict[str, str]:
        """Ids of mailboxes by their folders."""
        return {box.folder: box.id for box in self.configured.values()}


@contextmanager
def _noted(report: PurgeReport) -> Iterator[None]:
    """What goes wrong becomes part of the report: it tells what was done before."""
    try:
        yield
    except MailhaulError as error:
        report.error = error


def _only(beginning: str, found: Mapping[str, list[Holding]]) -> list[Holding]:
    if len(found) != 1:
        what = f"{len(found)} messages begin with" if found else "no message is stored under"
        raise NotPurgedError(f"{what} {beginning}")
    (holdings_,) = found.values()
    return holdings_


def _open(count: int) -> NotPurgedError:
    return NotPurgedError(
        f"still being processed: {count} of these messages; wait until `mailhaul status` shows none, or until they"
        " are given up"
    )


def _event_ids(key: str) -> list[str]:
    return [keys.event_id(event_type, key) for event_type in EventType]


def _batches(found: Iterable[Holding]) -> Iterator[list[Holding]]:
    batch: list[Holding] = []
    for holding in found:
        batch.append(holding)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
