"""The in-memory twin of `RedisEventLog`."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.adapters.ledger.eventlog import KEPT, KEPT_NEARLY_FULL
from ingest.domain.keys import EVENT_ID_DIGITS
from ingest.ports.eventlog import (
    ANSWERS_KEPT,
    RETIRED_AFTER,
    Answer,
    Answers,
    Entry,
    EventLog,
    Followed,
    GroupLag,
    order_of,
)
from ingest.ports.rejected import RejectedEvent
from ingest.ports.status import SinkStatus
from ingest.testing.workset import MemoryWorkSet

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ingest.domain.events import Event
    from ingest.ports.claims import Claim


@dataclass(slots=True)
class _Group:
    """`read` is how many entries, ever appended, the group has read; `pending` are unacknowledged positions."""

    read: int = 0
    pending: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _DeadLetters:
    """A sink's dead-letter queue."""

    retrying: MemoryWorkSet
    entries: dict[str, Entry] = field(default_factory=dict)


class MemoryEventLog(EventLog):
    """An `EventLog` for one process.

    Args:
        clock: returns seconds since 1970.
        kept: how many events a trimmed stream keeps at least.

    Attributes:
        on_republish: called with `since`; `MemoryLedger` sets it.
    """

    def __init__(self, clock: Callable[[], float], kept: int = KEPT) -> None:
        self._clock = clock
        self._kept = kept
        self._lock = threading.RLock()
        self._entries: list[Entry] = []
        self._trimmed = 0
        self._last = 0
        self._end = "0-0"  # the position of the newest entry, also after that was erased
        self._groups: dict[str, _Group] = {}
        self._begins: dict[str, int] = {}
        self._left: dict[str, float] = {}
        self._rejected: dict[str, _DeadLetters] = {}
        self._purged: list[tuple[str, str]] = []
        self._purges = 0
        self._answers: list[Answers] = []
        self._answered = 0
        self.purged_kept = 100_000
        self._statuses: dict[str, SinkStatus] = {}
        self.on_republish: Callable[[float], None] = lambda _: None

    def append(self, event: Event, first_seen: float | None = None, only: str = "") -> None:
        """Append an event, as `MemoryLedger` does for a completed message. `first_seen` is seconds since 1970."""
        with self._lock:
            # As in a stream, positions only grow, also after the clock was set back.
            self._last = now = max(self._last, int(self._clock() * 1000))
            position = f"{now}-{self._trimmed + len(self._entries)}"
            self._entries.append(Entry(position, event, now / 1000, first_seen, only))
            self._end = position

    @override
    def republish(self, events: Sequence[Event], since: float | None = None, only: str = "") -> None:
        if events and since is not None:
            self.on_republish(since)
        for event in events:
            self.append(event, only=only)

    @override
    def ids(self, behind: str = "") -> tuple[list[str], str]:
        with self._lock:
            last = order_of(behind) if behind else (0, -1)
            found = [entry for entry in self._entries if order_of(entry.position) > last]
            return [entry.event.id for entry in found if not entry.only], found[-1].position if found else behind

    @override
    def follow(self, behind: str, limit: int) -> Followed:
        with self._lock:
            first = self._entries[0].position if self._entries else self._end
            lost = not behind or not order_of(first) <= order_of(behind) <= order_of(self._end)
            after = (0, -1) if lost else order_of(behind)
            found = [entry for entry in self._entries if order_of(entry.position) > after][:limit]
            return Followed(found, found[-1].position if found else self._end if lost else behind, lost)

    @override
    def confirmed(self, sinks: Sequence[str]) -> dict[str, str]:
        with self._lock:
            end = f"{self._last + 1}-0"
            waiting = {sink: self._waiting(self._groups[sink]) for sink in sinks if sink in self._groups}
            return {sink: entries[0].position if entries else end for sink, entries in waiting.items()}

    @override
    def record_purged(self, keys: Sequence[str]) -> None:
        with self._lock:
            for key in keys:
                self._purges += 1
                self._purged.append((f"{int(self._clock() * 1000)}-{self._purges}", key))
            del self._purged[: -self.purged_kept]

    @override
    def purged(self, behind: str, limit: int) -> list[tuple[str, str]]:
        with self._lock:
            last = order_of(behind) if behind else (0, -1)
            return [one for one in self._purged if order_of(one[0]) > last][:limit]

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
    def wait(self, behind: str, seconds: float) -> bool:
        """Does not wait: in one thread nothing would be appended meanwhile."""
        return bool(behind and self.ids(behind)[1] != behind)

    @override
    def acknowledge(self, sink: str, positions: Sequence[str], answers: Sequence[Answer] = ()) -> None:
        with self._lock:
            if answers:
                now = self._clock()
                self._answered += 1
                position = f"{int(now * 1000)}-{self._answered}"
                self._answers = [*self._answers, Answers(position, now, sink, list(answers))][-ANSWERS_KEPT:]
            if sink in self._groups:
                self._groups[sink].pending.difference_update(positions)

    @override
    def answers(self, behind: str, limit: int) -> list[Answers]:
        with self._lock:
            last = order_of(behind) if behind else (0, -1)
            return [one for one in self._answers if order_of(one.position) > last][:limit]

    @override
    def retrying(self, sink: str) -> MemoryWorkSet:
        return self._dead_letters(sink).retrying

    @override
    def reject(self, sink: str, entry: Entry, delay: float) -> None:
        with self._lock:
            queue = self._dead_letters(sink)
            queue.entries[entry.event.id] = entry
            queue.retrying.add_later(entry.event.id, delay)
            self.acknowledge(sink, [entry.position])

    @override
    def rejected_entries(self, sink: str, ids: Sequence[str]) -> list[Entry | None]:
        with self._lock:
            entries = self._dead_letters(sink).entries
            return [entries.get(event_id) for event_id in ids]

    @override
    def mark_delivered(self, sink: str, claim: Claim) -> None:
        self.drop_rejected(sink, [claim.id])

    @override
    def dead_letter(self, sink: str, claim: Claim) -> None:
        self.retrying(sink).drop([claim.id])

    @override
    def rejected(self, sink: str, limit: int) -> list[RejectedEvent]:
        with self._lock:
            queue = self._dead_letters(sink)
            retrying = queue.retrying.members()
            rejected = [RejectedEvent(entry, event_id in retrying) for event_id, entry in queue.entries.items()]
            return sorted(rejected, key=lambda one: order_of(one.entry.position))[:limit]

    @override
    def retry_rejected(self, sink: str, ids: Sequence[str]) -> int:
        with self._lock:
            queue = self._dead_letters(sink)
            present = [event_id for event_id in ids if event_id in queue.entries]
            queue.retrying.add(present)
            for event_id in present:
                queue.retrying.run_now(event_id)
            return len(present)

    @override
    def drop_rejected(self, sink: str, ids: Sequence[str]) -> int:
        with self._lock:
            queue = self._dead_letters(sink)
            queue.retrying.drop(ids)
            return sum(queue.entries.pop(event_id, None) is not None for event_id in ids)

    @override
    def erase(self, ids: Collection[str] = (), *, mailbox: str | None = None) -> int:
        with self._lock:
            erased = [
                entry
                for entry in self._entries
                if not {entry.event.id, entry.event.id[:EVENT_ID_DIGITS]}.isdisjoint(ids)
                or entry.event.mailbox == mailbox
            ]
            for entry in erased:
                self._remove(self._entries.index(entry))
            return len(erased)

    def _remove(self, index: int) -> None:
        """Shift the numbers of the entries before it up by one, so that no number is given twice."""
        removed = self._entries.pop(index)
        number = self._trimmed + index
        self._trimmed += 1
        self._begins = {sink: begin + (begin <= number) for sink, begin in self._begins.items()}
        for group in self._groups.values():
            group.read += group.read <= number
            group.pending.discard(removed.position)

    @override
    def oldest_retrying(self, sink: str) -> float | None:
        with self._lock:
            queue = self._dead_letters(sink)
            return min((queue.entries[id_].appended for id_ in queue.retrying.members()), default=None)

    @override
    def lag(self, sink: str) -> GroupLag:
        with self._lock:
            waiting = self._waiting(self._groups.get(sink, _Group(self._trimmed)))
            if not waiting:
                return GroupLag(0, 0.0)
            return GroupLag(len(waiting), max(0.0, self._clock() - waiting[0].appended))

    @override
    def trim(self, sinks: Sequence[str], retired_after: float = RETIRED_AFTER, *, nearly_full: bool = False) -> int:
        """Only sinks have groups here: consumers cannot create their own."""
        with self._lock:
            for sink in sinks:
                self.ensure_group(sink)
            self._retire(set(sinks), retired_after)
            waiting = [self._waiting(group) for group in self._groups.values()]
            first = min((entries[0].position for entries in waiting if entries), key=order_of, default=None)
            done = [entry.position for entry in self._entries].index(first) if first else len(self._entries)
            removed = max(0, min(done, len(self._entries) - (KEPT_NEARLY_FULL if nearly_full else self._kept)))
            del self._entries[:removed]
            self._trimmed += removed
            return removed

    def _retire(self, configured: set[str], after: float) -> None:
        now = self._clock()
        self._left = {sink: min(self._left.get(sink, now), now) for sink in self._groups.keys() - configured}
        for sink in [sink for sink, since in self._left.items() if now - since >= after]:
            for known in (self._groups, self._begins, self._left):
                known.pop(sink, None)

    @override
    def left(self) -> dict[str, float]:
        with self._lock:
            return dict(self._left)

    @override
    def remove(self, sink: str) -> bool:
        with self._lock:
            self._statuses.pop(sink, None)
            found = [known.pop(sink, None) for known in (self._groups, self._begins, self._left, self._rejected)]
            return any(one is not None for one in found)

    @override
    def put_sink_status(self, sink: str, status: SinkStatus) -> None:
        self._statuses[sink] = status

    @override
    def sink_status(self, sink: str) -> SinkStatus:
        return self._statuses.get(sink, SinkStatus())

    def entries(self) -> list[Entry]:
        """The entries in the stream, oldest first."""
        with self._lock:
            return list(self._entries)

    def all_retrying(self) -> list[MemoryWorkSet]:
        """The work sets of the retrying events of every sink."""
        with self._lock:
            return [queue.retrying for queue in self._rejected.values()]

    def counts(self) -> tuple[int, int]:
        """How many events are in the stream, and in the dead-letter queues of all sinks."""
        with self._lock:
            return len(self._entries), sum(len(queue.entries) for queue in self._rejected.values())

    def snapshot(self) -> Callable[[], None]:
        """Remember everything; the function returned brings it back."""
        with self._lock:
            entries, trimmed, end = list(self._entries), self._trimmed, self._end
            groups = {sink: _Group(group.read, set(group.pending)) for sink, group in self._groups.items()}
            begins, left = dict(self._begins), dict(self._left)
            rejected = {
                sink: (dict(queue.entries), queue.retrying.snapshot(), queue.retrying)
                for sink, queue in self._rejected.items()
            }

        def restore() -> None:
            with self._lock:
                self._entries, self._trimmed, self._end = list(entries), trimmed, end
                self._groups = {sink: _Group(group.read, set(group.pending)) for sink, group in groups.items()}
                self._begins, self._left, self._rejected = dict(begins), dict(left), {}
                for sink, (kept, restore_retrying, retrying) in rejected.items():
                    restore_retrying()
                    self._rejected[sink] = _DeadLetters(retrying, dict(kept))

        return restore

    def clear(self) -> None:
        """Lose everything."""
        with self._lock:
            self._entries.clear()
            self._groups.clear()
            self._begins.clear()
            self._left.clear()
            self._rejected.clear()
            self._statuses.clear()
            self._purged.clear()
            self._answers.clear()
            self._trimmed = 0
            self._end = "0-0"

    def _new_group(self, sink: str) -> _Group:
        return _Group(max(self._trimmed, self._begins.get(sink, 0)))

    def _waiting(self, group: _Group) -> list[Entry]:
        start = group.read - self._trimmed
        again = [entry for entry in self._entries[:start] if entry.position in group.pending]
        return again + self._entries[start:]

    def _dead_letters(self, sink: str) -> _DeadLetters:
        with self._lock:
            return self._rejected.setdefault(sink, _DeadLetters(MemoryWorkSet(self._clock)))
