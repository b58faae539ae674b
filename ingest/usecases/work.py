"""The loop that all three stages share: claim, handle, until nothing is due or it is time to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.ports.ledger import Claim, WorkSet


def work_off(
    work: WorkSet,
    handle: Callable[[Claim], None],
    *,
    lease: float,
    stop: Callable[[], bool],
    batch: int = 1,
) -> int:
    """Claim due items and handle one after the other; returns how many were handled.

    Args:
        work: where the items are.
        handle: does the work and gives the claim back; what it raises ends the loop.
        lease: seconds each claim holds without being renewed.
        stop: asked before each item. Claims left over then are given back, due at once.
        batch: how many to claim in one go.
    """
    handled = 0
    while not stop():
        claims = work.claim(batch, lease)
        if not claims:
            break
        for claim in claims:
            if stop():
                work.release(claim, 0.0, claim.tries - 1)
                continue
            handle(claim)
            handled += 1
    return handled
