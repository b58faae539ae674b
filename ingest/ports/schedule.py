"""The ports to the schedule: what is scheduled, which mailboxes are paused, and when the scheduler last ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ingest.ports.claims import WorkSets

if TYPE_CHECKING:
    from ingest.ports.claims import Claim


class Schedule(WorkSets, Protocol):
    """The schedule. Every method raises `LedgerUnavailableError` when the ledger does not answer."""

    def schedule_digest(self) -> str:
        """The digest of the configuration that the schedule was last made from; empty if there is none."""
        ...

    def set_schedule_digest(self, digest: str) -> None:
        """Record the digest of the configuration that the schedule was made from."""
        ...

    def record_tick(self) -> None:
        """Record that the scheduler ran now."""
        ...

    def last_tick(self) -> float | None:
        """When the scheduler last ran (seconds since 1970), or None."""
        ...

    def pause(self, mailbox: str) -> bool:
        """Stop polling a mailbox until it is resumed; return False if it was paused already.

        Whoever claims a paused mailbox removes it from the schedule with `unschedule`.
        """
        ...

    def resume(self, mailbox: str) -> bool:
        """Allow polls of a mailbox again, which the caller then schedules; return False if it was not paused."""
        ...

    def paused(self) -> dict[str, float]:
        """Every paused mailbox, with the time of its pause (seconds since 1970)."""
        ...

    def is_paused(self, mailbox: str) -> bool:
        """Whether a mailbox is paused."""
        ...

    def unschedule(self, claim: Claim) -> bool:
        """In one step: remove a claimed mailbox from the schedule if it is paused; return whether it was."""
        ...


class Throttle(Protocol):
    """Limits how often the processes together do something."""

    def throttle(self, what: str, seconds: float) -> bool:
        """Whether to do something that one process should do once in this many seconds.

        Args:
            what: names it.
            seconds: for which every further call returns False.

        Raises:
            LedgerUnavailableError: the ledger does not answer.
        """
        ...
