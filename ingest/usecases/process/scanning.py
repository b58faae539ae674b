"""Virus scanning: each attachment is scanned before it is stored."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.domain import keys
from ingest.domain.manifest import Scan, ScanSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ingest.domain.manifest import Attachment
    from ingest.ports.scanner import Scanner
    from ingest.usecases.spool import Spool

# Seconds after which no further scan of a message begins. The last scan takes at most as long again, so that the
# message stays below the 300 seconds after which it would be interrupted, at every try.
BUDGET = 120.0


@dataclass(frozen=True, slots=True)
class Scanning:
    """How attachments are scanned.

    Attributes:
        scanner: None if nothing is scanned.
        quarantine: whether infected attachments are stored in a separate folder.
        clock: monotonic, in seconds.
    """

    scanner: Scanner | None = None
    quarantine: bool = False
    clock: Callable[[], float] = time.monotonic

    def begin(self) -> Scans:
        """Return the scans of one message."""
        return Scans(self.scanner, self.clock() + BUDGET, self.clock, quarantine=self.quarantine)


class Scans:
    """The scans of one message. Shared by the threads that store its parts."""

    def __init__(
        self, scanner: Scanner | None, deadline: float, clock: Callable[[], float], *, quarantine: bool
    ) -> None:
        self._scanner, self._deadline, self._clock, self._quarantine = scanner, deadline, clock, quarantine

    def scan(self, spool: Spool) -> Scan | None:
        """Return the scanner's result for a file, None if there is no scanner."""
        if self._scanner is None:
            return None
        if self._clock() >= self._deadline:
            return Scan(status="unscanned")
        return self._scanner.scan(spool.reader(), spool.size)

    def object_name(self, part: str, safe_name: str, scan: Scan | None) -> str:
        """Return an attachment's key relative to its message's folder; arguments as for `keys.attachment_name`."""
        apart = self._quarantine and scan is not None and scan.status == "infected"
        return (keys.quarantine_name if apart else keys.attachment_name)(part, safe_name)

    def summary(self, attachments: Iterable[Attachment]) -> ScanSummary | None:
        """Return the summary of all results, None if there is no scanner."""
        if self._scanner is None:
            return None
        statuses = [attachment.scan.status for attachment in attachments if attachment.scan is not None]
        infected, unscanned = statuses.count("infected"), statuses.count("unscanned")
        return ScanSummary(
            status="infected" if infected else "unscanned" if unscanned else "clean",
            infected=infected,
            unscanned=unscanned,
        )
