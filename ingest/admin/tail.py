"""Read events from the stream without a group, as `tail` reads a file."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.domain.retry import Backoff
from ingest.errors import LedgerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ingest.domain.events import Event
    from ingest.ports.eventlog import Entry, EventStream, Followed

_AT_ONCE = 100
# Seconds to wait for an event before `stop` is asked again.
_LOOK_EVERY = 0.5
# Seconds between two tries while the ledger is unavailable.
_AGAIN = Backoff(first=0.5, cap=5.0, jitter=0.0)
# Ids that are remembered: more than a stream holds whose sinks keep up.
_REMEMBERED = 10_000


@dataclass(slots=True)
class _Known:
    """The ids of events that were read, so that a stream that is read again from its start repeats none of them."""

    ids: OrderedDict[str, None] = field(default_factory=OrderedDict)
    again: bool = False

    def unread(self, batch: Followed) -> list[Entry]:
        """Return the entries of a batch that were not read before.

        A stream that begins again has those that were read first. What follows them is new, also where an event that
        is published again has the id that it had.
        """
        self.again = self.again or batch.lost
        entries = batch.entries
        if self.again:
            first = next((n for n, entry in enumerate(entries) if entry.event.id not in self.ids), None)
            self.again = first is None and bool(entries)
            entries = [] if first is None else entries[first:]
        self.ids.update((entry.event.id, None) for entry in entries)
        while len(self.ids) > _REMEMBERED:
            self.ids.popitem(last=False)
        return entries


@dataclass(frozen=True, slots=True)
class Tail:
    """Reads events. The stream keeps nothing for such a reader.

    Attributes:
        events: the stream.
        since: only events that were published then or later (seconds since 1970).
        mailboxes: only their events; empty for all.
        types: only events of these types; empty for all.
        sleep: waits for some seconds.
    """

    events: EventStream
    since: float = 0.0
    mailboxes: Collection[str] = ()
    types: Collection[str] = ()
    sleep: Callable[[float], object] = time.sleep

    def run(
        self,
        deliver: Callable[[Sequence[Event]], object],
        stop: Callable[[], bool],
        *,
        follow: bool,
        lost: Callable[[], None],
        unavailable: Callable[[], None],
    ) -> None:
        """Deliver the events that the stream holds, the oldest first.

        Args:
            deliver: called with some events at a time, never with none.
            stop: asked between two reads.
            follow: whether to go on with the events that come, until `stop` returns True. Then a ledger that answered
                once is waited for while it is unavailable, and reading goes on where it was.
            lost: called if events may have been removed before they were read. Reading begins again then with the
                first event of the stream that was not read.
            unavailable: called when waiting for the ledger begins.

        Raises:
            LedgerUnavailableError: the ledger is unavailable.
        """
        position, known, tries, answered = "", _Known(), 0, False
        while not stop():
            try:
                batch = self.events.follow(position, _AT_ONCE)
                if follow and not batch.entries:
                    self.events.wait(batch.position, _LOOK_EVERY)
            except LedgerUnavailableError:
                if not follow or not answered:
                    raise
                tries += 1
                if tries == 1:
                    unavailable()
                self._pause(tries, stop)
                continue
            tries, answered = 0, True
            if batch.lost and position:
                lost()
            position = batch.position
            if chosen := [entry.event for entry in known.unread(batch) if self._wants(entry)]:
                deliver(chosen)
            if not batch.entries and not follow:
                return

    def _pause(self, tries: int, stop: Callable[[], bool]) -> None:
        for _ in range(round(_AGAIN.pause(tries, 0.5) / _LOOK_EVERY)):
            if not stop():
                self.sleep(_LOOK_EVERY)

    def _wants(self, entry: Entry) -> bool:
        event = entry.event
        return (
            entry.appended >= self.since
            and (not self.mailboxes or event.mailbox in self.mailboxes)
            and (not self.types or event.type in self.types)
        )
