"""The port to the event stream: the outbox, which every sink reads at its own pace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ingest.ports.rejected import RejectedEvents
from ingest.ports.status import SinkRecords

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ingest.domain.events import Event


# Seconds for which the stream is kept for a sink that left the configuration.
RETIRED_AFTER = 86_400.0
# Steps whose answers are kept: up to 100 answers of some 36 bytes each, so seven megabytes at the most.
ANSWERS_KEPT = 2_000


@dataclass(frozen=True, slots=True)
class Entry:
    """An event at its position in the stream.

    Attributes:
        position: orders entries; what `acknowledge` takes.
        event: as it was appended.
        appended: seconds since 1970.
        first_seen: when its message was first seen (seconds since 1970); None if the event was republished.
        only: the only sink that it was republished for; empty for all. Others do not get it.
    """

    position: str
    event: Event
    appended: float
    first_seen: float | None = None
    only: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sink made of an event, for people.

    Attributes:
        event: the id of the event.
        verdict: `delivered`, `skipped`, `rejected`, or `dead_lettered`.
        reason: the code of the sink's answer, such as `http_204`; empty if there is none.
        tries: which try it was.
    """

    event: str
    verdict: str
    reason: str = ""
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of a sink that were recorded in one step, with when that was (seconds since 1970)."""

    position: str
    at: float
    sink: str
    answers: list[Answer]


@dataclass(frozen=True, slots=True)
class GroupLag:
    """How far a sink is behind: entries not acknowledged, and the age of the oldest in seconds (0 if none)."""

    entries: int
    oldest_age: float


@dataclass(frozen=True, slots=True)
class Followed:
    """What a reader without a group gets from the stream.

    Attributes:
        entries: oldest first.
        position: to read on from.
        lost: whether entries behind the position that was asked for may have been removed unread, or the stream is
            another one than before. Then the entries are the first ones of the stream.
    """

    entries: list[Entry]
    position: str
    lost: bool = False


def order_of(position: str) -> tuple[int, int]:
    """A key to sort positions by."""
    milliseconds_, _, sequence = position.partition("-")
    return int(milliseconds_), int(sequence)


class EventStream(Protocol):
    """The stream of events, read by one consumer group per sink.

    Every method raises `LedgerUnavailableError` when the ledger does not answer.
    """

    def republish(self, events: Sequence[Event], since: float | None = None, only: str = "") -> None:
        """Append events that were published before, with the ids they had.

        Args:
            events: in their order.
            since: when the oldest manifest was written whose event may not be delivered yet (seconds since 1970); the
                ledger's `clock_step` is extended to it in the same step, so that the delivery watermark waits for it.
                None: every sink has confirmed all of them before.
            only: the only sink that is to get them; empty for all.
        """
        ...

    def ids(self, behind: str = "") -> tuple[list[str], str]:
        """The ids of the events in the stream, and the position to pass as `behind` in the next call.

        Events for one sink only are left out: other sinks may not have got them.

        Args:
            behind: a position; only entries appended after it are returned. Empty: all entries.
        """
        ...

    def follow(self, behind: str, limit: int) -> Followed:
        """Read up to `limit` entries without a group. The stream is not kept for such a reader.

        Args:
            behind: a position; only entries appended after it are returned. Empty: the reader has no position yet,
                and gets the first entries, with `lost`.
            limit: entries.
        """
        ...

    def confirmed(self, sinks: Sequence[str]) -> dict[str, str]:
        """For each sink that has a group, the position before which it has acknowledged or rejected every entry."""
        ...

    def record_purged(self, keys: Sequence[str]) -> None:
        """Record that messages were purged, for readers that keep a copy of what was in them."""
        ...

    def purged(self, behind: str, limit: int) -> list[tuple[str, str]]:
        """Return positions and keys of purged messages, the oldest first; only the last 100,000 are kept.

        Args:
            behind: a position; empty: from the first on.
            limit: messages.
        """
        ...

    def begin(self, sink: str, *, now: bool) -> None:
        """Record where a sink's group starts: after the entries that exist now, or at the start of the stream.

        Only the first call for a sink has an effect, so a group that is recreated misses no event since then.
        """
        ...

    def ensure_group(self, sink: str) -> None:
        """Create the sink's group if there is none: at the position that `begin` recorded, else at the start."""
        ...

    def read(self, sink: str, limit: int) -> list[Entry]:
        """Up to `limit` entries that the sink has not acknowledged, oldest first.

        Entries that were read before and not acknowledged (a relay died, or the sink was unavailable) come first.
        """
        ...

    def wait(self, behind: str, seconds: float) -> bool:
        """Wait until there is an entry after a position, at most so long; return whether there is one.

        Args:
            behind: a position; empty: only entries that are appended from now on.
            seconds: to wait.
        """
        ...

    def acknowledge(self, sink: str, positions: Sequence[str], answers: Sequence[Answer] = ()) -> None:
        """Record that the sink has confirmed the entries at these positions, and in the same step its answers.

        Answers are for people alone: only those of the last `ANSWERS_KEPT` steps are kept.
        """
        ...

    def answers(self, behind: str, limit: int) -> list[Answers]:
        """Return recorded answers, the oldest first.

        Args:
            behind: a position; empty: from the first on.
            limit: steps.
        """
        ...

    def erase(self, ids: Collection[str] = (), *, mailbox: str | None = None) -> int:
        """Delete events from the stream: those with these ids, and all of a mailbox. Return how many there were.

        An id of 32 digits also stands for those that have a number behind it, the ids of updates.
        A sink that has not read them never will. Rejected events stay in their dead-letter queues.
        """
        ...

    def lag(self, sink: str) -> GroupLag:
        """How far the sink is behind. Rejected events do not count."""
        ...

    def trim(self, sinks: Sequence[str], retired_after: float = RETIRED_AFTER, *, nearly_full: bool = False) -> int:
        """Delete entries that every group has acknowledged; return how many.

        The groups are those of the sinks, also of sinks that left the configuration, and those that consumers of the
        stream created themselves. The last 1,000 entries always stay, for readers without a group; while memory is
        short, 100.

        Args:
            sinks: the configured sinks.
            retired_after: seconds after which the group of a sink that is not among them is removed, counted from the
                first call that did not name it.
            nearly_full: whether memory is short.
        """
        ...

    def left(self) -> dict[str, float]:
        """The sinks that left the configuration and are not retired yet, with when they left (seconds since 1970)."""
        ...

    def remove(self, sink: str) -> bool:
        """Remove a sink's group, where it began, its dead-letter queue and status; return if there was any."""
        ...


class EventLog(EventStream, RejectedEvents, SinkRecords, Protocol):
    """The stream, the events that sinks rejected, and the last answers of the sinks."""
