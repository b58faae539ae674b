"""Take what is new in a maildrop: fetch, archive, register.

A message is registered only when its raw object is durable. Several are on their way to the store at once, while the
next ones arrive; how many bounds the memory and slows the server down to the store's pace.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.errors import StoreRefusedError
from ingest.ports.maildrop import Fetched, Listed, Maildrop, NotFetched
from ingest.ports.tracing import Attributes, Step
from ingest.ports.wakeups import Queue, Wakeups
from ingest.usecases.poll.archive import Archive, new_spool
from ingest.usecases.poll.progress import id_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future
    from datetime import datetime

    from ingest.metrics import Metrics
    from ingest.ports.seen import Registration, SeenMessages
    from ingest.usecases.poll.progress import PollRun
    from ingest.usecases.spool import Spool

    UnderWay = dict[Future[Registration], Listed]

log = get_logger()

# Messages of one mailbox that are on their way to the store at once: hides the store's latency, bounds the memory.
UPLOADS_PER_POLL = 8
# A store that refuses this many messages and takes none refuses them all.
STORE_REFUSALS = 3


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Everything that taking needs, passed in."""

    archive: Archive
    ledger: SeenMessages
    wakeups: Wakeups
    metrics: Metrics
    uploads: Executor
    now: Callable[[], datetime]

    def take(self, session: Maildrop, run: PollRun) -> None:
        """Fetch and register what is new, up to the mailbox's limit of messages for one poll.

        Messages that the server refuses to hand out make room for those behind them.

        Raises:
            MaildropError: the session failed; what was complete before is registered.
            StoreError: the store did not take a message and is not likely to take the others.
            LedgerError: the ledger is away, or the claim is lost.
        """
        waiting = deque(run.new_rows())
        run.new = max(run.new, len(waiting))
        first_seen = self.now()
        if waiting:
            about: Attributes = {"mailbox": run.mailbox.id, "server": run.mailbox.server.label}
            with run.span.child(Step.FETCH, **about) as run.fetching:
                try:
                    self._take_all(session, run, waiting, first_seen)
                finally:
                    run.fetching.note(**run.counted())
        run.unfetched = bool(waiting)

    def _take_all(self, session: Maildrop, run: PollRun, waiting: deque[Listed], first_seen: datetime) -> None:
        room = run.mailbox.limits.messages_per_poll
        while room and waiting and not run.cut_short:
            batch = [waiting.popleft() for _ in range(min(room, len(waiting)))]
            failed = run.counts["failed"]
            self._take(session, run, batch, first_seen)
            room = run.counts["failed"] - failed

    def _take(self, session: Maildrop, run: PollRun, batch: list[Listed], first_seen: datetime) -> None:
        most = run.mailbox.limits.message_bytes
        wanted: list[Listed] = []
        oversize: list[Listed] = []
        for row in batch:
            (oversize if (row.size or 0) > most or id_of(row) in run.too_large else wanted).append(row)
        self._fetch(session, run, wanted, first_seen)
        for row in oversize:
            if run.cut_short:
                return
            done = self.archive.oversize(run.mailbox, row, session.top(row), first_seen)
            self._register(run, [(row, done)])

    def _fetch(self, session: Maildrop, run: PollRun, wanted: list[Listed], first_seen: datetime) -> None:
        """RETR what is wanted while earlier messages are being stored; registers what got stored, come what may."""
        under_way: UnderWay = {}
        messages = session.fetch(wanted, lambda _: new_spool(run.mailbox))
        try:
            for message in messages:
                if isinstance(message, NotFetched):
                    run.counts["failed"] += 1
                    log.warning("message.refused", mailbox=run.mailbox.id, number=message.listed.number)
                    continue
                under_way[self._submit(run, message, first_seen)] = message.listed
                if len(under_way) >= UPLOADS_PER_POLL:
                    self._register_stored(run, under_way, FIRST_COMPLETED)
                run.lease.check()
                if run.stop():
                    run.cut_short = True
                    return
        finally:
            messages.close()
            self._register_stored(run, under_way, ALL_COMPLETED)

    def _submit(self, run: PollRun, message: Fetched[Spool], first_seen: datetime) -> Future[Registration]:
        self.metrics.observe("message_size_bytes", message.size)
        run.counts["fetched_bytes"] += message.size
        return self.uploads.submit(self.archive.whole, run.mailbox, message.listed, message.spool, first_seen)

    def _register_stored(self, run: PollRun, under_way: UnderWay, until: str) -> None:
        """Register the messages whose upload has ended, then raise the first error that concerns them all."""
        if not under_way:
            return
        ended = {future: under_way.pop(future) for future in wait(under_way, return_when=until).done}
        stored = [(row, future.result()) for future, row in ended.items() if future.exception() is None]
        if stored:
            self._register(run, stored)
        for future, row in ended.items():
            self._raise_unless_single(run, row, future)

    def _raise_unless_single(self, run: PollRun, row: Listed, upload: Future[Registration]) -> None:
        """Raise the error of an upload, unless the store may have refused this one message only."""
        try:
            upload.result()
        except StoreRefusedError:
            run.unstored += 1
            run.counts["failed"] += 1
            log.warning("message.not_stored", mailbox=run.mailbox.id, number=row.number)
            if run.unstored >= STORE_REFUSALS and not run.took_any():
                raise

    def _register(self, run: PollRun, stored: list[tuple[Listed, Registration]]) -> None:
        run.lease.check()
        unpublished = [event for _, done in stored if (event := run.unpublished(done)) is not None]
        if unpublished:
            self.ledger.republish(run.lease.claim, unpublished)
        traceparent = run.fetching.traceparent
        opened = self.ledger.register(run.lease.claim, [_traced(done, traceparent) for _, done in stored])
        for row, registration in stored:
            run.mark_registered(row, registration)
            result = _result(registration)
            run.counts[result] += 1
            self.metrics.count("messages_total", result)
        if opened:
            self.wakeups.send(Queue.PROCESS, min(opened, UPLOADS_PER_POLL))


def _traced(registration: Registration, traceparent: str | None) -> Registration:
    """With the trace that its message's further steps belong to."""
    if registration.message is None or traceparent is None:
        return registration
    return replace(registration, message=registration.message.model_copy(update={"traceparent": traceparent}))


def _result(registration: Registration) -> str:
    if registration.message is None:
        return "duplicate"
    return "oversize" if registration.message.kind == "oversize" else "stored"
