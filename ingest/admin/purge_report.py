"""What a purge would take away, and what it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from ingest.errors import MailhaulError


_COUNTS = (
    "messages",
    "purged_before",
    "objects",
    "size",
    "left_over",
    "failed",
    "rejected_events",
    "unread_events",
)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a purge would take away.

    Attributes:
        messages: that still have content.
        purged: that have a record already; what a purge that broke off has left of them goes too.
        objects: of those with content.
        bytes: of these objects.
        first: the earliest day that one was received; None where no day is known.
        last: the latest.
        mailboxes: their ids, or names of folders, in alphabetical order.
    """

    messages: int = 0
    purged: int = 0
    objects: int = 0
    size: int = 0
    first: date | None = None
    last: date | None = None
    mailboxes: tuple[str, ...] = ()


@dataclass(slots=True)
class PurgeReport:
    """What a purge took away; it counts on while the purge goes on.

    Attributes:
        messages: whose content is gone now.
        purged_before: messages that had a record already.
        objects: of the messages whose content is gone now.
        bytes: of these objects.
        left_over: objects, and earlier versions of objects, that were still there of those.
        failed: messages among them that had been given up.
        rejected_events: events of them that were in dead-letter queues and were dropped.
        unread_events: events of them that were in the event stream.
        stopped: whether there was more to do when it was asked to stop.
        error: what broke it off.
    """

    messages: int = 0
    purged_before: int = 0
    objects: int = 0
    size: int = 0
    left_over: int = 0
    failed: int = 0
    rejected_events: int = 0
    unread_events: int = 0
    stopped: bool = False
    error: MailhaulError | None = None

    def add(self, other: PurgeReport) -> None:
        """Count what another one counts."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def done(self) -> int:
        """How many messages were dealt with."""
        return self.messages + self.purged_before
