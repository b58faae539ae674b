"""One leaf part: encoded bytes in, events out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ingest.mime.defects import codes
from ingest.mime.events import PartData, PartEnded

if TYPE_CHECKING:
    from ingest.mime.decoders import Decoder
    from ingest.mime.defects import Defect
    from ingest.mime.events import MimeEvent


class Inner(Protocol):
    """Reads the decoded bytes of a leaf: the scanner of a nested message, or the extraction of files from a text."""

    def feed(self, data: bytes) -> list[MimeEvent]:
        """Read decoded bytes."""
        ...

    def close(self) -> list[MimeEvent]:
        """Return the last events."""
        ...


class Leaf:
    """The current part.

    Args:
        path: None for a text of a nested message, which is not emitted: it stays inside the .eml.
        decoder: of its transfer encoding.
        inner: reads the decoded content; None for most parts.
        defects: those of its header.
    """

    __slots__ = ("_defects", "_inner", "_path", "decoder")

    def __init__(
        self,
        path: str | None,
        decoder: Decoder,
        inner: Inner | None,
        defects: set[Defect],
    ) -> None:
        self._path, self.decoder, self._inner = path, decoder, inner
        self._defects = defects

    def feed(self, data: bytes, events: list[MimeEvent]) -> None:
        """Decode bytes and append their events."""
        data = self.decoder.feed(data)
        if data:
            self._emit(data, events)

    def close(self, events: list[MimeEvent]) -> None:
        """End the part; `PartEnded` is the last event."""
        rest = self.decoder.close()
        if rest:
            self._emit(rest, events)
        defects = self._defects
        defects |= self.decoder.defects
        if self._inner is not None:
            events += self._inner.close()
        if self._path is not None:
            events.append(PartEnded(self._path, codes(defects)))

    def _emit(self, data: bytes, events: list[MimeEvent]) -> None:
        if self._path is not None:
            events.append(PartData(self._path, data))
        if self._inner is not None:
            events += self._inner.feed(data)
