"""Backpressure: work that fills the ledger stops before its memory is full, and leaves the rest to what empties it.

A ledger that is full rejects every command that needs memory. What empties it needs some too: to claim a sink, and to
append the events of messages that are open already. So polls stop first, then processing; delivery never does.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.errors import LedgerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.ports.status import Memory, StatusRecords

log = get_logger()

# The default share of the ledger's memory at which polling stops.
POLL_SHARE = 0.8
# Work resumes below this fraction of the share, so that it does not stop and resume all the time.
RESUMED_BELOW = 0.95
# Seconds between two checks of the memory.
LOOK_EVERY = 1.0


def process_share(poll_share: float) -> float:
    """Return the share of the memory at which processing stops: half-way between where polling stops and full."""
    return (1.0 + poll_share) / 2


class MemoryPressure:
    """Decides whether the ledger has too little memory for one kind of work. Threads may share it."""

    def __init__(
        self, ledger: StatusRecords, share: float, work: str = "", monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin without pressure.

        Args:
            ledger: where memory is needed.
            share: the share of its memory, from 0 to 1, at which the work stops.
            work: named in the log when it stops and starts; nothing is logged without a name.
            monotonic: seconds that only grow.
        """
        self._ledger = ledger
        self._share = share
        self._work = work
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._looked: float | None = None
        self._high = False

    def high(self) -> bool:
        """Return whether the work is to stop. A ledger without a known limit of memory never stops it."""
        with self._lock:
            now = self._monotonic()
            if self._looked is None or now - self._looked >= LOOK_EVERY:
                self._looked = now
                with suppress(LedgerUnavailableError):  # the work itself fails, and reports the error
                    self.update(self._ledger.memory())
            return self._high

    def update(self, memory: Memory | None) -> bool:
        """Decide by the reports of the ledger; return whether the work is to stop."""
        high = memory is not None and memory.limit is not None and self._exceeds(memory.used / memory.limit)
        if high != self._high and self._work:
            log.warning("ledger.memory_high" if high else "ledger.memory_recovered", task=self._work)
        self._high = high
        return high

    def _exceeds(self, used: float) -> bool:
        return used >= self._share * (RESUMED_BELOW if self._high else 1.0)
