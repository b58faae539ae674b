"""Claim a mailbox for a command that runs beside the service, so that nobody polls it meanwhile."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from ingest.errors import LedgerUnavailableError, MailhaulError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.ports.claims import Claim
    from ingest.ports.schedule import Schedule
    from ingest.usecases.claims import Lease, LeaseKeeper

# Seconds to wait for a poll in progress, and between two attempts to claim.
PATIENCE = 60.0
_RETRY_EVERY = 0.2


class StopRequestedError(Exception):
    """The command was asked to stop; not an error to report."""


class StopSignal(Protocol):
    """Tells a command that it is to stop."""

    @property
    def asked(self) -> bool:
        """Whether the command is to stop."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait until the command is to stop, or until the time is over."""
        ...


def raise_if_stopped(stop: StopSignal) -> None:
    """Raise `StopRequestedError` if the command is to stop."""
    if stop.asked:
        raise StopRequestedError


class MailboxBusyError(MailhaulError):
    """Another process has held the mailbox for longer than the command waits."""

    code = "mailbox_busy"


@contextmanager
def claim_mailbox(
    ledger: Schedule,
    keeper: LeaseKeeper,
    mailbox: str,
    stop: Callable[[], bool],
    patience: float = PATIENCE,
) -> Iterator[Lease]:
    """Hold the claim on a mailbox during a `with` block, then release it with the due time it had before.

    Args:
        ledger: the schedule.
        keeper: renews the claim.
        mailbox: its id.
        stop: asked while another process holds the claim.
        patience: seconds to wait for another process.

    Raises:
        StopRequestedError: `stop` returned True.
        MailboxBusyError: another process still holds the claim.
    """
    claim = _claimed(ledger, keeper, mailbox, stop, patience)
    try:
        with keeper.hold(ledger.mailboxes, claim) as lease:
            yield lease
    finally:
        with suppress(LedgerUnavailableError):  # the claim expires by itself
            # A mailbox that is disabled or not configured is unscheduled by a poller or the scheduler.
            if not ledger.unschedule(claim):
                ledger.mailboxes.release(claim, max(0.0, -claim.late), claim.tries - 1)


def _claimed(ledger: Schedule, keeper: LeaseKeeper, mailbox: str, stop: Callable[[], bool], patience: float) -> Claim:
    until = time.monotonic() + patience
    while (claim := ledger.mailboxes.claim_one(mailbox, keeper.seconds)) is None:
        if stop():
            raise StopRequestedError
        if time.monotonic() >= until:
            raise MailboxBusyError(
                f"{mailbox} is being polled by another process; `mailhaul mailboxes list` shows when that is over"
            )
        time.sleep(_RETRY_EVERY)
    return claim
