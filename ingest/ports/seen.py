"""The port to the seen sets: which messages of a mailbox need not be fetched again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ingest.domain.seen import UNKNOWN, SeenRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ingest.domain.events import Event
    from ingest.domain.message import OpenMessage
    from ingest.domain.seen import StoredAt
    from ingest.ports.claims import Claim
    from ingest.ports.troubled import TroubledMessage

# In place of the second in a seen set: later than any time from which a deletion may count.
NEVER_DELETED = 2**32 - 1
# A former primary may take writes for a while after a failover, from workers that have not noticed it. So long nobody
# can tell what was lost: a mailbox may have been rebuilt before they wrote.
UNSETTLED_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Registration:
    """A message that need not be fetched again.

    Attributes:
        digest: 16 bytes, its `listing_digest`, or its message key if the server has no unique-ids.
        message: what is to be processed; None if it was processed before (same bytes, another unique-id).
        stored: whether its bytes are in the store. False for a message that is too large to fetch: only the server
            has it, so it must never be deleted there.
        events: to be republished, for a message that was processed before and whose events may have been lost with
            the ledger.
        processed_at: when its manifest was written (seconds since 1970), for a message that was processed before.
        stored_at: the raw object that a deletion on the server has to find; without it the message is never deleted.
        is_doubtful: whether the server may have sent another message. Its record is marked as a restored one is: a
            deletion has to compare the headers.
    """

    digest: bytes
    message: OpenMessage | None
    stored: bool = True
    events: Sequence[Event] = ()
    processed_at: float = 0.0
    stored_at: StoredAt | None = None
    is_doubtful: bool = False

    @property
    def may_be_cut(self) -> bool:
        """Whether it is stored without proof that it is complete."""
        return self.stored and self.stored_at is None

    def record(self, second: int) -> SeenRecord:
        """Return what a seen set keeps of it, registered at this second."""
        stored_at = UNKNOWN if self.stored_at is None else self.stored_at.pack()
        record = SeenRecord(second if self.stored else NEVER_DELETED, stored_at)
        return record.as_restored() if self.is_doubtful else record


@dataclass(frozen=True, slots=True)
class Seen:
    """The seen set of a mailbox.

    Attributes:
        records: of every registered message, by digest (16 bytes). `second` is `NEVER_DELETED` if the message is not
            stored.
        known: False if the mailbox has to be rebuilt: it is new, or the ledger was lost, or it may have lost its last
            writes (a crash, a failover) since the mailbox was rebuilt.
        changes: how many times the set of processed messages has changed.
        checkpointed: the value of `changes` at the last checkpoint.
        notices_losses: whether `known` can be relied on. False if the server does not tell whether it was restarted,
            and for ten minutes after a loss: a worker that went on with a former primary may have written after the
            mailbox was rebuilt. Then writes may be missing although `known` is True.
        deleted: as `begin_deletions` or `record_deleted` recorded them last.
        troubled: the mailbox's messages that could not be fetched, as `TroubledMessages.troubled` returns them.
    """

    records: dict[bytes, SeenRecord]
    known: bool = True
    changes: int = 0
    checkpointed: int = 0
    deleted: dict[bytes, SeenRecord] = field(default_factory=dict)
    notices_losses: bool = True
    troubled: Sequence[TroubledMessage] = ()


class SeenMessages(Protocol):
    """The seen sets. Whoever writes to one holds the claim on its mailbox.

    Every method raises `LedgerUnavailableError` when the ledger does not answer. Methods that take a claim raise
    `StaleClaimError` if it is stale, and change nothing then.
    """

    def seen(self, mailbox: str) -> Seen:
        """The seen set of a mailbox, read with one call."""
        ...

    def unprocessed(self, mailbox: str) -> set[bytes]:
        """The digests of messages that are open or failed, and so must not be deleted on the server."""
        ...

    def register(self, claim: Claim, registrations: Sequence[Registration]) -> int:
        """In one step: add digests to the seen set, and open messages, due for processing. Return how many opened.

        A message that is open or failed already stays as it is, unless it was opened for another store. Then its
        `OpenMessage` is replaced: a claim on it stays as it is, and a failed one is open again and due. Where the
        store of a message is not known, an open one is replaced, and a failed one stays.
        """
        ...

    def forget(self, claim: Claim, digests: Collection[bytes]) -> int:
        """Remove these digests; return how many were there."""
        ...

    def record_deleted(self, claim: Claim, records: Mapping[bytes, SeenRecord]) -> None:
        """Replace the record of deletions that the server was asked for and might not have made, by digest."""
        ...

    def begin_deletions(self, claim: Claim, digests: Collection[bytes], records: Mapping[bytes, SeenRecord]) -> None:
        """In one step: remove these digests from the seen set, and replace the record of deletions.

        Called before QUIT. A process that dies afterwards, or that gets no answer, cannot know whether the server has
        deleted the messages and given their unique-ids to others.
        """
        ...

    def compact(self, claim: Claim, keep: Collection[bytes], doubt: Collection[bytes] = ()) -> int:
        """Remove the digests that are not in `keep`; return how many.

        The records of those in `doubt` are marked as restored: a deletion has to compare the headers.
        """
        ...

    def incarnation(self) -> bytes:
        """The id of the data as it is now; another one once any of it was lost."""
        ...

    def restore_seen(self, claim: Claim, records: Mapping[bytes, SeenRecord], incarnation: bytes) -> None:
        """Add records from a checkpoint, and mark all records of the mailbox as restored; it is known from then on.

        The ledger may have lost that a digest was forgotten, also of the records that it still has.

        Args:
            claim: on the mailbox.
            records: of its checkpoint.
            incarnation: what `incarnation` returned before the rebuild began. If the ledger has lost data since, the
                mailbox stays unknown, because what was given back to it may be lost as well.
        """
        ...

    def unknown(self, mailboxes: Collection[str]) -> int:
        """How many of these mailboxes have to be rebuilt: they are new, or the ledger lost data since they were."""
        ...

    def record_checkpoint(self, mailbox: str, changes: int) -> None:
        """Record that a checkpoint was written, of a seen set that had changed this many times."""
        ...

    def republish(self, claim: Claim, events: Sequence[Event], since: float) -> None:
        """Append events to the stream that may have been published before, with the ids they had.

        In the same step, extend what `clock_step` returns to the time from `since` until now: the stream shows these
        events as appended now, although their manifests are older.

        Args:
            claim: of the mailbox.
            events: with none, nothing changes.
            since: when the oldest of their manifests was written (seconds since 1970).
        """
        ...
