"""The seam to the event stream: the outbox, which every sink reads at its own pace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ingest.domain.events import Event
    from ingest.ports.ledger import Claim, WorkSet


@dataclass(frozen=True, slots=True)
class Entry:
    """An event at its place in the stream. `appended` is seconds since 1970; `first_seen` too, None if unknown."""

    position: str
    event: Event
    appended: float
    first_seen: float | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a sink has refused and not taken since; `tried` until it is set aside for a person."""

    entry: Entry
    tried: bool


@dataclass(frozen=True, slots=True)
class GroupLag:
    """How far a sink is behind: entries not acknowledged, and the age of the oldest in seconds (0 when none)."""

    entries: int
    oldest_age: float


class EventLog(Protocol):
    """The event stream: the outbox, read by one consumer group per sink."""

    def tell(self, events: Sequence[Event]) -> None:
        """Append events again that were in the stream before; their ids are the same."""
        ...

    def ids(self, behind: str = "") -> tuple[list[str], str]:
        """Ids of events in the stream, and the position to ask on from, as `behind`.

        Args:
            behind: a position; only what was appended after it is looked at. Empty: everything.
        """
        ...

    def begin(self, sink: str, *, now: bool) -> None:
        """Remember where a sink's group is to begin: behind what the stream holds now, or before all of it.

        What is remembered of a sink stays: whenever its group is made again, no event since then is passed over.
        """
        ...

    def ensure_group(self, sink: str) -> None:
        """Make the sink's group where there is none: from where `begin` said, else the beginning of the stream."""
        ...

    def read(self, sink: str, limit: int) -> list[Entry]:
        """Up to `limit` entries the sink has not acknowledged, oldest first.

        Those handed out before and not acknowledged (a relay died, or the sink was away) come first, then new ones.
        """
        ...

    def acknowledge(self, sink: str, positions: Sequence[str]) -> None:
        """The sink has confirmed these."""
        ...

    def retrying(self, sink: str) -> WorkSet:
        """The due times of events that this sink refused by themselves. Ids are event ids."""
        ...

    def retry_later(self, sink: str, entry: Entry, delay: float) -> None:
        """In one step: keep an event aside, due again after `delay` seconds, and acknowledge it in the group.

        So one refused event holds up neither the others nor the trimming of the stream.
        """
        ...

    def dead_letter_entries(self, sink: str, ids: Sequence[str]) -> list[Entry | None]:
        """The retrying events under these ids."""
        ...

    def forget_dead_letter(self, sink: str, claim: Claim) -> None:
        """Forget a retrying event: it was delivered."""
        ...

    def dead_letter(self, sink: str, claim: Claim) -> None:
        """Keep a retrying event, but try it no more: a person decides."""
        ...

    def dead_letters(self, sink: str, limit: int) -> list[DeadLetter]:
        """Events that the sink has refused and not taken since, the oldest first; no more than `limit` of them."""
        ...

    def retry_dead_letters(self, sink: str, ids: Sequence[str]) -> int:
        """Try retrying events again, now and with all tries before them; returns how many there were."""
        ...

    def drop_dead_letters(self, sink: str, ids: Sequence[str]) -> int:
        """Forget retrying events, which the sink will never get then; returns how many there were."""
        ...

    def erase(self, ids: Collection[str] = (), *, mailbox: str | None = None) -> int:
        """Take events out of the stream, read or not: those with these ids, and all of a mailbox.

        A sink that has not got them never will. DeadLetter events stay. Returns how many there were.
        """
        ...

    def oldest_retrying(self, sink: str) -> float | None:
        """When the oldest event that is retrying and still tried was appended (seconds since 1970), or None."""
        ...

    def lag(self, sink: str) -> GroupLag:
        """How far the sink is behind, retrying events not counted."""
        ...

    def trim(self, sinks: Sequence[str]) -> int:
        """Remove entries that every one of these groups has acknowledged; returns how many.

        Groups of sinks that are not in `sinks` any more are removed first, so that they hold nothing back; groups
        that consumers of the stream made themselves are waited for. The last 1,000 entries stay in any case, for
        readers without a group.
        """
        ...
