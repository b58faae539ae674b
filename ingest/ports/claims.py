"""The port to work with due times, which one worker at a time claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one item until a deadline.

    Attributes:
        id: of the item.
        fence: the fencing token, which grows with every claim on any item.
        tries: attempts since the last success, this one included.
        late: seconds between the due time and the claim; negative if the item was claimed before it was due.
    """

    id: str
    fence: int
    tries: int
    late: float


@dataclass(frozen=True, slots=True)
class Renewal:
    """A claim to renew in the same step as something else: its deadline becomes `lease` seconds from then."""

    claim: Claim
    lease: float


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of one item: seconds until it is due (0 if it is), or claimed."""

    due_in: float
    claimed: bool = False


@dataclass(frozen=True, slots=True)
class Backlog:
    """Counts of a work set. `lag` is how many seconds overdue the most overdue item is (0 if none is)."""

    due: int
    claimed: int
    waiting: int
    lag: float


class WorkSet(Protocol):
    """Items with due times: mailboxes, messages, sinks, or rejected events.

    An item waits for its due time, is due, or is claimed with a deadline and a fencing token. An item whose claim
    expires is due again. Every method raises `LedgerUnavailableError` when the ledger does not answer.
    """

    def add(self, ids: Iterable[str]) -> int:
        """Add items, due now; return how many are new. Items that are known already stay as they are."""
        ...

    def run_now(self, item: str) -> bool:
        """Make a waiting item due now; return False if it is claimed or unknown."""
        ...

    def due_in(self, item: str) -> float | None:
        """Seconds until an item is due, 0 if it is due; None if it is claimed or unknown."""
        ...

    def drop(self, ids: Iterable[str]) -> None:
        """Remove items, also claimed ones, whose claims become stale."""
        ...

    def members(self) -> set[str]:
        """The ids of all items."""
        ...

    def standing(self) -> dict[str, Standing]:
        """The state of every item."""
        ...

    def claim(self, limit: int, lease: float) -> list[Claim]:
        """Claim up to `limit` due items, most overdue first, for `lease` seconds each."""
        ...

    def claim_one(self, item: str, lease: float) -> Claim | None:
        """Claim this item for `lease` seconds, due or not, known or not; None while somebody else has it.

        `Claim.late` is negative if it was not due yet, so that it can be released with the due time it had.
        """
        ...

    def begin_attempt(self, claim: Claim) -> bool:
        """Count an attempt, also if the claim then expires; return False, and count nothing, if the claim is stale.

        A claim alone is no attempt: a worker that dies may hold claims on items that it had not begun.
        """
        ...

    def renew(self, claim: Claim, lease: float) -> bool:
        """Move the deadline to `lease` seconds from now; return False if the claim is stale."""
        ...

    def release(self, claim: Claim, delay: float, tries: int = 0) -> bool:
        """End a claim, with the item due again after `delay` seconds; return False if the claim is stale.

        Args:
            claim: as it was given.
            delay: seconds.
            tries: what the next claim counts on from: 0 after a success, `claim.tries` after a failure,
                `claim.tries - 1` after a failure that does not count.
        """
        ...

    def backlog(self) -> Backlog:
        """How many items are due, claimed and waiting. An item whose claim has expired counts as due."""
        ...


class WorkSets(Protocol):
    """What Mailhaul schedules.

    Attributes:
        mailboxes: to poll, by id.
        messages: to process, by message key.
        sinks: to deliver to, by name.
    """

    mailboxes: WorkSet
    messages: WorkSet
    sinks: WorkSet
