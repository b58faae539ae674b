"""Write statements: for each mailbox one about each day, once the day has been over for a while.

Any number of processes may do so: the first statement that is stored about a day stays.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.admin.audit.archive import StatementArchive
from ingest.admin.audit.collect import Collector, period_of
from ingest.admin.audit.messages import messages_below
from ingest.domain.merkle import MerkleTree
from ingest.domain.statement import EntriesRef, Entry, ServerView, Statement, last_closed_day
from ingest.errors import ConfigError, MailhaulError, ObjectExistsError, SpoolError, StoreError
from ingest.usecases.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from concurrent.futures import Executor

    from ingest.admin.audit.archive import StoredStatement
    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger
    from ingest.ports.signing import Signer
    from ingest.ports.store import Store

log = get_logger()

# Seconds for which one process alone tries to write the statements of a mailbox.
_ALONE = 3_600.0


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the statements of a mailbox.

    Attributes:
        mailbox: its id.
        statement: the one that was written; None with an `error`.
        sha256: hex, of the whole statement.
        error: why it could not be written.
    """

    mailbox: str
    statement: Statement | None = None
    sha256: str = ""
    error: MailhaulError | None = None


@dataclass(frozen=True, slots=True)
class StatementWriter:
    """Writes statements.

    Attributes:
        sinks: names of all sinks.
        store_id: returns the id of the store.
        watermark: returns the delivery watermark (seconds since 1970).
        signer: returns the key to sign with; None if statements are not signed.
        grace: seconds after the end of a day before its statement is written.
        workers: read several manifests at once.
        store_time: returns the time on the store's clock (seconds since 1970).
    """

    store: Store
    layout: Layout
    ledger: Ledger
    events: EventLog
    sinks: Collection[str]
    store_id: Callable[[], bytes]
    watermark: Callable[[], float]
    signer: Callable[[], Signer | None]
    workers: Executor
    now: Callable[[], datetime]
    grace: float
    store_time: Callable[[], float]
    _done: dict[str, date] = field(default_factory=dict)  # the last day of each mailbox that is known to be written

    @property
    def archive(self) -> StatementArchive:
        """Reads what was written."""
        return StatementArchive(self.store, self.layout)

    def write_due(self, mailboxes: Iterable[Mailbox], stop: Callable[[], bool]) -> None:
        """Write what is due, as long as no other process does; log what could not be written: a later call will."""
        day, boxes = last_closed_day(self.now(), self.grace), list(mailboxes)
        due = [box for box in boxes if self._done.get(box.id) != day]
        if due:
            self.ledger.record_task_start("statements")
        for written in self.write((box for box in due if self._is_mine(box, day)), stop, day):
            if written.error is not None:
                log.warning("audit.not_written", mailbox=written.mailbox, error=written.error.code)
        if all(self._done.get(box.id) == day for box in boxes):
            self.ledger.record_task_success("statements")

    def _is_mine(self, mailbox: Mailbox, day: date) -> bool:
        try:
            if self.store.stat(self.layout.statement(mailbox.id, day)) is None:
                return self.ledger.throttle(f"statement:{mailbox.id}", _ALONE)
        except StoreError as error:
            log.warning("audit.not_written", mailbox=mailbox.id, error=error.code)
            return False
        self._done[mailbox.id] = day
        return False

    def write(
        self, mailboxes: Iterable[Mailbox], stop: Callable[[], bool], until: date | None = None
    ) -> Iterator[Written]:
        """Write the statements that are missing at the end of each mailbox's chain, and yield each.

        Args:
            mailboxes: of these, disabled ones too.
            stop: asked between statements.
            until: the last day to write about; by default the last one that has been over for long enough, by the
                clocks of this machine and of the store: what the store writes later belongs to no day that is stated.

        Raises:
            LedgerUnavailableError: the ledger is unavailable.
        """
        last: date | None = None
        for mailbox in mailboxes:
            try:
                if last is None:
                    last = min(filter(None, (until, self._closed_day())))
                yield from self._write_mailbox(mailbox, last, stop)
            except (StoreError, SpoolError, ConfigError) as error:
                yield Written(mailbox.id, error=error)

    def _closed_day(self) -> date:
        written = datetime.fromtimestamp(self.store_time(), UTC)
        return last_closed_day(min(self.now(), written), self.grace)

    def _write_mailbox(self, mailbox: Mailbox, last: date, stop: Callable[[], bool]) -> Iterator[Written]:
        days = self.archive.days(mailbox.id)
        before = self.archive.load(mailbox.id, days[-1]) if days else None
        day = last if before is None else before.statement.day + timedelta(days=1)
        while day <= last and not stop():
            written = self._write_day(mailbox, day, before)
            if written is not None:
                yield written
            before = self.archive.load(mailbox.id, day)
            day += timedelta(days=1)
        if day > last:
            self._done[mailbox.id] = last

    def _write_day(self, mailbox: Mailbox, day: date, before: StoredStatement | None) -> Written | None:
        """Write one statement; returns None if another process was quicker."""
        spool = Spool()
        try:
            draft = self._draft(mailbox, day, before, spool)
            signer = self.signer()
            statement = draft if signer is None else draft.signed(signer.key_id, signer.sign)
            if statement.entries.count:
                key = self.layout.statement_entries(mailbox.id, day, statement.entries.sha256)
                # Its key follows from its content: an interrupted try may have left the same.
                self.store.put(
                    key,
                    spool.reader(),
                    size=spool.size,
                    sha256=spool.sha256,
                    content_type="application/jsonl",
                )
        finally:
            spool.close()
        data = statement.to_json()
        try:
            self.store.put(
                self.layout.statement(mailbox.id, day),
                io.BytesIO(data),
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                content_type="application/json",
                only_if_absent=True,
                compare=False,
            )
        except ObjectExistsError:
            return None
        log.info(
            "audit.written",
            mailbox=mailbox.id,
            day=day.isoformat(),
            statement=statement.link.sha256,
            stored=statement.counts.get("stored", 0),
        )
        return Written(mailbox.id, statement, statement.link.sha256)

    def _draft(self, mailbox: Mailbox, day: date, before: StoredStatement | None, spool: Spool) -> Statement:
        """Write the entries of a day to the spool; returns the statement without its signature."""
        last = None if before is None else before.statement
        until = datetime.combine(day + timedelta(days=1), time(), UTC)
        confirmed = self.watermark()
        collector = Collector(
            store=self.store,
            ledger=self.ledger,
            events=self.events,
            sinks=self.sinks,
            failed={one.message.key: one for one in self.ledger.failed_messages()},
            confirmed_until=confirmed,
            workers=self.workers,
            prefix=self.layout.everything(),
        )
        period = period_of(
            None if last is None else last.until.timestamp(),
            until.timestamp(),
            None if last is None or last.since is None else last.since.timestamp(),
        )
        folders = {mailbox.id, mailbox.folder}
        messages = messages_below(self.store, self.layout.everything(), folders)
        earlier = iter(()) if last is None else self.archive.entries(last)
        tally = _Tally()
        for entry in collector.entries(messages, earlier, period):
            line = entry.to_line()
            tally.add(entry, line)
            spool.write(line + b"\n")
        return Statement(
            store_id=self.store_id().hex(),
            mailbox=mailbox.id,
            day=day,
            since=None if last is None else last.until,
            until=until,
            written_at=self.now().replace(microsecond=0),
            server=self._server(mailbox.id),
            counts=dict(tally.counts),
            confirmed_until=datetime.fromtimestamp(int(confirmed), UTC),
            entries=EntriesRef(count=tally.count, size=spool.size, sha256=spool.sha256),
            merkle_root=tally.tree.root,
            previous=None if before is None else before.link,
        )

    def _server(self, mailbox: str) -> ServerView | None:
        found = self.ledger.statuses([mailbox]).get(mailbox)
        if found is None:
            return None
        succeeded = found.last_success
        return ServerView(
            polled_at=datetime.fromtimestamp(int(found.last_poll), UTC),
            succeeded_at=None if succeeded is None else datetime.fromtimestamp(int(succeeded), UTC),
            result=found.result,
            listed=found.listed,
            not_fetched=found.backlog_messages,
            unfetchable=found.troubled,
            left_out=found.left_out,
        )


@dataclass(slots=True)
class _Tally:
    """Counts entries while they are written."""

    counts: Counter[str] = field(default_factory=Counter)
    tree: MerkleTree = field(default_factory=MerkleTree)
    count: int = 0

    def add(self, entry: Entry, line: bytes) -> None:
        self.tree.add(line)
        self.count += 1
        self.counts.update([entry.change, entry.state])
        if entry.delivery is not None:
            self.counts[entry.delivery] += 1
        if entry.change == "stored" and entry.raw is not None:
            self.counts["stored_bytes"] += entry.raw.size
