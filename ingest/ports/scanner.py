"""The port to a virus scanner."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from ingest.domain.manifest import Scan


class Scanner(Protocol):
    """Scans files for malware; threads may share it."""

    def scan(self, content: BinaryIO, size: int) -> Scan:
        """Scan one file, from its current position to its end, within a configured time. Never raises.

        The result is `clean` only if the scanner has read the whole file and reported it as clean. It is `unscanned`
        after any failure.

        Args:
            content: read once.
            size: bytes.
        """
        ...

    def check(self) -> None:
        """Check that the scanner answers.

        Raises:
            ScannerUnavailableError: it does not; the text says what to do.
        """
        ...
