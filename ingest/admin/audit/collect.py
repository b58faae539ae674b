"""Collect the entries of a statement: which messages it has to have, and what to say about each.

A statement is about every message of which an object was written that day, by the clock of the store; about those of
the day before that its statement missed, as they appeared late; and about those that the last one left unsettled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ingest.admin.audit.messages import Description, describe, joined
from ingest.domain.events import EventType, event_ids
from ingest.domain.keys import event_id
from ingest.domain.statement import PROCESSED, Entry
from ingest.usecases.batches import batches

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from ingest.admin.stored_messages import StoredMessage
    from ingest.domain.message import FailedMessage
    from ingest.ports.eventlog import EventLog
    from ingest.ports.messages import OpenMessages
    from ingest.ports.store import Store

# Messages that the ledger is asked about in one request, and whose manifests are read at once.
_BATCH = 100
_Change = Literal["stored", "changed", "carried"]


@dataclass(frozen=True, slots=True)
class Period:
    """Which objects a statement is about (seconds since 1970, by the clock of the store).

    Attributes:
        since: those written from then on; 0 for the first statement.
        until: those written before.
        late_since: since when the last statement was to have those written before `since`.
    """

    since: float
    until: float
    late_since: float

    def contains(self, message: StoredMessage) -> bool:
        """Return whether an object of the message was written in it."""
        return any(self.since <= stored.modified < self.until for stored in message.objects)

    def is_late(self, message: StoredMessage) -> bool:
        """Return whether the last statement should have been about the message."""
        return any(self.late_since <= stored.modified < self.since for stored in message.objects)

    def stores(self, message: StoredMessage) -> bool:
        """Return whether its raw mail was written in it."""
        return any(self.since <= stored.modified < self.until for stored in message.sources)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A message that may need an entry; `message` is None if nothing is left, `before` is the last statement's."""

    folder: str
    change: _Change
    message: StoredMessage | None
    before: Entry | None

    @property
    def key(self) -> str:
        return self.folder.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Collector:
    """Collects entries.

    Attributes:
        failed: the failed messages by key.
        sinks: names of all sinks.
        confirmed_until: the delivery watermark (seconds since 1970).
        workers: read several messages at once.
        prefix: the common prefix of all keys.
    """

    store: Store
    ledger: OpenMessages
    events: EventLog
    sinks: Collection[str]
    failed: Mapping[str, FailedMessage]
    confirmed_until: float
    workers: Executor
    prefix: str = field(default="")

    def entries(self, messages: Iterator[StoredMessage], before: Iterator[Entry], period: Period) -> Iterator[Entry]:
        """Yield the entries of a statement, ordered by folder.

        Args:
            messages: all of the mailbox, ordered by folder.
            before: the entries of the last statement.
            period: what the statement is about.

        Raises:
            StoreError, LedgerError: one of them is unavailable.
        """
        found = joined(messages, lambda one: one.folder.removeprefix(self.prefix), before, lambda one: one.folder)
        candidates = (
            candidate for one, entry in found if (candidate := self._candidate(one, entry, period)) is not None
        )
        for batch in batches(candidates, _BATCH):
            yield from self._described(batch)

    def _candidate(self, message: StoredMessage | None, before: Entry | None, period: Period) -> _Candidate | None:
        unsettled = before is not None and not before.is_settled
        if message is None:
            return _Candidate(before.folder, "carried", None, before) if before is not None and unsettled else None
        folder = message.folder.removeprefix(self.prefix)
        if before is None and period.is_late(message):
            return _Candidate(folder, "stored", message, None)
        if period.contains(message):
            return _Candidate(folder, "stored" if period.stores(message) else "changed", message, before)
        return _Candidate(folder, "carried", message, before) if unsettled else None

    def _described(self, batch: Sequence[_Candidate]) -> Iterator[Entry]:
        opened = self.ledger.open_messages([one.key for one in batch])
        found = self.workers.map(self._describe, batch, (one is not None for one in opened))
        entries, updates = [], []
        for candidate, description, is_open in zip(batch, found, opened, strict=True):
            entries.append(self._entry(candidate, description, is_open=is_open is not None))
            updates.append(description.updates)
        yield from self._with_rejections(entries, updates)

    def _describe(self, candidate: _Candidate, is_open: bool) -> Description:  # noqa: FBT001 - by map
        if candidate.message is None:
            return Description("missing")
        return describe(self.store, candidate.message, is_open=is_open)

    def _entry(self, candidate: _Candidate, found: Description, *, is_open: bool) -> Entry:
        entry = Entry(
            folder=candidate.folder,
            change=candidate.change,
            state=found.state,
            raw=found.raw,
            raw_erased=found.raw_erased,
            manifest=found.manifest,
            replaced=found.replaced,
            others=found.others,
        )
        if found.state in PROCESSED:
            kind = EventType.OVERSIZE if found.state == "oversize" else EventType.RECEIVED
            event = event_id(kind, entry.key)
            if found.updates:
                event = event_id(EventType.UPDATED, entry.key, found.updates)
            return self._with_event(entry, event, found.written)
        failed = self.failed.get(candidate.key)
        if found.state == "unprocessed" and not is_open and failed is not None:
            entry = entry.model_copy(update={"state": "failed", "reason": failed.reason})
            return self._with_event(entry, event_id(EventType.FAILED, entry.key), failed.failed_at.timestamp())
        return entry

    def _with_event(self, entry: Entry, event: str, written: float) -> Entry:
        delivery = "confirmed" if written < self.confirmed_until else "waiting"
        return entry.model_copy(update={"event": event, "delivery": delivery})

    def _with_rejections(self, entries: Sequence[Entry], updates: Sequence[int]) -> Iterator[Entry]:
        """Yield the entries, with the sinks that have rejected an event of the message and not taken it since."""
        about = {
            id_: entry.key
            for entry, count in zip(entries, updates, strict=True)
            if entry.event is not None
            for id_ in event_ids([entry.key], count)
        }
        rejecting: dict[str, set[str]] = {}
        for sink in self.sinks if about else ():
            for rejected in self.events.rejected_entries(sink, list(about)):
                if rejected is not None:
                    rejecting.setdefault(about[rejected.event.id], set()).add(sink)
        for entry in entries:
            by = sorted(rejecting.get(entry.key, ())) if entry.event is not None else []
            yield entry.model_copy(update={"delivery": "rejected", "rejected_by": by}) if by else entry


def period_of(since: float | None, until: float, late_since: float | None) -> Period:
    """Return a period; without `since` it is that of a first statement, without `late_since` nothing can be late."""
    begin = 0.0 if since is None else since
    return Period(begin, until, math.inf if since is None else 0.0 if late_since is None else late_since)
