"""What one poll of a mailbox found and did."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from ingest.ports.maildrop import Terms

if TYPE_CHECKING:
    from ingest.errors import MailhaulError
    from ingest.ports.troubled import TroubledMessage


@dataclass(frozen=True, slots=True)
class PollCounts:
    """What a poll has done, in messages, except for `fetched_bytes`.

    This is the only list of these counts: reports, log lines and spans take their fields from it.
    """

    new: int = 0
    stored: int = 0
    duplicate: int = 0
    oversize: int = 0
    failed: int = 0
    deleted: int = 0
    fetched_bytes: int = 0

    def counts(self) -> dict[str, int]:
        """Return the counts by name, in the order in which they are reported."""
        return {name: getattr(self, name) for name in _COUNTS}

    @property
    def registered(self) -> int:
        """How many messages were registered, with whatever result."""
        return self.stored + self.duplicate + self.oversize


_COUNTS = tuple(count.name for count in fields(PollCounts))


@dataclass(frozen=True, slots=True)
class PollReport(PollCounts):
    """What one poll found and did; counts are messages, except for `fetched_bytes` and `backlog_bytes`.

    Attributes:
        listed: messages in the last session's listing.
        backlog_messages: listed messages that are still to be fetched.
        backlog_bytes: the sum of their listed sizes.
        terms: what the server announced about its rules.
        more: whether polling again at once would fetch more.
        advanced: whether messages were registered that need not be fetched again.
        left_out: messages that the server counts and does not list consistently, so that they are never fetched.
        undeleted: messages that the server lists although it has confirmed their deletion.
        troubled: messages that could not be fetched, by number.
        rest_done: whether everything else was done: a session that left out only troubled messages ended well.
        logged_in: whether a login worked.
        store_refused: why the store refused the last message that it did not take; empty if it took all.
        error: why the poll failed, None if it did not; the counts say what was done before.
    """

    listed: int = 0
    backlog_messages: int = 0
    backlog_bytes: int = 0
    terms: Terms = field(default_factory=Terms)
    more: bool = False
    advanced: bool = False
    left_out: int = 0
    undeleted: int = 0
    troubled: tuple[TroubledMessage, ...] = ()
    rest_done: bool = False
    logged_in: bool = False
    store_refused: str = ""
    error: MailhaulError | None = None

    def then(self, later: PollReport) -> PollReport:
        """Combine with the next poll of the same mailbox.

        What the first poll has left or failed to fetch is new again in the next one, and counts once. A poll that did
        not get as far as a listing says nothing about the mailbox.
        """
        if not later.logged_in:
            later = replace(
                later,
                listed=self.listed,
                new=self.backlog_messages,
                failed=self.failed,
                backlog_messages=self.backlog_messages,
                backlog_bytes=self.backlog_bytes,
                terms=self.terms,
                store_refused=self.store_refused,
            )
        sums = {name: count + getattr(later, name) for name, count in self.counts().items()}
        sums["new"] -= min(self.backlog_messages, later.new)
        sums["failed"] = later.failed
        return replace(later, **sums)
