"""Fetch what is new in a maildrop: download, archive, register.

A message is registered only when its raw object is durable. Several messages are uploaded at once while the next ones
are downloaded; the number of uploads bounds the memory and slows the download to the store's pace.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.errors import StoreRefusedError
from ingest.ports.maildrop import Fetched, Listed, Maildrop, NotFetched
from ingest.ports.tracing import Attributes, Span, Step
from ingest.ports.wakeups import Queue, Wakeups
from ingest.usecases.poll.archive import Archive, new_spool
from ingest.usecases.recover.republish import StreamIds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor, Future

    from ingest.metrics import Metrics
    from ingest.ports.eventlog import EventLog
    from ingest.ports.seen import Registration, SeenMessages
    from ingest.usecases.poll.progress import PollProgress
    from ingest.usecases.poll.values import PollInput
    from ingest.usecases.spool import Spool

log = get_logger()

# Messages of one mailbox that are uploaded at once: enough to hide the store's latency, few enough to bound memory.
UPLOADS_PER_POLL = 8
# Each registration is a round trip to the ledger, so stored messages are registered together: this many, or those
# that there are after this time. Messages that a crash leaves unregistered are fetched again.
REGISTERED_AT_ONCE = 32
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
REGISTERED_AFTER = timedelta(milliseconds=200)
# A store that has refused this many messages and taken none is assumed to refuse them all.
STORE_REFUSALS = 3


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches, archives and registers new messages.

    Attributes:
        uploads: runs the uploads; shared by all polls of a process.
        now: the wall clock, in UTC.
        listed: called with each mailbox and how many messages a session will try to fetch from it.
    """

    archive: Archive
    ledger: SeenMessages
    events: EventLog
    wakeups: Wakeups
    metrics: Metrics
    uploads: Executor
    now: Callable[[], datetime]
    listed: Callable[[str, int], None] = lambda _mailbox, _messages: None

    def fetch(self, session: Maildrop, poll: PollInput, progress: PollProgress) -> None:
        """Fetch and register new messages, up to the mailbox's limit of messages for one poll.

        A message that the server or the store refuses does not count towards the limit. A server that refuses the
        rest of a session is asked for it in another.

        Raises:
            MaildropError: the session failed; what was complete before is registered.
            StoreError: the store did not take a message and is not likely to take the others.
            LedgerError: the ledger is unavailable, or the claim is lost.
        """
        waiting = deque(progress.rows_to_fetch())
        if poll.tries % 2 == 0:
            # A store that cannot take the first ones, as with a part of it down, ends a poll with them: every second
            # try begins with the newest.
            waiting.reverse()
        progress.begin_fetch()
        self.listed(poll.mailbox.id, len(waiting))
        first_seen = self.now()
        if waiting:
            about: Attributes = {"mailbox": poll.mailbox.id, "server": poll.mailbox.server.label}
            with poll.span.child(Step.FETCH, **about) as span:
                try:
                    _SessionFetch(self, session, poll, progress, span, first_seen, StreamIds(self.events)).run(
                        waiting
                    )
                finally:
                    span.note(**progress.attributes())
        progress.end_fetch(len(waiting))


@dataclass(slots=True)
class _Batch:
    """Stored messages that are registered together. `since` is when the first of them came."""

    stored: list[tuple[Listed, Registration]] = field(default_factory=list)
    since: datetime = _LONG_AGO

    def add(self, row: Listed, registration: Registration, now: datetime) -> None:
        """Add a message whose upload has ended."""
        if not self.stored:
            self.since = now
        self.stored.append((row, registration))

    def is_due(self, now: datetime) -> bool:
        """Whether the messages should be registered now."""
        return len(self.stored) >= REGISTERED_AT_ONCE or now - self.since >= REGISTERED_AFTER

    def take(self) -> list[tuple[Listed, Registration]]:
        """Return the messages and forget them."""
        taken, self.stored = self.stored, []
        return taken


@dataclass(frozen=True, slots=True)
class _SessionFetch:
    """The fetching of one session.

    `_stream` knows which events need not be republished; `_uploading` are the uploads that were not collected, each
    with its row, and `_done` those of them that have ended; `_batch` are the stored messages that are not registered
    yet.
    """

    fetcher: Fetcher
    session: Maildrop
    poll: PollInput
    progress: PollProgress
    span: Span
    first_seen: datetime
    _stream: StreamIds
    _uploading: dict[Future[Registration], Listed] = field(default_factory=dict)
    _done: SimpleQueue[Future[Registration]] = field(default_factory=SimpleQueue)
    _batch: _Batch = field(default_factory=_Batch)

    def run(self, waiting: deque[Listed]) -> None:
        """Fetch from the left of `waiting` until the limit is reached; what is left there was not tried."""
        room = self.poll.mailbox.limits.messages_per_poll
        while room and waiting and not self.progress.is_stopped and not self.progress.is_refused_the_rest:
            batch = [waiting.popleft() for _ in range(min(room, len(waiting)))]
            failed = self.progress.counts.failed
            self._fetch_batch(batch)
            room = self.progress.counts.failed - failed

    def _fetch_batch(self, batch: list[Listed]) -> None:
        wanted: list[Listed] = []
        oversize: list[Listed] = []
        for row in batch:
            (oversize if self.progress.is_oversize(row) else wanted).append(row)
        self._retrieve(wanted)
        for row in oversize:
            if self.progress.is_stopped or self.progress.is_refused_the_rest:
                return
            header = self.session.top(row)
            identified = self.progress.identified(row)
            registration = self.fetcher.archive.oversize(self.poll.mailbox, identified, header, self.first_seen)
            self._register([(row, registration)])

    def _retrieve(self, rows: list[Listed]) -> None:
        """Download messages while earlier ones are uploaded. However this ends, what got stored is registered."""
        handover = self.fetcher.archive.handover
        messages = self.session.fetch(rows, lambda _: new_spool(self.poll.mailbox, self.poll.lease.progress))
        try:
            for message in messages:
                if isinstance(message, NotFetched):
                    self.progress.refused_by_server(message)
                    log.warning("message.refused", mailbox=self.poll.mailbox.id, number=message.listed.number)
                    if self.progress.is_refused_the_rest:
                        return
                    continue
                self._upload(message)
                if len(self._uploading) >= UPLOADS_PER_POLL:
                    self._collect_stored()
                if handover.should_pause():
                    self._collect_stored(all_of_them=True)  # what is not registered cannot be processed
                    handover.pause()
                self.poll.lease.check()
                if self.poll.stop():
                    self.progress.stopped()
                    return
        finally:
            messages.close()
            self._collect_stored(all_of_them=True)

    def _upload(self, message: Fetched[Spool]) -> None:
        fetcher, mailbox = self.fetcher, self.poll.mailbox
        fetcher.metrics.observe("message_size_bytes", message.size)
        self.progress.fetched(message.size)
        self._doubt(message)
        upload = fetcher.uploads.submit(
            fetcher.archive.whole,
            mailbox,
            self.progress.identified(message.listed),
            message.spool,
            self.first_seen,
            may_be_cut=message.may_be_cut,
        )
        self._uploading[upload] = message.listed
        upload.add_done_callback(self._done.put)

    def _doubt(self, message: Fetched[Spool]) -> None:
        """Note that the server may have sent another message than the one that is listed under this number."""
        mailbox, number = self.poll.mailbox.id, message.listed.number
        header = self.progress.identified(message.listed).header
        if header is not None and header.contradicts(message.spool.head()):
            log.warning("message.header_differs", mailbox=mailbox, number=number)
            self.progress.header_differs(message.listed)
        if self.progress.has_size_of_another(message.listed, message.size):
            log.warning("message.may_be_another", mailbox=mailbox, number=number)
            self.progress.may_be_another(message.listed)

    def _collect_stored(self, *, all_of_them: bool = False) -> None:
        """Collect the messages whose upload has ended, then raise the first error that concerns more than one.

        They are registered when they are many or the first has waited, but always before an error and at the end.

        Args:
            all_of_them: wait for every upload, else for one.
        """
        now = self.fetcher.now()
        failed: list[tuple[Listed, Future[Registration]]] = []
        for upload in self._ended(len(self._uploading) if all_of_them else 1):
            row = self._uploading.pop(upload)
            if upload.exception() is None:
                self._batch.add(row, upload.result(), now)
            else:
                failed.append((row, upload))
        if self._batch.stored and (failed or all_of_them or self._batch.is_due(now)):
            self._register(self._batch.take())
        for row, upload in failed:
            self._raise_unless_single(row, upload)

    def _ended(self, least: int) -> Iterator[Future[Registration]]:
        """Yield the uploads that have ended; wait until there were this many."""
        while least > 0 or not self._done.empty():
            least -= 1
            yield self._done.get()

    def _once_more(self, row: Listed, registration: Registration) -> Registration:
        """Register a message that may be cut, or another one, so that the next poll fetches it once more."""
        if registration.may_be_cut:
            log.warning("message.may_be_cut", mailbox=self.poll.mailbox.id, number=row.number)
        elif not self.progress.is_doubtful(row):
            return registration
        digest = self.progress.identified(row).digest
        if digest is None:
            return registration
        return replace(
            registration, digest=self.progress.once_more(digest), is_doubtful=self.progress.is_doubtful(row)
        )

    def _raise_unless_single(self, row: Listed, upload: Future[Registration]) -> None:
        """Raise the error of an upload, unless the store may have refused only this message."""
        try:
            upload.result()
        except StoreRefusedError as error:
            self.progress.refused_by_store(error)
            log.warning("message.not_stored", mailbox=self.poll.mailbox.id, number=row.number, error=error.code)
            if self.progress.store_refuses_all(STORE_REFUSALS):
                raise

    def _register(self, stored: list[tuple[Listed, Registration]]) -> None:
        lease, fetcher = self.poll.lease, self.fetcher
        lease.check()
        stored = [(row, self._once_more(row, registration)) for row, registration in stored]
        lost = [(event, one.processed_at) for _, one in stored for event in self.progress.events_to_republish(one)]
        events = {event: at for event, at in lost if event.id not in self._stream.read()}
        if events:
            fetcher.ledger.republish(lease.claim, list(events), min(events.values()))
        opened = fetcher.ledger.register(
            lease.claim, [_traced(registration, self.span.traceparent) for _, registration in stored]
        )
        for row, registration in stored:
            fetcher.metrics.count("messages_total", self.progress.registered(row, registration))
        if opened:
            fetcher.wakeups.send(Queue.PROCESS, min(opened, UPLOADS_PER_POLL))


def _traced(registration: Registration, traceparent: str | None) -> Registration:
    """Return the registration with the trace context that processing its message will continue."""
    if registration.message is None or traceparent is None:
        return registration
    return replace(registration, message=registration.message.model_copy(update={"traceparent": traceparent}))
