"""What commands share that a person runs beside the service: to hold a mailbox, and to come to an end when asked."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ingest.errors import LedgerUnavailableError, MailhaulError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.ports.claims import Claim
    from ingest.ports.schedule import Schedule
    from ingest.usecases.claims import Lease, LeaseKeeper

# Seconds to wait for a poll that is under way, and between two looks.
PATIENCE = 60.0
_LOOK_AGAIN = 0.2


class StopRequestedError(Exception):
    """Somebody wants a command to end; no error to tell anybody."""


class MailboxBusyError(MailhaulError):
    """Another process has held a mailbox for too long to wait for it."""

    code = "mailbox_busy"


@contextmanager
def claim_mailbox(
    ledger: Schedule,
    keeper: LeaseKeeper,
    mailbox: str,
    stop: Callable[[], bool],
    patience: float = PATIENCE,
) -> Iterator[Lease]:
    """Hold a mailbox for the length of a `with` block, so that nobody polls it, and give it back as it was found.

    Args:
        ledger: knows who holds what.
        keeper: keeps the claim alive.
        mailbox: its id.
        stop: asked while somebody else holds it.
        patience: seconds to wait for somebody else.

    Raises:
        StopRequestedError: `stop` said so.
        MailboxBusyError: somebody else holds it.
    """
    claim = _claimed(ledger, keeper, mailbox, stop, patience)
    try:
        with keeper.hold(ledger.mailboxes, claim) as lease:
            yield lease
    finally:
        with suppress(LedgerUnavailableError):  # the claim expires by itself
            # One that is disabled or not configured is taken out of the schedule by a poller or the scheduler.
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
        time.sleep(_LOOK_AGAIN)
    return claim
