"""Verify a mailbox: its statements, and every message that they are about against the store."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ingest.admin.audit.archive import StatementArchive
from ingest.admin.audit.chain import Chain, latest_entries
from ingest.admin.audit.compare import Compared, Comparison
from ingest.admin.audit.findings import AuditReport, Kind
from ingest.admin.audit.messages import joined, messages_below
from ingest.domain.statement import PROCESSED, last_closed_day

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from concurrent.futures import Executor
    from datetime import date, datetime

    from ingest.admin.audit.chain import LatestEntries
    from ingest.admin.stored_messages import StoredMessage
    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.statement import Entry
    from ingest.ports.signing import PublicKey
    from ingest.ports.store import Store, Stored

# Seconds that writing statements may take, before one that is not there is missing.
_WRITING = 6 * 3_600.0
# Messages that are compared at once.
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Scope:
    """What to verify.

    Attributes:
        since, until: only messages whose last entry is of one of these days are compared with the store; None: all.
        quick: read manifests only; of other objects compare existence and size.
    """

    since: date | None = None
    until: date | None = None
    quick: bool = False

    def contains(self, day: date) -> bool:
        """Return whether messages that were last stated on this day are compared."""
        return (self.since is None or day >= self.since) and (self.until is None or day <= self.until)


@dataclass(frozen=True, slots=True)
class Auditor:
    """Verifies mailboxes.

    Attributes:
        configured: mailboxes by id.
        keys: public keys by their ids.
        grace: as statements are written with.
        workers: read several messages at once.
    """

    store: Store
    layout: Layout
    configured: Mapping[str, Mailbox]
    keys: Mapping[str, PublicKey]
    grace: float
    workers: Executor
    now: Callable[[], datetime]

    def mailboxes(self) -> list[str]:
        """Return the ids of all mailboxes that are configured, or have statements."""
        return sorted({*self.configured, *StatementArchive(self.store, self.layout).mailboxes()})

    def verify(
        self,
        mailbox: str,
        scope: Scope = Scope(),
        listen: Callable[[str, int], None] = lambda _mailbox, _messages: None,
    ) -> AuditReport:
        """Verify one mailbox.

        Args:
            mailbox: its id, also if it is not configured any more.
            scope: what to compare with the store; all statements are verified in any case.
            listen: called with the mailbox and the number of its messages compared so far.

        Raises:
            StoreError: the store is unavailable.
        """
        report = AuditReport(mailbox)
        expected = last_closed_day(self.now(), self.grace + _WRITING) if mailbox in self.configured else None
        with latest_entries() as latest:
            chain = Chain(StatementArchive(self.store, self.layout), self.keys, report, latest)
            comparison = Comparison(self.store, mailbox, chain.verify(expected), scope.quick)
            self._compare(comparison, latest, report, scope, listen)
        return report

    def _compare(
        self,
        comparison: Comparison,
        latest: LatestEntries,
        report: AuditReport,
        scope: Scope,
        listen: Callable[[str, int], None],
    ) -> None:
        prefix, mailbox = self.layout.everything(), report.mailbox
        box = self.configured.get(mailbox)
        folders = {mailbox} if box is None else {mailbox, box.folder}
        messages = messages_below(self.store, prefix, folders, self._stray_reporter(folders, report))
        pairs = joined(
            messages,
            lambda one: one.folder.removeprefix(prefix),
            _counting(latest, report),
            lambda found: found[1].folder,
        )
        while batch := list(islice(pairs, _BATCH)):
            for compared in self.workers.map(lambda pair: self._one(comparison, scope, *pair), batch):
                if compared is None:
                    continue
                report.extend(compared.findings)
                report.messages += 1
                report.objects, report.size = report.objects + compared.objects, report.size + compared.size
                report.pending += compared.pending
            listen(mailbox, report.messages)

    def _one(
        self,
        comparison: Comparison,
        scope: Scope,
        message: StoredMessage | None,
        found: tuple[date, Entry] | None,
    ) -> Compared | None:
        """Return the result for one message; None if it is out of scope."""
        if found is None:
            assert message is not None
            return comparison.unstated(message)
        day, entry = found
        if not scope.contains(day):
            return None
        return comparison.compare(entry, message, f"{self.layout.everything()}{entry.folder}")

    def _stray_reporter(self, folders: Collection[str], report: AuditReport) -> Callable[[Stored], None]:
        """Return a function that takes objects which belong to no message, and reports those that nobody needs."""
        ours = [self.layout.mailbox(folder) for folder in folders]
        # The folder of another mailbox may be inside of this one's.
        others = [
            self.layout.mailbox(folder)
            for box in self.configured.values()
            if box.id != report.mailbox
            for folder in (box.id, box.folder)
        ]
        nested = tuple(one for one in others if one.startswith(tuple(ours)))
        states = tuple(f"{one}_state/" for one in ours)

        def take(stored: Stored) -> None:
            if not stored.key.startswith((*nested, *states)):
                report.add(Kind.ADDED, stored.key, "it belongs to no message")

        return take


def _counting(latest: LatestEntries, report: AuditReport) -> Iterator[tuple[date, Entry]]:
    """Yield days and entries, and count the messages that are neither processed nor erased."""
    for day, entry in latest:
        if entry.state not in PROCESSED and entry.state != "erased":
            report.unsettled[entry.state] += 1
        yield day, entry
