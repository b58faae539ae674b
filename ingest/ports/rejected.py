"""The port to events that a sink rejected: each is retrying, then dead-lettered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.ports.claims import Claim, WorkSet
    from ingest.ports.eventlog import Entry


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """An event that a sink rejected and has not taken since: `retrying`, or else dead-lettered."""

    entry: Entry
    retrying: bool


class RejectedEvents(Protocol):
    """The dead-letter queue of each sink.

    An event that a sink rejects moves from the sink's consumer group into its dead-letter queue, so that it delays
    neither the other events nor the trimming of the stream. There it is *retrying*: it has due times, and is
    delivered on its own. After the last attempt it is *dead-lettered*: kept, without a due time, until an operator
    retries or drops it. Every method raises `LedgerUnavailableError` when the ledger does not answer.
    """

    def retrying(self, sink: str) -> WorkSet:
        """The due times of this sink's retrying events, by event id."""
        ...

    def reject(self, sink: str, entry: Entry, delay: float) -> None:
        """In one step: keep a rejected event, due for its first retry after `delay` seconds, and acknowledge it.

        If the event is in the dead-letter queue already, its due time or claim stays as it is.
        """
        ...

    def rejected_entries(self, sink: str, ids: Sequence[str]) -> list[Entry | None]:
        """The rejected events with these event ids, None for each that is not in the sink's dead-letter queue."""
        ...

    def mark_delivered(self, sink: str, claim: Claim) -> None:
        """Remove a retrying event that the sink has taken, even if the claim has expired meanwhile."""
        ...

    def dead_letter(self, sink: str, claim: Claim) -> None:
        """Stop retrying an event and keep it for an operator."""
        ...

    def rejected(self, sink: str, limit: int) -> list[RejectedEvent]:
        """Up to `limit` events of the sink's dead-letter queue, oldest first."""
        ...

    def retry_rejected(self, sink: str, ids: Sequence[str]) -> int:
        """Make events retrying and due now, with a fresh attempt budget; return how many of them there were."""
        ...

    def drop_rejected(self, sink: str, ids: Sequence[str]) -> int:
        """Remove events, which this sink will never receive; return how many of them there were."""
        ...

    def oldest_retrying(self, sink: str) -> float | None:
        """When the oldest retrying event was appended to the stream (seconds since 1970), or None."""
        ...
