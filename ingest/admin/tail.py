"""Read events from the stream without a group, as `tail` reads a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ingest.domain.events import Event
    from ingest.ports.eventlog import Entry, EventStream

_AT_ONCE = 100
# Seconds to wait for an event before `stop` is asked again.
_LOOK_EVERY = 0.5


@dataclass(frozen=True, slots=True)
class Tail:
    """Reads events. The stream keeps nothing for such a reader.

    Attributes:
        events: the stream.
        since: only events that were published then or later (seconds since 1970).
        mailboxes: only their events; empty for all.
        types: only events of these types; empty for all.
    """

    events: EventStream
    since: float = 0.0
    mailboxes: Collection[str] = ()
    types: Collection[str] = ()

    def run(
        self,
        deliver: Callable[[Sequence[Event]], object],
        stop: Callable[[], bool],
        *,
        follow: bool,
        lost: Callable[[], None],
    ) -> None:
        """Deliver the events that the stream holds, the oldest first.

        Args:
            deliver: called with some events at a time, never with none.
            stop: asked between two reads.
            follow: whether to go on with the events that come, until `stop` returns True.
            lost: called if events may have been removed before they were read. Reading begins again then with the
                first event of the stream.

        Raises:
            LedgerUnavailableError: the ledger is unavailable.
        """
        position = ""
        while not stop():
            batch = self.events.follow(position, _AT_ONCE)
            if batch.lost and position:
                lost()
            position = batch.position
            if chosen := [entry.event for entry in batch.entries if self._wants(entry)]:
                deliver(chosen)
            if not batch.entries:
                if not follow:
                    return
                self.events.wait(position, _LOOK_EVERY)

    def _wants(self, entry: Entry) -> bool:
        event = entry.event
        return (
            entry.appended >= self.since
            and (not self.mailboxes or event.mailbox in self.mailboxes)
            and (not self.types or event.type in self.types)
        )
