"""One poll under way, over all its sessions, and what is told of it at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from ingest.domain import keys
from ingest.ports.maildrop import Terms
from ingest.ports.tracing import NO_SPAN

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.domain.events import Event
    from ingest.domain.mailbox import Mailbox
    from ingest.errors import Row
    from ingest.ports.maildrop import Listed, Listing
    from ingest.ports.seen import Registration
    from ingest.ports.tracing import Attributes, Span
    from ingest.usecases.claims import Lease

_COUNTED = ("stored", "duplicate", "oversize", "failed", "deleted", "fetched_bytes")
# All ids that should be there are gone, and about as many others are: within this share, the count counts as alike.
_ALIKE = 0.2


@dataclass(frozen=True, slots=True)
class PollReport:
    """What one poll found and did; counts are messages, but `fetched_bytes` and `backlog_bytes`.

    Attributes:
        terms: what the server says of its rules.
        more: another poll at once would get more of what waits on the server.
    """

    listed: int = 0
    new: int = 0
    stored: int = 0
    duplicate: int = 0
    oversize: int = 0
    failed: int = 0
    deleted: int = 0
    fetched_bytes: int = 0
    backlog_messages: int = 0
    backlog_bytes: int = 0
    terms: Terms = field(default_factory=Terms)
    more: bool = False

    def __add__(self, later: PollReport) -> PollReport:
        """Two polls of one mailbox as one: what was done adds up, what is there is the later poll's."""
        done = ("new", *_COUNTED)
        return replace(later, **{name: getattr(self, name) + getattr(later, name) for name in done})


@dataclass
class PollRun:
    """What a poll was given, and what happened so far.

    Attributes:
        seen: digests registered in earlier polls, with their seconds.
        rows: those of the last session's listing, each with what stands for it (see `id_of`).
        contents: digests, made from its content, of what was fetched without a unique-id.
        told: ids of events that this poll has told again.
        registered: ids of rows that were registered in this poll.
        recognised: rows of this session without a unique-id whose content turned out to be done already.
        too_large: ids of rows that went past the limit although the server had listed less.
        unfetched: there are rows that this poll did not get to.
        progress: a row was registered that need not be fetched again.
        stalled: the server stopped answering pipelined commands.
        cut_short: `stop` ended the poll.
        unstored: messages that were fetched and that the store refused.
        span: of the poll.
        fetching: the span under which messages are taken just now.
    """

    mailbox: Mailbox
    lease: Lease
    stop: Callable[[], bool]
    seen: dict[bytes, int]
    rows: list[tuple[bytes, Listed]] = field(default_factory=list)
    terms: Terms = field(default_factory=Terms)
    new: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTED, 0))
    contents: set[bytes] = field(default_factory=set)
    told: frozenset[str] = frozenset()
    registered: set[bytes] = field(default_factory=set)
    recognised: list[Listed] = field(default_factory=list)
    too_large: set[bytes] = field(default_factory=set)
    unfetched: bool = False
    progress: bool = False
    stalled: bool = False
    cut_short: bool = False
    unstored: int = 0
    span: Span = NO_SPAN
    fetching: Span = NO_SPAN

    def begin_session(self, listing: Listing) -> None:
        """Take a new session's listing.

        A unique-id that stands for several messages tells nothing: they are fetched each time, as from a server
        without UIDL, and their content decides.
        """
        counted = Counter(row.unique_id for row in listing.rows)
        rows = (row if counted[row.unique_id] == 1 else replace(row, unique_id=None) for row in listing.rows)
        self.rows = [(id_of(row), row) for row in rows]
        self.recognised.clear()

    def new_rows(self) -> list[Listed]:
        """What is listed and neither seen before nor registered in this poll."""
        return [row for id_, row in self.rows if id_ not in self.seen and id_ not in self.registered]

    def done_rows(self, done: set[bytes]) -> list[Listed]:
        """The rows of messages that are done: by their unique-ids, or by the content that was just fetched."""
        return [row for id_, row in self.rows if id_ in done] + self.recognised

    def mark_registered(self, row: Listed, registration: Registration) -> None:
        """A row was registered."""
        self.registered.add(id_of(row))
        if row.unique_id is not None:
            self.progress = True
            return
        self.contents.add(registration.unique_id_digest)
        if registration.message is None and registration.stored:
            self.recognised.append(row)

    def unpublished(self, registration: Registration) -> Event | None:
        """The event of a registration that has to be told again: of a message that the ledger did not know."""
        event = registration.event
        if event is None or event.id in self.told or registration.unique_id_digest in self.seen:
            return None
        return event

    def counted(self) -> Attributes:
        """What was found and done so far, as a span tells it."""
        return cast("Attributes", {"listed": len(self.rows), "new": self.new, **self.counts})

    def took_any(self) -> bool:
        """Whether a message was registered."""
        return any(self.counts[result] for result in ("stored", "duplicate", "oversize"))

    def ids_were_reset(self, deletable: set[bytes]) -> bool:
        """Whether every unique-id that should be listed is gone while about as many others are there.

        Servers do that after a migration, or when UIDVALIDITY changes.

        Args:
            deletable: digests whose messages we may have deleted ourselves.
        """
        expected = self.seen.keys() - deletable
        listed = self.listed_ids()
        if not expected or not listed or not listed.isdisjoint(expected):
            return False
        return abs(len(listed) - len(expected)) <= _ALIKE * len(expected)

    def listed_ids(self) -> set[bytes]:
        """The digests of all unique-ids that are listed and tell messages apart."""
        return {id_ for id_, row in self.rows if row.unique_id is not None}

    def report(self) -> PollReport:
        """The sums at the end."""
        left = self.new_rows()
        progress = self.progress or self.counts["deleted"] > 0
        window = self.mailbox.server.quirks.lists_window and self.counts["stored"] > 0
        return PollReport(
            listed=len(self.rows),
            new=self.new,
            backlog_messages=len(left),
            backlog_bytes=sum(row.size or 0 for row in left),
            terms=self.terms,
            more=self.cut_short or (progress and self.unfetched) or window,
            **self.counts,
        )


def id_of(row: Row) -> bytes:
    """What stands for a row: the digest of its unique-id, or, for one session, its number."""
    return b"%d" % row.number if row.unique_id is None else keys.unique_id_digest(row.unique_id)
