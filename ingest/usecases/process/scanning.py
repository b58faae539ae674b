"""The virus scanner's part in processing a message: each attachment is shown to it before it is stored."""

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

# After so many seconds no further scan of a message begins: with the last one, which takes at most as long again, the
# message stays below the 300 seconds after which it would be interrupted, and tried again, and be interrupted again.
BUDGET = 120.0


@dataclass(frozen=True, slots=True)
class Scanning:
    """Who scans, and what becomes of what is infected.

    Attributes:
        scanner: None where nothing is scanned.
        quarantine: whether infected attachments are stored in a folder of their own.
        clock: seconds that only grow.
    """

    scanner: Scanner | None = None
    quarantine: bool = False
    clock: Callable[[], float] = time.monotonic

    def begin(self) -> Scans:
        """The scans of one message."""
        return Scans(self.scanner, self.clock() + BUDGET, self.clock, quarantine=self.quarantine)


class Scans:
    """The scans of one message; used by all threads that store its parts."""

    def __init__(
        self, scanner: Scanner | None, deadline: float, clock: Callable[[], float], *, quarantine: bool
    ) -> None:
        self._scanner, self._deadline, self._clock, self._quarantine = scanner, deadline, clock, quarantine

    def scan(self, spool: Spool) -> Scan | None:
        """What the scanner says of a file; None where there is no scanner."""
        if self._scanner is None:
            return None
        if self._clock() >= self._deadline:
            return Scan(status="unscanned")
        return self._scanner.scan(spool.reader(), spool.size)

    def object_name(self, part: str, safe_name: str, scan: Scan | None) -> str:
        """Where an attachment is stored in its message's folder; arguments as for `keys.attachment_name`."""
        apart = self._quarantine and scan is not None and scan.status == "infected"
        return (keys.quarantine_name if apart else keys.attachment_name)(part, safe_name)

    def summary(self, attachments: Iterable[Attachment]) -> ScanSummary | None:
        """What was said of all of them; None where there is no scanner."""
        if self._scanner is None:
            return None
        said = [attachment.scan.status for attachment in attachments if attachment.scan is not None]
        infected, unscanned = said.count("infected"), said.count("unscanned")
        return ScanSummary(
            status="infected" if infected else "unscanned" if unscanned else "clean",
            infected=infected,
            unscanned=unscanned,
        )
