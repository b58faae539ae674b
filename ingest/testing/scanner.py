"""The in-memory twin of `ClamdScanner`: finds the bytes that it is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from typing_extensions import override

from ingest.domain.manifest import Scan
from ingest.errors import ScannerUnavailableError
from ingest.ports.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class MemoryScanner(Scanner):
    """A `Scanner` that finds known bytes.

    Attributes:
        signatures: names by the bytes to find.
        largest: bytes; a larger file is not scanned.
        unavailable: whether it does not answer; may be changed at any time.
    """

    signatures: Mapping[bytes, str] = field(default_factory=dict)
    largest: int = 2**20
    unavailable: bool = False

    @override
    def scan(self, content: BinaryIO, size: int) -> Scan:
        if self.unavailable or size > self.largest:
            return Scan(status="unscanned")
        data = content.read()
        found = next((name for known, name in self.signatures.items() if known in data), None)
        return Scan(status="infected" if found else "clean", signature=found)

    @override
    def check(self) -> None:
        if self.unavailable:
            raise ScannerUnavailableError("the virus scanner is unavailable")
