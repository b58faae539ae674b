"""Files inside a text, emitted as parts of their own; the text itself is not changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.mime.blocks import BlockBegun, Blocks, may_hold_block
from ingest.mime.defects import codes
from ingest.mime.events import PartBegun, PartData, PartEnded

if TYPE_CHECKING:
    from ingest.mime.blocks import Found
    from ingest.mime.events import MimeEvent
    from ingest.mime.tally import Tally


class EmbeddedFiles:
    """Extracts the files from a text and returns their events.

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

    def close(self) -> list[MimeEvent]:
        """Return the last events."""
        return self._events(self._blocks.close()) if self._blocks is not None else []

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
