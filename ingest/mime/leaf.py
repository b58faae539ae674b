"""One leaf part: its encoded octets in, its events out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ingest.mime.events import PartData, PartEnded

if TYPE_CHECKING:
    from ingest.mime.body import Utf8Text
    from ingest.mime.decoders import Decoder
    from ingest.mime.defects import Defect
    from ingest.mime.events import MimeEvent


class Nested(Protocol):
    """What reads the message that a leaf holds."""

    def feed(self, data: bytes) -> list[MimeEvent]:
        """Take decoded octets."""
        ...

    def close_nested(self) -> list[MimeEvent]:
        """The message is over."""
        ...


class Leaf:
    """The part that octets go to. `path` is None for a body of a nested message, which stays inside its .eml."""

    def __init__(self, path: str | None, decoder: Decoder, text: Utf8Text | None, nested: Nested | None) -> None:
        self.path, self._decoder, self._text, self._nested = path, decoder, text, nested
        self.defects: set[Defect] = set()

    def feed(self, octets: bytes) -> list[MimeEvent]:
        """Take encoded octets."""
        if self.path is None:
            return []
        return self._emit(self._decoder.feed(octets))

    def close(self) -> list[MimeEvent]:
        """The part is over; `PartEnded` is the last event."""
        if self.path is None:
            return []
        events = self._emit(self._decoder.close())
        if self._text is not None and (rest := self._text.close()):
            events.append(PartData(self.path, rest))
        if self._nested is not None:
            events += self._nested.close_nested()
        self.defects |= self._decoder.defects | (self._text.defects if self._text else set())
        events.append(PartEnded(self.path, tuple(sorted(defect.value for defect in self.defects))))
        return events

    def _emit(self, octets: bytes) -> list[MimeEvent]:
        if self._text is not None:
            octets = self._text.feed(octets)
        if not octets or self.path is None:
            return []
        events: list[MimeEvent] = [PartData(self.path, octets)]
        if self._nested is not None:
            events += self._nested.feed(octets)
        return events
