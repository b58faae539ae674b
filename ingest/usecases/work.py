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
    enough: Callable[[Claim], bool] = lambda _: False,
) -> int:
    """Claim due items and handle one after the other; returns how many were handled.

    Args:
        work: where the items are.
        handle: does the work and gives the claim back; what it raises ends the loop.
        lease: seconds each claim holds without being renewed.
        stop: asked before each item. Claims left over then are given back, due at once.
        batch: how many to claim in one go.
        enough: asked of each claim; True gives it back untouched and ends the loop.
    """
    handled, over = 0, False
    while not over and not stop():
        claims = work.claim(batch, lease)
        if not claims:
            break
        for claim in claims:
            over = over or stop() or enough(claim)
            if over:
                work.release(claim, 0.0, claim.tries - 1)
                continue
            handle(claim)
            handled += 1
    return handled
