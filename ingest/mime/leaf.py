"""One leaf part: encoded bytes in, events out. Files inside a text are emitted as parts of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from ingest.mime.blocks import BlockBegun, Blocks, may_hold_block
from ingest.mime.decoders import NOTHING_SKIPPED, UNENCODED, decode, decoder_for
from ingest.mime.defects import codes
from ingest.mime.events import PartBegun, PartData, PartEnded

if TYPE_CHECKING:
    from ingest.domain.manifest import BodyKind, Role
    from ingest.mime.blocks import Found
    from ingest.mime.decoders import Decoder
    from ingest.mime.defects import Defect
    from ingest.mime.entity import Entity
    from ingest.mime.events import MimeEvent
    from ingest.mime.tally import Tally

_CONTENT_BYTES: Final = 32  # that a decoder skipped: more than stray characters


class Inner(Protocol):
    """Reads the decoded bytes of a leaf: the scanner of a nested message, or the extraction of files from a text."""

    def feed(self, data: bytes) -> list[MimeEvent]:
        """Read decoded bytes."""
        ...

    def close(self, data: bytes = b"") -> list[MimeEvent]:
        """Read the last bytes; return the last events."""
        ...


# Where a part is: its path, that of the message it is in, None for the outermost, and whether that one is nested. The
# texts of nested messages are not emitted.
Place = tuple[str, str | None, bool]


def begin_leaf(
    entity: Entity,
    place: Place,
    message: Inner | None,
    *,
    tally: Tally,
    defects: set[Defect],
    events: list[MimeEvent],
) -> Leaf:
    """Begin a part, and append its first event.

    Args:
        entity: its header.
        place: where it is.
        message: what reads the content if it is a message.
        tally: of the whole message.
        defects: those of its header.
        events: grows.
    """
    path, parent, nested = place
    decoder = decoder_for(entity.encoding, entity.media_type)
    inner = message
    if entity.body_kind == "text":
        inner = _embedded(place, tally)
    if nested and entity.body_kind is not None:
        tally.defects |= defects
        return Leaf(None, decoder, inner, defects, tally)
    events.append(_begun(entity, path, parent, tally))
    return Leaf(path, decoder, inner, defects, tally)


def read_leaf(
    entity: Entity,
    place: Place,
    data: bytes,
    message: Inner | None,
    *,
    tally: Tally,
    defects: set[Defect],
    events: list[MimeEvent],
) -> None:
    """Read a part whose encoded bytes are all at hand, with the result of a `Leaf`; see `begin_leaf`."""
    path, parent, nested = place
    kind = entity.body_kind
    shown = kind is None or not nested
    if shown:
        events.append(_begun(entity, path, parent, tally))
    else:
        tally.defects |= defects
    skipped = NOTHING_SKIPPED
    if entity.encoding not in UNENCODED:
        data, skipped = decode(data, entity.encoding, entity.media_type, defects)
    if shown and data:
        events.append(PartData(path, data))
    if message is not None:
        events += message.close(data)
    elif kind == "text" and may_hold_block(data):
        events += _embedded(place, tally).close(data)
    if shown:
        events.append(PartEnded(path, codes(defects) if defects else ()))
    for defect, size in skipped.items():
        tally.skip(defect, size, content=size >= _CONTENT_BYTES)


def _embedded(place: Place, tally: Tally) -> EmbeddedFiles:
    """Return what reads the files in a text; those in a nested text belong to the message, like the text itself."""
    path, parent, nested = place
    return EmbeddedFiles(path, parent if nested and parent else path, tally)


def _begun(entity: Entity, path: str, parent: str | None, tally: Tally) -> PartBegun:
    kind = entity.body_kind
    if kind is None or kind in tally.bodies:
        role: BodyKind | Role = entity.role
    else:
        tally.bodies.add(kind)  # the first text of each kind is the message's body
        role = kind
    (media_type, _, charset, _, _, disposition, filename, content_id, _, _, location, description, flow) = entity
    return PartBegun(
        path, parent, role, media_type, charset, filename, disposition, content_id, location, description, flow
    )


class Leaf:
    """The current part.

    Args:
        path: None for a text of a nested message, which is not emitted: it stays inside the .eml.
        decoder: of its transfer encoding.
        inner: reads the decoded content; None for most parts.
        defects: those of its header.
        tally: counts what the decoder skips.
    """

    __slots__ = ("_decoder", "_defects", "_inner", "_path", "_tally")

    def __init__(
        self, path: str | None, decoder: Decoder, inner: Inner | None, defects: set[Defect], tally: Tally
    ) -> None:
        self._path, self._decoder, self._inner, self._defects, self._tally = path, decoder, inner, defects, tally

    def feed(self, data: bytes, events: list[MimeEvent]) -> None:
        """Decode bytes and append their events."""
        data = self._decoder.feed(data)
        if data:
            self._emit(data, events)

    def close(self, events: list[MimeEvent]) -> None:
        """End the part; `PartEnded` is the last event."""
        rest = self._decoder.close()
        if rest:
            self._emit(rest, events)
        defects = self._defects
        defects |= self._decoder.defects
        if self._inner is not None:
            events += self._inner.close()
        if self._path is not None:
            events.append(PartEnded(self._path, codes(defects)))
        for defect, size in self._decoder.skipped.items():
            self._tally.skip(defect, size, content=size >= _CONTENT_BYTES)

    def _emit(self, data: bytes, events: list[MimeEvent]) -> None:
        if self._path is not None:
            events.append(PartData(self._path, data))
        if self._inner is not None:
            events += self._inner.feed(data)


class EmbeddedFiles:
    """Extracts the files from a text, which is not changed, and returns their events.

    Args:
        path: of the text; its files are `path.1`, `path.2`, and so on.
        parent: path that the files get as `parent`.
        tally: counts the parts.
    """

    __slots__ = ("_before", "_blocks", "_current", "_files", "_parent", "_path", "_tally")

    def __init__(self, path: str, parent: str, tally: Tally) -> None:
        self._path, self._parent, self._tally = path, parent, tally
        self._before = b"\n"
        self._blocks: Blocks | None = None  # until a line may be the first of a file
        self._files = 0
        self._current: str | None = None

    def feed(self, data: bytes) -> list[MimeEvent]:
        """Scan bytes of the text; return the events of the files in them."""
        if self._blocks is None:
            if not may_hold_block(data):
                self._before = data[-1:]
                return []
            self._blocks = Blocks(self._before)
        return self._events(self._blocks.feed(data))

    def close(self, data: bytes = b"") -> list[MimeEvent]:
        """Scan the last bytes; return the last events."""
        events = self.feed(data) if data else []
        return events + self._events(self._blocks.close()) if self._blocks is not None else events

    def _events(self, found: list[Found]) -> list[MimeEvent]:
        events: list[MimeEvent] = []
        for item in found:
            if isinstance(item, BlockBegun):
                self._current = self._next() if self._tally.count_part() else None
                if self._current is not None:
                    events.append(self._begun(self._current, item.name))
            elif self._current is None:
                continue
            elif isinstance(item, bytes):
                events.append(PartData(self._current, item))
            else:
                events.append(PartEnded(self._current, codes(item.defects)))
        return events

    def _next(self) -> str:
        self._files += 1
        return f"{self._path}.{self._files}"

    def _begun(self, path: str, name: str) -> PartBegun:
        return PartBegun(
            path=path,
            parent=self._parent,
            role="attachment",
            declared_type="application/octet-stream",
            filename=name or None,
        )
