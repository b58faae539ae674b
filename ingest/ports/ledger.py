"""The seam to the ledger (Redis or Valkey): who works on what, what was seen, what is open, what happened.

The ledger may be lost at any time; the store heals it. Times are the ledger's own clock, never a worker's. Every
method raises `LedgerUnavailableError` when Redis is away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from ingest.domain.events import Event
    from ingest.domain.message import FailedMessage, OpenMessage


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one item until its deadline, under a fencing number that only grows.

    `tries` counts claims since the last success, this one included; `late` is how many seconds after its due time the
    item was claimed.
    """

    id: str
    fence: int
    tries: int
    late: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How one item stands: seconds until it is due (0 when it is), or claimed by somebody now."""

    due_in: float
    claimed: bool = False


@dataclass(frozen=True, slots=True)
class Backlog:
    """Counts of a work set. `lag` is how many seconds overdue the most overdue item is (0 when none is)."""

    due: int
    claimed: int
    waiting: int
    lag: float


class WorkSet(Protocol):
    """Items with due times, claimed by one worker at a time.

    One shape serves mailboxes, messages and sinks alike: an item is due, claimed (with deadline and fencing number),
    or waiting for its due time. A claim that runs out makes the item due again.
    """

    def add(self, ids: Iterable[str]) -> int:
        """Make items known, due now; those already known keep their place. Returns how many are new."""
        ...

    def run_now(self, item: str) -> bool:
        """Make a waiting item due now; False when it is claimed or unknown."""
        ...

    def due_in(self, item: str) -> float | None:
        """Seconds until an item is due, 0 when it is; None when it is claimed or unknown."""
        ...

    def drop(self, ids: Iterable[str]) -> None:
        """Forget items, claimed ones too: their claims become stale."""
        ...

    def members(self) -> set[str]:
        """The ids of all known items."""
        ...

    def standing(self) -> dict[str, Standing]:
        """How every known item stands now."""
        ...

    def claim(self, limit: int, lease: float) -> list[Claim]:
        """Take up to `limit` due items, longest overdue first, for `lease` seconds each."""
        ...

    def claim_one(self, item: str, lease: float) -> Claim | None:
        """Take this item for `lease` seconds, due or not, known or not; None while somebody else has it.

        Its lateness is negative where it was not due yet, so that it can be given back as it was found.
        """
        ...

    def renew(self, claim: Claim, lease: float) -> bool:
        """Move the deadline to `lease` seconds from now; False when the claim is no longer ours."""
        ...

    def release(self, claim: Claim, delay: float, tries: int = 0) -> bool:
        """Give an item back, due again after `delay` seconds; False when the claim was no longer ours.

        Args:
            claim: as it was given.
            delay: seconds.
            tries: what the next claim counts on from: 0 after a success, `claim.tries` after a failure,
                `claim.tries - 1` after one that does not count.
        """
        ...

    def backlog(self) -> Backlog:
        """How much is due, claimed and waiting now. A claim that ran out counts as due."""
        ...


@dataclass(frozen=True, slots=True)
class Registration:
    """A message that need not be fetched again.

    Attributes:
        unique_id_digest: 16 bytes that stand for its unique-id, or, where the server has none, its key.
        message: what is to be processed; None when it was done before (same bytes, another unique-id).
        stored: its bytes are safe in the store. False for one that is too large to fetch: only the server has it, so
            it must never be deleted there.
        event: of a message that was done before, where it may not have been told: it was lost with the ledger.
    """

    unique_id_digest: bytes
    message: OpenMessage | None
    stored: bool = True
    event: Event | None = None


# Instead of the second in a seen set: later than any time at which something may be deleted.
NEVER_DELETED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a mailbox's unique-ids.

    Attributes:
        digests: of every unique-id that was registered (16 bytes), with the second it was (since 1970), or
            `NEVER_DELETED` where the message is not stored.
        known: False when the ledger has never heard of the mailbox, or has lost what it knew.
        changes: how many times that changed which of them are done.
        checkpointed: how many times it had when its checkpoint was written.
    """

    digests: dict[bytes, int]
    known: bool = True
    changes: int = 0
    checkpointed: int = 0


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """What the last poll of a mailbox found; kept for people and gauges, nothing depends on it.

    Times are seconds since 1970. `result` is a label of `mailhaul_polls_total`. `expires_after` is how many seconds
    the server keeps mail, None where it does not say.
    """

    last_poll: float
    result: str
    last_success: float | None = None
    listed: int = 0
    backlog_messages: int = 0
    backlog_bytes: int = 0
    certificate_not_after: float | None = None
    expires_after: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Credentials that a server refused and that are not to be tried again for a while.

    Attributes:
        salt: random, so that equal credentials of two mailboxes look different.
        check: 16 bits of a digest of salt and credentials: enough to notice that they changed (but for one time in
            65,536, when the pause is waited out), too little to learn anything about them.
    """

    salt: str
    check: str


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that the ledger's server holds, everything else in it included, and may hold; None for no limit."""

    used: int
    limit: int | None


class Ledger(Protocol):
    """Everything about mailboxes and messages that several workers must agree on."""

    mailboxes: WorkSet
    messages: WorkSet
    sinks: WorkSet

    def ping(self) -> None:
        """Raise `LedgerUnavailableError` when the ledger does not answer."""
        ...

    def schedule_digest(self) -> str:
        """The digest of the configuration that the schedule was last made from; empty when there is none."""
        ...

    def set_schedule_digest(self, digest: str) -> None:
        """Remember it."""
        ...

    def pause(self, mailbox: str) -> bool:
        """Poll a mailbox no more until it is resumed; False when it was paused already.

        Whoever claims a paused mailbox takes it out of the schedule with `unschedule`.
        """
        ...

    def resume(self, mailbox: str) -> bool:
        """Let a mailbox be polled again, which has to be added to the schedule; False when it was not paused."""
        ...

    def paused(self) -> dict[str, float]:
        """Every paused mailbox, with the time since when (seconds since 1970)."""
        ...

    def is_paused(self, mailbox: str) -> bool:
        """Whether one mailbox is paused."""
        ...

    def unschedule(self, claim: Claim) -> bool:
        """In one step: take a claimed mailbox out of the schedule if it is paused; False when it is not."""
        ...

    def seen(self, mailbox: str) -> Seen:
        """What is known of a mailbox's unique-ids, read with one call."""
        ...

    def undone(self, mailbox: str) -> set[bytes]:
        """Digests that were registered and whose message is still open or failed: never to be deleted."""
        ...

    def register(self, claim: Claim, registrations: Sequence[Registration]) -> int:
        """Commit stored messages, all or none: digests into the seen set, messages open and due for processing.

        A message that is open or failed already stays as it is. Returns how many messages were opened.

        Raises:
            StaleClaimError: the claim on the mailbox is no longer ours; nothing was changed.
        """
        ...

    def compact(self, claim: Claim, keep: Collection[bytes]) -> int:
        """Forget digests of the mailbox's seen set that are not in `keep`; returns how many.

        Raises:
            StaleClaimError: as for `register`.
        """
        ...

    def restore_seen(self, claim: Claim, digests: Mapping[bytes, int]) -> None:
        """Add digests (with their seconds) from a checkpoint to the mailbox's seen set, which is known from then on.

        Raises:
            StaleClaimError: as for `register`.
        """
        ...

    def acquire_slot(self, claim: Claim, server: str, address: str, limit: int) -> bool:
        """Whether a poll may connect: fewer than `limit` others do, both to the server and to the address.

        A place lasts as long as the claim it was taken under, and is the same when taken again.

        Raises:
            StaleClaimError: the claim on the mailbox is no longer ours.
        """
        ...

    def put_refusal(self, mailbox: str, refusal: Refusal, seconds: float) -> None:
        """Remember for so many seconds that a server refused a mailbox's credentials."""
        ...

    def refusal(self, mailbox: str) -> Refusal | None:
        """The refusal remembered for a mailbox; None when there is none, or its time is up."""
        ...

    def unknown(self, mailboxes: Collection[str]) -> int:
        """How many of these mailboxes have no seen set: they are new, or the ledger lost what it knew of them."""
        ...

    def republish(self, claim: Claim, events: Sequence[Event]) -> None:
        """Append events to the stream that may have been in it before; their ids are the same.

        Raises:
            StaleClaimError: the claim on the mailbox is no longer ours; nothing was changed.
        """
        ...

    def checkpointed(self, mailbox: str, changes: int) -> None:
        """A checkpoint was written of a seen set that had changed this many times."""
        ...

    def open_messages(self, keys: Sequence[str]) -> list[OpenMessage | None]:
        """The open messages under these keys, None for each that is not open."""
        ...

    def complete(self, claim: Claim, message: OpenMessage, event: Event) -> None:
        """In one step: append the event to the stream and take the claimed message out of `open`.

        Raises:
            StaleClaimError: the claim on the message is no longer ours; nothing was changed.
        """
        ...

    def fail(self, claim: Claim, failed: FailedMessage, event: Event) -> None:
        """In one step: take the claimed message out of `open`, into `failed`, and append the event.

        Raises:
            StaleClaimError: as for `complete`.
        """
        ...

    def failed_messages(self) -> list[FailedMessage]:
        """Every message that was given up, the oldest first."""
        ...

    def retry_failed(self, failed: FailedMessage) -> bool:
        """Open a failed message again, due now, with a fresh attempt budget; False if it is not there."""
        ...

    def drop_failed(self, failed: FailedMessage) -> bool:
        """Forget a message that was given up: a person has dealt with it. False when it is not there.

        It counts as done from then on, so that the mailbox's policy may delete it on the server.
        """
        ...

    def put_status(self, mailbox: str, status: MailboxStatus) -> None:
        """Replace a mailbox's status; a `last_success` of None keeps the one before."""
        ...

    def statuses(self) -> dict[str, MailboxStatus]:
        """The status of every mailbox that was ever polled."""
        ...

    def throttle(self, what: str, seconds: float) -> bool:
        """Whether to do something that one process should do once in so many seconds."""
        ...

    def record_tick(self) -> None:
        """Remember that the scheduler ticked now."""
        ...

    def last_tick(self) -> float | None:
        """When the scheduler last ticked (seconds since 1970), or None."""
        ...

    def oldest_open(self) -> float | None:
        """When the oldest open message was first seen (seconds since 1970), or None."""
        ...

    def counts(self) -> dict[str, int]:
        """`open`, `failed`, `events` (in the stream) and `retrying` (over all sinks): how many there are now."""
        ...

    def memory(self) -> Memory | None:
        """How full the server is; None where it does not tell."""
        ...
