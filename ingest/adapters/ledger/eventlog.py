"""The event log in Redis or Valkey: a stream with one consumer group per sink, and dead-letter queues."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from typing_extensions import override

from ingest.adapters.ledger import names
from ingest.adapters.ledger.workset import RedisWorkSet, milliseconds
from ingest.domain.events import Event
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

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ingest.adapters.ledger.connection import RedisConnection
    from ingest.ports.claims import Claim

# Entries that stay in the stream, for readers without a group.
KEPT = 1_000
KEPT_NEARLY_FULL = 100
# Entries that one script call removes, so that it does not block the server.
TRIM_BATCH = 1_000
# Entries that one script call looks at; each may be 60 KiB.
_SCAN_BATCH = 200
# Rejected events in one reply, which at 60 KiB each stays within a few MiB.
_SCANNED = 50

# Purged messages that are remembered for readers with copies: some megabytes.
_PURGED_KEPT = 100_000

_sink_status_adapter = cache(lambda: TypeAdapter(SinkStatus))


class RedisEventLog(EventLog):
    """An `EventLog` in Redis or Valkey. A group that was destroyed is recreated where its sink began."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._names = connection.names

    @override
    def republish(self, events: Sequence[Event], since: float | None = None, only: str = "") -> None:
        if events:
            parts = [part for event in events for part in (event.id, event.type, event.mailbox, event.body)]
            keys = [self._names.events, self._names.counts, self._names.clock_step]
            self._connection.run("replay", keys, ["" if since is None else milliseconds(since), only, *parts])

    @override
    def ids(self, behind: str = "") -> tuple[list[str], str]:
        ids: list[str] = []
        while True:
            found, last = self._connection.run("ids", [self._names.events], [behind, _SCAN_BATCH])
            ids += [one.decode() for one in found]
            if last.decode() == behind:
                return ids, behind
            behind = last.decode()

    @override
    def follow(self, behind: str, limit: int) -> Followed:
        lost, last, rows = self._connection.run("follow", [self._names.events], [behind, limit])
        entries = [_entry(position, fields) for position, fields in rows]
        return Followed(entries, entries[-1].position if entries else last.decode(), bool(lost))

    @override
    def confirmed(self, sinks: Sequence[str]) -> dict[str, str]:
        groups = [names.group(sink) for sink in sinks]
        floors = self._connection.run("confirmed", [self._names.events], groups)
        return {sink: floor.decode() for sink, floor in zip(sinks, floors, strict=True) if floor}

    @override
    def record_purged(self, keys: Sequence[str]) -> None:
        if keys:
            self._connection.run("record_purged", [self._names.purged], [_PURGED_KEPT, *keys])

    @override
    def purged(self, behind: str, limit: int) -> list[tuple[str, str]]:
        start = f"({behind}" if behind else "-"
        rows = self._connection.call("XRANGE", self._names.purged, start, "+", "COUNT", limit)
        return [(position.decode(), fields[b"key"].decode()) for position, fields in rows]

    @override
    def begin(self, sink: str, *, now: bool) -> None:
        self._connection.run("begin", [self._names.events, self._names.begins], [names.group(sink), int(now)])

    @override
    def ensure_group(self, sink: str) -> None:
        self._connection.run("ensure_group", [self._names.events, self._names.begins], [names.group(sink)])

    @override
    def read(self, sink: str, limit: int) -> list[Entry]:
        rows = self._connection.run("read", [self._names.events, self._names.begins], [names.group(sink), limit])
        return [_entry(position, fields) for position, fields in rows]

    @override
    def wait(self, behind: str, seconds: float) -> bool:
        block = max(1, milliseconds(seconds))  # 0 would wait for ever
        where = ("STREAMS", self._names.events, behind or "$")
        return bool(self._connection.call("XREAD", "COUNT", 1, "BLOCK", block, *where))

    @override
    def acknowledge(self, sink: str, positions: Sequence[str], answers: Sequence[Answer] = ()) -> None:
        if answers:
            about = (names.group(sink), ANSWERS_KEPT, sink, _pack_answers(answers))
            self._connection.run("acknowledge", [self._names.events, self._names.answers], (*about, *positions))
        elif positions:
            self._connection.call("XACK", self._names.events, names.group(sink), *positions)

    @override
    def answers(self, behind: str, limit: int) -> list[Answers]:
        start = f"({behind}" if behind else "-"
        rows = self._connection.call("XRANGE", self._names.answers, start, "+", "COUNT", limit)
        return [_unpack_answers(position.decode(), fields) for position, fields in rows]

    @override
    def retrying(self, sink: str) -> RedisWorkSet:
        return RedisWorkSet(self._connection, self._names.retrying(sink))

    @override
    def reject(self, sink: str, entry: Entry, delay: float) -> None:
        work = self.retrying(sink)
        kept = (self._names.rejected(sink), self._names.retrying_appended(sink), self._names.rejecting_sinks)
        keys = [self._names.events, work.due, work.claimed, *kept, self._names.counts]
        rejected = (entry.position, entry.event.id, milliseconds(delay), _pack(entry))
        self._connection.run("reject", keys, (names.group(sink), *rejected, sink, milliseconds(entry.appended)))

    @override
    def rejected_entries(self, sink: str, ids: Sequence[str]) -> list[Entry | None]:
        if not ids:
            return []
        found = self._connection.call("HMGET", self._names.rejected(sink), *ids)
        return [None if packed is None else _unpack(packed) for packed in found]

    @override
    def mark_delivered(self, sink: str, claim: Claim) -> None:
        self._stop_retrying(sink, claim.id, remove=True)

    @override
    def dead_letter(self, sink: str, claim: Claim) -> None:
        self._stop_retrying(sink, claim.id, remove=False)

    @override
    def rejected(self, sink: str, limit: int) -> list[RejectedEvent]:
        """Sorts the first `limit` events that HSCAN returns: where there are more, older ones may be left out."""
        found: dict[bytes, bytes] = {}
        cursor = b"0"
        while len(found) < limit:
            cursor, some = self._connection.call("HSCAN", self._names.rejected(sink), cursor, "COUNT", _SCANNED)
            found.update(some)
            if int(cursor) == 0:
                break
        retrying = self.retrying(sink).members()
        rejected = [RejectedEvent(_unpack(packed), id_.decode() in retrying) for id_, packed in found.items()]
        return sorted(rejected, key=lambda one: order_of(one.entry.position))[:limit]

    @override
    def retry_rejected(self, sink: str, ids: Sequence[str]) -> int:
        work = self.retrying(sink)
        keys = [work.due, work.claimed, self._names.rejected(sink), self._names.retrying_appended(sink)]
        return sum(
            self._connection.run("retry_rejected", keys, (event_id, milliseconds(entry.appended)))
            for event_id, entry in self._present(sink, ids)
        )

    @override
    def drop_rejected(self, sink: str, ids: Sequence[str]) -> int:
        present = self._present(sink, ids)
        for event_id, _ in present:
            self._stop_retrying(sink, event_id, remove=True)
        return len(present)

    @override
    def erase(self, ids: Collection[str] = (), *, mailbox: str | None = None) -> int:
        removed, start = 0, b"-"
        while start:
            count, start = self._connection.run(
                "erase",
                [self._names.events, self._names.counts],
                [start, _SCAN_BATCH, mailbox or "", *ids],
            )
            removed += int(count)
        return removed

    @override
    def oldest_retrying(self, sink: str) -> float | None:
        first = self._connection.run("oldest", [self._names.retrying_appended(sink)])
        return None if first is None else int(first) / 1000

    @override
    def lag(self, sink: str) -> GroupLag:
        """A group that does not exist is behind by the whole stream."""
        entries, age = self._connection.run("lag", [self._names.events], [names.group(sink)])
        return GroupLag(entries, int(age) / 1000)

    @override
    def trim(self, sinks: Sequence[str], retired_after: float = RETIRED_AFTER, *, nearly_full: bool = False) -> int:
        kept = KEPT_NEARLY_FULL if nearly_full else KEPT
        keys = [self._names.events, self._names.begins, self._names.left, self._names.counts]
        groups = [names.group(sink) for sink in sinks]
        total = 0
        while True:
            removed = int(
                self._connection.run("trim", keys, [kept, TRIM_BATCH, milliseconds(retired_after), *groups])
            )
            total += removed
            if removed < TRIM_BATCH:
                return total

    @override
    def left(self) -> dict[str, float]:
        found = self._connection.call("HGETALL", self._names.left)
        return {names.sink_of(group.decode()): int(since) / 1000 for group, since in found.items()}

    @override
    def remove(self, sink: str) -> bool:
        rejected = (*self.retrying(sink).keys, self._names.retrying_appended(sink), self._names.rejected(sink))
        keys = [self._names.events, self._names.begins, self._names.left, self._names.rejecting_sinks]
        keys += [self._names.counts, self._names.sink_statuses, *rejected]
        return bool(self._connection.run("remove_sink", keys, [names.group(sink), sink]))

    @override
    def put_sink_status(self, sink: str, status: SinkStatus) -> None:
        self._connection.call("HSET", self._names.sink_statuses, sink, _sink_status_adapter().dump_json(status))

    @override
    def sink_status(self, sink: str) -> SinkStatus:
        found = self._connection.call("HGET", self._names.sink_statuses, sink)
        return SinkStatus() if found is None else _sink_status_adapter().validate_json(found)

    def _present(self, sink: str, ids: Sequence[str]) -> list[tuple[str, Entry]]:
        found = zip(ids, self.rejected_entries(sink, ids), strict=True)
        return [(event_id, entry) for event_id, entry in found if entry is not None]

    def _stop_retrying(self, sink: str, event_id: str, *, remove: bool) -> None:
        keys = [*self.retrying(sink).keys, self._names.retrying_appended(sink)]
        keys += [self._names.rejected(sink), self._names.counts] if remove else []
        self._connection.run("stop_retrying", keys, [event_id, sink])


def _entry(position: bytes, flat: list[bytes]) -> Entry:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    event = Event(fields[b"id"].decode(), fields[b"type"].decode(), fields[b"mailbox"].decode(), fields[b"body"])
    appended = int(position.partition(b"-")[0]) / 1000
    first_seen = fields.get(b"first_seen")
    seen_at = int(first_seen) / 1000 if first_seen else None
    return Entry(position.decode(), event, appended, seen_at, fields.get(b"only", b"").decode())


def _pack_answers(answers: Sequence[Answer]) -> bytes:
    """Lists of a verdict, a reason and a number of tries with the ids of the events: most of a step have the same."""
    found: dict[tuple[str, str, int], list[str]] = {}
    for one in answers:
        found.setdefault((one.verdict, one.reason, one.tries), []).append(one.event)
    return json.dumps([[*same, *ids] for same, ids in found.items()], separators=(",", ":")).encode()


def _unpack_answers(position: str, fields: dict[bytes, bytes]) -> Answers:
    found = [
        Answer(event, verdict, reason, tries)
        for verdict, reason, tries, *ids in json.loads(fields[b"answers"])
        for event in ids
    ]
    return Answers(position, int(position.partition("-")[0]) / 1000, fields[b"sink"].decode(), found)


def _pack(entry: Entry) -> bytes:
    """A line of JSON, then the body unchanged, so that a retry delivers the same bytes."""
    event = entry.event
    head = [entry.position, event.id, event.type, event.mailbox, entry.appended, entry.first_seen]
    return json.dumps(head).encode() + b"\n" + event.body


def _unpack(packed: bytes) -> Entry:
    head, _, body = packed.partition(b"\n")
    values: list[Any] = json.loads(head)
    position, event_id, event_type, mailbox, appended, first_seen = values
    return Entry(position, Event(event_id, event_type, mailbox, body), appended, first_seen)
