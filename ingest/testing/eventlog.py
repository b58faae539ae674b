"""The event stream in memory: the twin of `eventlog`."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.adapters.ledger.eventlog import KEPT, order_of
from ingest.ports.eventlog import DeadLetter, Entry, EventLog, GroupLag
from ingest.testing.workset import MemoryWorkSet

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ingest.domain.events import Event
    from ingest.ports.ledger import Claim


@dataclass(slots=True)
class _Group:
    """`read` counts entries from the beginning of all time; `pending` are the positions not acknowledged."""

    read: int = 0
    pending: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _DeadLetter:
    work: MemoryWorkSet
    entries: dict[str, Entry] = field(default_factory=dict)


class MemoryEventLog(EventLog):
    """The port's `EventLog` for one process; `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._entries: list[Entry] = []
        self._trimmed = 0
        self._groups: dict[str, _Group] = {}
        self._begins: dict[str, int] = {}
        self._retrying: dict[str, _DeadLetter] = {}

    def append(self, event: Event, first_seen: float | None = None) -> None:
        """Add an event at the end; `MemoryLedger` does. `first_seen` is seconds since 1970."""
        with self._lock:
            now = int(self._clock() * 1000)
            position = f"{now}-{self._trimmed + len(self._entries)}"
            self._entries.append(Entry(position, event, now / 1000, first_seen))

    @override
    def tell(self, events: Sequence[Event]) -> None:
        for event in events:
            self.append(event)

    @override
    def ids(self, behind: str = "") -> tuple[list[str], str]:
        with self._lock:
            last = order_of(behind) if behind else (0, -1)
            found = [entry for entry in self._entries if order_of(entry.position) > last]
            return [entry.event.id for entry in found], found[-1].position if found else behind

    @override
    def begin(self, sink: str, *, now: bool) -> None:
        with self._lock:
            self._begins.setdefault(sink, self._trimmed + len(self._entries) if now else 0)

    @override
    def ensure_group(self, sink: str) -> None:
        with self._lock:
            self._groups.setdefault(sink, self._new_group(sink))

    @override
    def read(self, sink: str, limit: int) -> list[Entry]:
        with self._lock:
            self.ensure_group(sink)
            group = self._groups[sink]
            again = [entry for entry in self._entries if entry.position in group.pending][:limit]
            start = group.read - self._trimmed
            new = self._entries[start : start + limit - len(again)]
            group.read += len(new)
            group.pending.update(entry.position for entry in new)
            return again + new

    @override
    def acknowledge(self, sink: str, positions: Sequence[str]) -> None:
        with self._lock:
            if sink in self._groups:
                self._groups[sink].pending.difference_update(positions)

    @override
    def retrying(self, sink: str) -> MemoryWorkSet:
        return self._retrying_of(sink).work

    @override
    def retry_later(self, sink: str, entry: Entry, delay: float) -> None:
        with self._lock:
            retrying = self._retrying_of(sink)
            retrying.entries[entry.event.id] = entry
            retrying.work.add_later(entry.event.id, delay)
            self.acknowledge(sink, [entry.position])

    @override
    def dead_letter_entries(self, sink: str, ids: Sequence[str]) -> list[Entry | None]:
        with self._lock:
            entries = self._retrying_of(sink).entries
            return [entries.get(event_id) for event_id in ids]

    @override
    def forget_dead_letter(self, sink: str, claim: Claim) -> None:
        with self._lock:
            retrying = self._retrying_of(sink)
            retrying.work.drop([claim.id])
            retrying.entries.pop(claim.id, None)

    @override
    def dead_letter(self, sink: str, claim: Claim) -> None:
        self._retrying_of(sink).work.drop([claim.id])

    @override
    def dead_letters(self, sink: str, limit: int) -> list[DeadLetter]:
        with self._lock:
            retrying = self._retrying_of(sink)
            tried = retrying.work.members()
            found = [DeadLetter(entry, event_id in tried) for event_id, entry in retrying.entries.items()]
            return sorted(found, key=lambda one: order_of(one.entry.position))[:limit]

    @override
    def retry_dead_letters(self, sink: str, ids: Sequence[str]) -> int:
        with self._lock:
            retrying = self._retrying_of(sink)
            there = [event_id for event_id in ids if event_id in retrying.entries]
            retrying.work.add(there)
            for event_id in there:
                retrying.work.run_now(event_id)
            return len(there)

    @override
    def drop_dead_letters(self, sink: str, ids: Sequence[str]) -> int:
        with self._lock:
            retrying = self._retrying_of(sink)
            retrying.work.drop(ids)
            return sum(retrying.entries.pop(event_id, None) is not None for event_id in ids)

    @override
    def erase(self, ids: Collection[str] = (), *, mailbox: str | None = None) -> int:
        with self._lock:
            doomed = [entry for entry in self._entries if entry.event.id in ids or entry.event.mailbox == mailbox]
            for entry in doomed:
                self._remove(self._entries.index(entry))
            return len(doomed)

    def _remove(self, index: int) -> None:
        """As if what comes before had been appended one later, so that numbers are given once only."""
        removed = self._entries.pop(index)
        place = self._trimmed + index
        self._trimmed += 1
        self._begins = {sink: begin + (begin <= place) for sink, begin in self._begins.items()}
        for group in self._groups.values():
            group.read += group.read <= place
            group.pending.discard(removed.position)

    @override
    def oldest_retrying(self, sink: str) -> float | None:
        with self._lock:
            retrying = self._retrying_of(sink)
            return min((retrying.entries[id_].appended for id_ in retrying.work.members()), default=None)

    @override
    def lag(self, sink: str) -> GroupLag:
        with self._lock:
            waiting = self._waiting(self._groups.get(sink, _Group(self._trimmed)))
            if not waiting:
                return GroupLag(0, 0.0)
            return GroupLag(len(waiting), max(0.0, self._clock() - waiting[0].appended))

    @override
    def trim(self, sinks: Sequence[str]) -> int:
        """Nobody but our sinks can have a group here."""
        with self._lock:
            self._groups = {sink: self._groups.get(sink) or self._new_group(sink) for sink in sinks}
            waiting = [self._waiting(group) for group in self._groups.values()]
            first = min((entries[0].position for entries in waiting if entries), key=order_of, default=None)
            done = [entry.position for entry in self._entries].index(first) if first else len(self._entries)
            removed = max(0, min(done, len(self._entries) - KEPT))
            del self._entries[:removed]
            self._trimmed += removed
            return removed

    def counts(self) -> tuple[int, int]:
        """How many events are in the stream, and how many retrying over all sinks."""
        with self._lock:
            return len(self._entries), sum(len(retrying.entries) for retrying in self._retrying.values())

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._groups.clear()
            self._begins.clear()
            self._retrying.clear()
            self._trimmed = 0

    def _new_group(self, sink: str) -> _Group:
        return _Group(max(self._trimmed, self._begins.get(sink, 0)))

    def _waiting(self, group: _Group) -> list[Entry]:
        start = group.read - self._trimmed
        again = [entry for entry in self._entries[:start] if entry.position in group.pending]
        return again + self._entries[start:]

    def _retrying_of(self, sink: str) -> _DeadLetter:
        with self._lock:
            return self._retrying.setdefault(sink, _DeadLetter(MemoryWorkSet(self._clock)))
