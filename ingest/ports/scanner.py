"""The seam to a virus scanner."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from ingest.domain.manifest import Scan


class Scanner(Protocol):
    """Looks for what is harmful in files. Used by several threads at once."""

    def scan(self, content: BinaryIO, size: int) -> Scan:
        """Scan one file, from its current position to its end; never raises, and ends within a time that is set.

        `clean` means that the scanner has seen all of it and said so. Whatever else happens, it is `unscanned`.

        Args:
            content: read once.
            size: bytes.
        """
        ...

    def check(self) -> None:
        """Ask the scanner whether it is there.

        Raises:
            ScannerUnavailableError: it is not; the text says what to do.
        """
        ...
