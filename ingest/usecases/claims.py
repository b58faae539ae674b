"""Claims: the loop that handles due items, and the leases that keep a claim alive while its item is worked on."""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.errors import LedgerUnavailableError, StaleClaimError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.ports.claims import Claim, WorkSet

log = get_logger()

# Messages that a processor claims at once; the scheduler sends one wake-up for this many.
MESSAGES_PER_CLAIM = 4


def work_off(
    work: WorkSet,
    handle: Callable[[Claim], None],
    *,
    lease: float,
    stop: Callable[[], bool],
    batch: int = 1,
    enough: Callable[[Claim], bool] = lambda _: False,
    announce: Callable[[Claim | None], None] = lambda _: None,
) -> int:
    """Claim due items and handle one after the other until none is due; returns how many were handled.

    Args:
        work: the work set of the items.
        handle: does the work and releases the claim; an exception it raises ends the loop.
        lease: seconds each claim holds without being renewed.
        stop: asked before each item; True ends the loop, and unhandled claims are released, due at once.
        batch: how many items to claim at once.
        enough: asked about each claim; True ends the loop in the same way.
        announce: called before each item with the claim that probably follows it, None behind the last of a batch.
    """
    handled, over = 0, False
    while not over and not stop() and (claims := work.claim(batch, lease)):
        # An item that may have killed a worker before comes after those that it would delay.
        ordered = sorted(claims, key=lambda claim: claim.tries)
        for claim, following in zip(ordered, [*ordered[1:], None], strict=True):
            over = over or stop() or enough(claim)
            if over:
                work.release(claim, 0.0, claim.tries - 1)
                continue
            announce(following)
            handle(claim)
            handled += 1
    return handled


@dataclass(eq=False)
class Lease:
    """A claim that is kept renewed until `ends`, and no longer than `patience` seconds after the last progress.

    Times are those of the monotonic clock.
    """

    work: WorkSet
    claim: Claim
    expires: float
    monotonic: Callable[[], float]
    ends: float = math.inf
    patience: float = math.inf
    advanced: float = -math.inf
    lost: bool = False

    def check(self) -> None:
        """Raise `StaleClaimError` if the claim is no longer ours; called between messages, and before commits.

        Whoever comes to the next message has made progress.
        """
        if self.lost:
            raise StaleClaimError("the claim ran out before the work was done")
        self.progress()

    def progress(self) -> None:
        """Note that the work goes on: bytes moved, or a step was done."""
        self.advanced = self.monotonic()

    def end_within(self, seconds: float) -> None:
        """Let the lease end this many seconds from now, whatever progress is made."""
        self.ends = min(self.ends, self.monotonic() + seconds)

    @property
    def over(self) -> bool:
        """Whether it is not to be renewed any more."""
        now = self.monotonic()
        return now >= self.ends or now - self.advanced >= self.patience


class LeaseKeeper:
    """Renews every held claim after a third of its lease.

    If the ledger does not answer, a lease is kept until it expires and then counts as lost: another worker may have
    claimed the item by then, and the fencing token would reject our commit anyway.
    """

    def __init__(self, seconds: float = 60.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._monotonic = monotonic
        self._held: set[Lease] = set()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def confirm(self, lease: Lease) -> None:
        """Renew a held claim now, and raise `StaleClaimError` if it is no longer ours.

        A process that was stopped for a while (SIGSTOP, a paused virtual machine) may have lost it without noticing.

        Raises:
            LedgerUnavailableError: the ledger is unavailable.
        """
        if not lease.work.renew(lease.claim, self.seconds):
            lease.lost = True
        lease.check()

    @contextmanager
    def hold(
        self, work: WorkSet, claim: Claim, longest: float = math.inf, patience: float = math.inf
    ) -> Iterator[Lease]:
        """Keep a claim renewed during a `with` block; then it expires, and another worker may have the item.

        Args:
            work: the work set of the item.
            claim: made with a lease of `seconds`.
            longest: seconds after which it is not renewed any more.
            patience: seconds without progress after which it is not renewed any more.
        """
        now = self._monotonic()
        lease = Lease(work, claim, now + self.seconds, self._monotonic, now + longest, patience, now)
        with self._wake:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
                thread.start()  # where none can be started now, the next claim tries it again
                self._thread = thread
            self._held.add(lease)
        try:
            yield lease
        finally:
            with self._wake:
                self._held.discard(lease)

    def close(self) -> None:
        """Stop renewing; claims that are still held expire."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()

    def renew_all(self) -> None:
        """Renew every held claim once."""
        with self._wake:
            held = list(self._held)
        for lease in held:
            self._renew(lease)

    def _renew(self, lease: Lease) -> None:
        before = self._monotonic()
        if lease.over:
            lease.lost = True
            return
        try:
            renewed = lease.work.renew(lease.claim, self.seconds)
        except Exception as error:  # a bug must not end the thread, which renews the claims of all others too
            if not isinstance(error, LedgerUnavailableError):
                log.exception("claim.bug")
            lease.lost = lease.lost or before >= lease.expires
            return
        if renewed:
            lease.expires = before + self.seconds
        else:
            lease.lost = True

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._wake.wait_for(lambda: self._closed, self.seconds / 3):
                    return
            self.renew_all()
