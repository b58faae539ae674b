"""The port to long work that a person started: one job of each kind at a time, seen and stopped from any process."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

# Jobs of each kind that are kept, and seconds after which all of them are forgotten if no other one began.
JOBS_KEPT = 20
JOBS_SECONDS = 30 * 86_400.0


class JobOrder(Enum):
    """What whoever works on a job is to do."""

    CONTINUE = "continue"
    STOP = "stop"  # somebody asked for it
    LOST = "lost"  # the lease is over, and another job may have begun


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it was last reported.

    Attributes:
        id: hex digits; those of a later job are greater.
        body: what was reported.
        active: whether its lease lasts.
        stopping: whether it is asked to stop.
    """

    id: str
    body: bytes
    active: bool
    stopping: bool = False


class Jobs(Protocol):
    """Jobs by kind. Losing them loses nothing else. Every method raises `LedgerUnavailableError`."""

    def begin_job(self, kind: str, job: str, body: bytes, lease: float) -> bool:
        """Record a job and its lease, unless a job of this kind is active; return whether that was so.

        Args:
            kind: what it does.
            job: its id, greater than those of all jobs before it.
            body: what others see of it.
            lease: seconds until it counts as dead unless it is reported.
        """
        ...

    def report_job(self, kind: str, job: str, body: bytes, lease: float) -> JobOrder:
        """Replace the body of an active job and renew its lease; return what to do."""
        ...

    def end_job(self, kind: str, job: str, body: bytes) -> None:
        """Replace the body of a job and end its lease; nothing happens if the job is not known any more."""
        ...

    def stop_job(self, kind: str, job: str) -> bool:
        """Ask an active job to stop; return whether it is active."""
        ...

    def jobs(self, kind: str) -> Sequence[JobRecord]:
        """Return the last jobs of a kind, at most `JOBS_KEPT`, the newest first."""
        ...
