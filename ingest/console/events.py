"""Events as whoever asks may see them: one of a message, or those of the stream."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ingest.domain.manifest import Manifest

if TYPE_CHECKING:
    from ingest.catalog.queries import Queries, Scope
    from ingest.domain.events import Event
    from ingest.ports.eventlog import Entry, EventStream

# Entries that are read at once, of up to 60 KiB each, and reads of one page: few of many may be seen.
_AT_ONCE, _READS = 25, 40
# Bytes of the events of a page that has more than one: nobody can have the console hold all that it may list.
PAGE_BYTES = 1024 * 1024
_EARLIER = ("duplicate_of", "documents")


def shown(event: Event, queries: Queries, scope: Scope) -> dict[str, Any]:
    """Return an event, in which earlier messages are named only if they may be seen."""
    body: dict[str, Any] = json.loads(event.body)
    if scope.mailboxes is None:
        return body
    try:
        manifest = queries.without_others(Manifest.model_validate(body["data"]), scope)
    except ValidationError:  # of another version
        return {**body, "data": {name: value for name, value in body["data"].items() if name not in _EARLIER}}
    seen = json.loads(manifest.to_json())
    known = {name: seen.get(name) for name in _EARLIER if name in body["data"]}
    return {**body, "data": {**body["data"], **known}}


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events of the stream, the oldest first.

    Attributes:
        entries: with each event as it may be seen.
        next: the position to go on from, also if there are no entries.
        lost: whether events may have been removed from the stream before they were read.
    """

    entries: list[tuple[Entry, dict[str, Any]]]
    next: str
    lost: bool


@dataclass(frozen=True, slots=True)
class StreamReader:
    """Reads pages of the stream, which keeps nothing for such a reader."""

    stream: EventStream
    queries: Queries

    def page(self, scope: Scope, behind: str, limit: int, mailbox: str = "", type_: str = "") -> EventPage:
        """Return the next events that may be seen; fewer than there are where they have more than `PAGE_BYTES`.

        Args:
            scope: the mailboxes of whoever asks.
            behind: a position; empty: from the first event on.
            limit: events.
            mailbox: only of this one; empty for all.
            type_: only of this type; empty for all.

        Raises:
            LedgerUnavailableError, CatalogError: a part is unavailable.
        """
        found: list[Entry] = []
        lost, position = False, behind
        for _ in range(_READS):
            batch = self.stream.follow(position, _AT_ONCE)
            lost, position = lost or (batch.lost and position != ""), batch.position
            fitting = [entry for entry in batch.entries if _fits(entry.event, scope, mailbox, type_)]
            count = _count(found, fitting, limit)
            found += fitting[:count]
            if count < len(fitting) or len(found) == limit:
                position = found[-1].position
                break
            if not batch.entries:
                break
        return EventPage([(entry, shown(entry.event, self.queries, scope)) for entry in found], position, lost)


def _count(found: list[Entry], more: list[Entry], limit: int) -> int:
    """Return how many more entries go on a page: the first one always does."""
    left, count = PAGE_BYTES - sum(len(entry.event.body) for entry in found), 0
    for entry in more[: limit - len(found)]:
        left -= len(entry.event.body)
        if left < 0 and (found or count):
            break
        count += 1
    return count


def _fits(event: Event, scope: Scope, mailbox: str, type_: str) -> bool:
    return scope.allows(event.mailbox) and mailbox in {"", event.mailbox} and type_ in {"", event.type}
