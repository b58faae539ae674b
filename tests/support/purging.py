"""Purging over the bench, as `mailhaul purge` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.admin.erase import Eraser
from ingest.admin.holds import LegalHolds
from ingest.admin.purge import Purge

if TYPE_CHECKING:
    from tests.support.bench import Bench


def purge_of(b: Bench) -> Purge:
    """Return what finds and erases the messages of a bench; it does not wait for polls."""
    holds = LegalHolds(b.store, b.layout, b.mailboxes)
    eraser = Eraser(b.store, b.ledger, b.events, list(b.sinks), b.clock.now, holds)
    return Purge(b.store, b.ledger, b.events, eraser, b.layout, b.mailboxes, b.keeper, b.uploads, patience=0.0)
