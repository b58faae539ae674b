"""Virus scanning: each attachment is scanned before it is stored."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.domain import keys
from ingest.domain.manifest import Scan, ScanSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
        known: results of earlier scans, by the hex SHA-256 of the file.
    """

    scanner: Scanner | None = None
    quarantine: bool = False
    clock: Callable[[], float] = time.monotonic
    known: Mapping[str, Scan] = field(default_factory=dict)

    def begin(self) -> Scans:
        """Return the scans of one message."""
        return Scans(self, self.clock() + BUDGET)


class Scans:
    """The scans of one message. Shared by the threads that store its parts."""

    def __init__(self, how: Scanning, deadline: float) -> None:
        self._how, self._deadline = how, deadline

    def scan(self, spool: Spool) -> Scan | None:
        """Return the scanner's result for a file, None if there is no scanner."""
        known = self._how.known.get(spool.sha256) if self._how.known else None
        if known is not None or self._how.scanner is None:
            return known
        if self._how.clock() >= self._deadline:
            return Scan(status="unscanned")
        return self._how.scanner.scan(spool.reader(), spool.size)

    def object_name(self, part: str, safe_name: str, scan: Scan | None) -> str:
        """Return an attachment's key relative to its message's folder; arguments as for `keys.attachment_name`."""
        apart = self._how.quarantine and scan is not None and scan.status == "infected"
        return (keys.quarantine_name if apart else keys.attachment_name)(part, safe_name)

    def summary(self, attachments: Iterable[Attachment]) -> ScanSummary | None:
        """Return the summary of all results, None if there is no scanner."""
        statuses = [attachment.scan.status for attachment in attachments if attachment.scan is not None]
        if self._how.scanner is None and not statuses:
            return None
        infected, unscanned = statuses.count("infected"), statuses.count("unscanned")
        return ScanSummary(
            status="infected" if infected else "unscanned" if unscanned else "clean",
            infected=infected,
            unscanned=unscanned,
        )
