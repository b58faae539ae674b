"""The ports to the schedule: what is scheduled, which mailboxes are paused, and when the scheduler last ran."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ingest.ports.claims import WorkSets

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingest.ports.claims import Claim

# Seconds after which a configuration that no scheduler has announced counts as no longer in use.
ANNOUNCED_FOR = 600.0


@dataclass(frozen=True, slots=True)
class Precedence:
    """How a scheduler's configuration ranks among those of all schedulers.

    Attributes:
        epoch: of this configuration; a newer one has a larger epoch.
        newest: no newer configuration is in use, so this one may change the schedule.
    """

    epoch: int
    newest: bool


@dataclass(frozen=True, slots=True)
class ClockStep:
    """What the ledger shows at a time between these two (seconds since 1970) may belong to an earlier manifest.

    Either the clock was set back, so that a time may be from before or after that, or events were republished: their
    times in the stream are later than those at which their manifests were written.

    Attributes:
        earliest: the time to which the clock was set back, or of the oldest manifest whose event was republished.
        latest: the time of the last tick before the clock was set back, or of the last event that was republished.
    """

    earliest: float
    latest: float

    def not_before(self, time: float, tolerance: float) -> float:
        """Return the earliest moment that may be shown as this time.

        Args:
            time: seconds since 1970.
            tolerance: seconds by which clocks may differ.
        """
        return min(time, self.earliest) if time <= self.latest + tolerance else time


class Schedule(WorkSets, Protocol):
    """The schedule. Every method raises `LedgerUnavailableError` when the ledger does not answer."""

    def announce(self, digest: str, epoch: int = 0, silence: float = ANNOUNCED_FOR) -> Precedence:
        """Report that a scheduler uses a configuration, and return how it ranks.

        A configuration that a scheduler announces for the first time takes an epoch larger than all before, also
        those before a loss of the ledger. If it equals the newest one, it shares its epoch.

        Args:
            digest: of the configuration.
            epoch: as the last call returned it for this configuration; 0 in the first call.
            silence: seconds after which a newer configuration that nobody announces is no longer in use.
        """
        ...

    def schedule_mailboxes(self, epoch: int, *, drop: Collection[str], add: Collection[str]) -> bool:
        """In one step: drop mailboxes and add others, due now; do nothing and return False if there is a newer epoch.

        Mailboxes that are known already stay as they are.
        """
        ...

    def schedule_sinks(self, epoch: int, *, drop: Collection[str], add: Collection[str]) -> bool:
        """The same as `schedule_mailboxes` for sinks."""
        ...

    def schedule_digest(self) -> str:
        """The digest of the configuration that the schedule was last made from; empty if there is none."""
        ...

    def set_schedule_digest(self, digest: str) -> None:
        """Record the digest of the configuration that the schedule was made from."""
        ...

    def record_tick(self) -> float | None:
        """Record that the scheduler ran now.

        If the ledger's clock was set back since the last tick, or since an item was claimed, renewed or released
        after it, all due times and deadlines move back with it, and the step is recorded. Return the time to which
        the clock was set back (seconds since 1970), otherwise None.
        """
        ...

    def clock_step(self) -> ClockStep | None:
        """The times that may belong to earlier manifests, over all recorded ticks and republished events, or None."""
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

    def unschedule(self, claim: Claim, disabled_by: str = "") -> bool:
        """In one step: remove a claimed mailbox from the schedule if it is paused or disabled; return whether it was.

        Args:
            claim: on the mailbox.
            disabled_by: digest of the configuration that disables the mailbox. It counts only while no scheduler has
                announced a newer one: that may have enabled the mailbox.
        """
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
