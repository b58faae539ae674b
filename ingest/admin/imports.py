"""Import mail from files into a mailbox, with the same objects, manifests and events as if it had been fetched.

For mail that an earlier program has fetched. The message key follows from mailbox and content, so a message that is
stored already, by an import or a poll, is recognised, and an import that ended early is simply run again.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ingest.admin.mailbox_claim import StopRequestedError, claim_mailbox
from ingest.errors import MailhaulError, StoreRefusedError
from ingest.mailfiles.files import UnreadableMailError, read_mail
from ingest.mailfiles.mbox import Dialect
from ingest.ports.maildrop import Listed
from ingest.usecases.poll.archive import Archive, new_spool
from ingest.usecases.poll.identity import IdentifiedRow
from ingest.usecases.recover.republish import StreamIds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from concurrent.futures import Executor, Future
    from datetime import datetime
    from pathlib import Path

    from ingest.admin.mailbox_claim import StopSignal
    from ingest.admin.pipeline import Pipeline
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.message import OpenMessage
    from ingest.mailfiles.files import FoundMail, MailFile, MailSource
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger
    from ingest.ports.seen import Registration
    from ingest.usecases.backpressure import MemoryPressure
    from ingest.usecases.claims import Lease, LeaseKeeper
    from ingest.usecases.recover.rebuild import Rebuilder
    from ingest.usecases.spool import Spool

# Messages that are read under one claim, then processed and delivered. The mailbox may be polled between two batches.
BATCH = 200
# Messages that are uploaded at once; this bounds the memory.
UPLOADS = 8
# Seconds to wait for a poll of the mailbox that is in progress.
CLAIM_PATIENCE = 3600.0
# Seconds between two looks whether the ledger has room again.
LOOK_EVERY = 1.0
# A store that has refused this many messages and taken none is assumed to refuse them all.
STORE_REFUSALS = 3


@dataclass(slots=True)
class Imported:
    """The result of an import, in messages.

    Attributes:
        stored: new messages.
        known: messages that were stored before.
        oversize: messages above the mailbox's limit of size; only their header is stored.
        processed: messages that were processed here; a running service may have processed others.
        events: events delivered from here, by sink.
        failed: messages and files that could not be read or stored: file, name within the file, reason.
        pending: messages that are stored and still to be processed.
        error: why it ended early; None if it was asked to stop, or did not end early.
        complete: whether every file was read to its end.
    """

    stored: int = 0
    known: int = 0
    oversize: int = 0
    processed: int = 0
    events: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[Path, str, str]] = field(default_factory=list)
    pending: int = 0
    error: MailhaulError | None = None
    complete: bool = False

    @property
    def ok(self) -> bool:
        """Whether every message is stored and processed."""
        return self.complete and not self.failed and not self.pending and self.error is None


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What is to be imported.

    Attributes:
        mailbox: which gets the mail.
        found: the files.
        dialect: of mbox files.
        rate: messages a second at most; None for as many as can be had.
        events: whether the messages are published; without, a later replay may publish them.
    """

    mailbox: Mailbox
    found: FoundMail
    dialect: Dialect = Dialect.AUTO
    rate: float | None = None
    events: bool = True


@dataclass(slots=True)
class _Work:
    """An import in progress."""

    order: ImportOrder
    mails: Iterator[tuple[MailSource, MailFile]]
    stop: StopSignal
    done: Imported
    uploading: deque[tuple[MailSource, MailFile, Future[Registration]]] = field(default_factory=deque)
    refused: int = 0
    _keys: set[str] = field(default_factory=set)

    def count(self, registration: Registration) -> None:
        """Count a message that is stored."""
        message = registration.message
        if message is None or message.key in self._keys:
            self.done.known += 1
            return
        self._keys.add(message.key)
        if message.kind == "whole":
            self.done.stored += 1
        else:
            self.done.oversize += 1


@dataclass(frozen=True, slots=True)
class Import:
    """Imports mail.

    Attributes:
        pressure: stops reading while the ledger has too little memory.
        now: the wall clock, in UTC.
    """

    archive: Archive
    ledger: Ledger
    events: EventLog
    rebuilder: Rebuilder
    keeper: LeaseKeeper
    pipeline: Pipeline
    uploads: Executor
    pressure: MemoryPressure
    now: Callable[[], datetime]

    def run(
        self,
        order: ImportOrder,
        sinks: Collection[str],
        stop: StopSignal,
        show: Callable[[int], None] = lambda _: None,
    ) -> Imported:
        """Import what was found in files.

        Args:
            order: what, and how.
            sinks: names of all sinks.
            stop: ends the import early, with everything read so far registered.
            show: called with the bytes of the files that were read so far.
        """
        done = Imported()
        done.failed += [(path, "", reason) for path, reason in order.found.problems]
        work = _Work(order, _mails(order, done, show), stop, done)
        try:
            while not done.complete:
                self._wait_for_room(work)
                self._batch(work)
                done.processed += self.pipeline.process_all(lambda: stop.asked)
                if order.events:
                    done.events += self.pipeline.deliver_all(sinks, lambda: stop.asked)
        except StopRequestedError:
            done.complete = False
        except MailhaulError as error:
            done.error = error
        done.pending = self.ledger.counts()["open"]
        return done

    def _wait_for_room(self, work: _Work) -> None:
        while self.pressure.high():
            work.stop.wait(LOOK_EVERY)
            if work.stop.asked:
                raise StopRequestedError

    def _batch(self, work: _Work) -> None:
        """Read, store and register the next messages."""
        stop = work.stop
        with claim_mailbox(
            self.ledger, self.keeper, work.order.mailbox.id, lambda: stop.asked, CLAIM_PATIENCE
        ) as lease:
            if self.ledger.unknown([work.order.mailbox.id]):
                self.rebuilder.rebuild(work.order.mailbox, lease, in_stream=StreamIds(self.events).read)
            registrations: list[Registration] = []
            try:
                self._store(work, lease, registrations)
            finally:
                self._finish(work, lease, registrations)
        if work.stop.asked:
            raise StopRequestedError

    def _store(self, work: _Work, lease: Lease, registrations: list[Registration]) -> None:
        for _ in range(BATCH):
            if work.stop.asked:
                return
            source, mail = next(work.mails, (None, None))
            if source is None or mail is None:
                work.done.complete = True
                return
            self._upload(work, lease, source, mail)
            if len(work.uploading) >= UPLOADS:
                self._collect(work, registrations)
            lease.check()
            if work.order.rate is not None:
                work.stop.wait(1 / work.order.rate)

    def _upload(self, work: _Work, lease: Lease, source: MailSource, mail: MailFile) -> None:
        limit = work.order.mailbox.limits.message_bytes
        spool = new_spool(work.order.mailbox, lease.progress)
        try:
            for piece in mail.open():
                spool.write(piece)
                if spool.size > limit:
                    break
        except (UnreadableMailError, OSError) as error:
            spool.close()
            work.done.failed.append((source.path, mail.name, _reason(error)))
            return
        except BaseException:
            spool.close()
            raise
        store = self._whole if spool.size <= limit else self._oversize
        work.uploading.append((source, mail, self.uploads.submit(store, work.order.mailbox, spool)))

    def _whole(self, mailbox: Mailbox, spool: Spool) -> Registration:
        return self.archive.whole(mailbox, _row(spool.size), spool, self.now())

    def _oversize(self, mailbox: Mailbox, spool: Spool) -> Registration:
        head, blank, _ = spool.head().partition(b"\r\n\r\n")
        spool.close()
        return self.archive.oversize(mailbox, _row(None), head + blank, self.now())

    def _finish(self, work: _Work, lease: Lease, registrations: list[Registration]) -> None:
        """Wait for all uploads and register what is stored, however the batch ended; then raise the first error."""
        failure: MailhaulError | None = None
        while work.uploading:
            try:
                self._collect(work, registrations)
            except MailhaulError as error:
                failure = failure or error
        self._register(work.order, lease, registrations)
        if failure is not None:
            raise failure

    def _collect(self, work: _Work, registrations: list[Registration]) -> None:
        """Wait for the oldest upload."""
        source, mail, upload = work.uploading.popleft()
        try:
            registration = upload.result()
        except StoreRefusedError as error:
            work.refused += 1
            work.done.failed.append((source.path, mail.name, _reason(error)))
            if work.refused >= STORE_REFUSALS and not work.done.stored and not work.done.known:
                raise
            return
        work.count(registration)
        registrations.append(registration)

    def _register(self, order: ImportOrder, lease: Lease, registrations: list[Registration]) -> None:
        """Open what is new, and republish what may not have been published, unless events are not wanted.

        What was seen on a server says what need not be fetched from there. A file says nothing about that, so the
        digests are forgotten again; a message that is fetched later is recognised by its content.
        """
        lease.check()
        if order.events:
            self._republish(lease, registrations)
        new = [_opened(each, each.message, order) for each in registrations if each.message is not None]
        if new:
            self.ledger.register(lease.claim, new)
            self.ledger.forget(lease.claim, {each.digest for each in new})

    def _republish(self, lease: Lease, registrations: list[Registration]) -> None:
        found = {event: each.processed_at for each in registrations for event in each.events}
        ids = StreamIds(self.events).read() if found else frozenset()
        lost = {event: at for event, at in found.items() if event.id not in ids}
        if lost:
            self.ledger.republish(lease.claim, list(lost), min(lost.values()))


def _opened(registration: Registration, message: OpenMessage, order: ImportOrder) -> Registration:
    if order.events:
        return registration
    return replace(registration, message=message.model_copy(update={"publish": False}))


def _mails(order: ImportOrder, done: Imported, show: Callable[[int], None]) -> Iterator[tuple[MailSource, MailFile]]:
    """Yield every message of every file; a file that cannot be read is noted as failed."""
    before = 0
    for source in order.found.sources:
        try:
            for mail in read_mail(source, order.dialect):
                show(before + mail.position)
                yield source, mail
        except UnreadableMailError as error:
            done.failed.append((source.path, "", str(error)))
        before += source.size
        show(before)


def _row(size: int | None) -> IdentifiedRow:
    return IdentifiedRow(Listed(1, None, size), None)


def _reason(error: Exception) -> str:
    return (error.strerror or "cannot be read") if isinstance(error, OSError) else str(error)
