"""What a purge would erase, and what it has erased."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime

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
    "raw",
    "held",
    "locked",
    "unproven",
)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a purge would erase.

    Attributes:
        messages: how many messages still have content.
        purged: how many have a tombstone already; what an interrupted purge left of them is erased too.
        objects: how many objects the messages with content have.
        size: the bytes of these objects.
        first: the earliest day on which one of them was received; None if no day is known.
        last: the latest day.
        mailboxes: the ids of their mailboxes, or names of folders, in alphabetical order.
        held: how many more stay because of a legal hold.
        locked: how many more stay because the store has them locked.
        locked_until: when the last of these locks ends.
    """

    messages: int = 0
    purged: int = 0
    objects: int = 0
    size: int = 0
    first: date | None = None
    last: date | None = None
    mailboxes: tuple[str, ...] = ()
    held: int = 0
    locked: int = 0
    locked_until: datetime | None = None


@dataclass(slots=True)
class PurgeReport:
    """What a purge has erased. It is updated while the purge runs.

    Attributes:
        messages: how many messages were erased.
        purged_before: how many messages had a tombstone already.
        objects: how many objects the erased messages had.
        size: the bytes of these objects.
        left_over: how many objects, and earlier versions of objects, were left of messages purged before.
        failed: how many of the messages had failed.
        rejected_events: how many of their events were removed from dead-letter queues.
        unread_events: how many of their events were removed from the event stream.
        restorable_until: until when the store can restore what was erased; None if it cannot.
        raw: of how many messages the raw mail alone was erased.
        held: how many messages stay because of a legal hold, ours or the store's.
        locked: how many messages stay because the store has them locked.
        locked_until: when the last of these locks ends.
        unproven: how many raw mails stay because what was read back is not what the manifest says.
        stopped: whether it was asked to stop before everything was erased.
        error: the error that ended it early, if any.
    """

    messages: int = 0
    purged_before: int = 0
    objects: int = 0
    size: int = 0
    left_over: int = 0
    failed: int = 0
    rejected_events: int = 0
    unread_events: int = 0
    restorable_until: datetime | None = None
    raw: int = 0
    held: int = 0
    locked: int = 0
    locked_until: datetime | None = None
    unproven: int = 0
    stopped: bool = False
    error: MailhaulError | None = None

    def add(self, other: PurgeReport) -> None:
        """Add the counts of another report, and keep the later time."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.restorable_until = max(filter(None, (self.restorable_until, other.restorable_until)), default=None)
        self.locked_until = max(filter(None, (self.locked_until, other.locked_until)), default=None)

    @property
    def done(self) -> int:
        """How many messages were handled."""
        return self.messages + self.purged_before + self.raw + self.held + self.locked + self.unproven
