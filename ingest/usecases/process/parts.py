"""One part of a message, with its bytes; and MIME events gathered into such parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.mime.events import PartBegun, PartData, PartEnded
from ingest.usecases.spool import Spool

if TYPE_CHECKING:
    from ingest.domain.manifest import Invoice
    from ingest.mime.events import MimeEvent


@dataclass
class Part:
    """A body or an attachment, wherever it was found. It grows until it is stored.

    Attributes:
        head: what its header, or its container, says of it.
        spool: its bytes.
        level: how many containers are around it; nested messages do not count.
        own: whether it belongs to the message itself, and not to a nested one or a file, so that texts that are
            signed inside of it can be the message's bodies.
        defects: codes.
        detected: its media type by its bytes; empty until it was looked at.
    """

    head: PartBegun
    spool: Spool = field(default_factory=Spool)
    level: int = 0
    own: bool = False
    defects: list[str] = field(default_factory=list)
    detected: str = ""
    invoice: Invoice | None = None
    encrypted: bool = False

    @property
    def is_body(self) -> bool:
        """Whether it is a text of the message itself."""
        return self.head.role in ("text", "html")

    def add(self, code: str) -> None:
        """Tell of a defect, once."""
        if code not in self.defects:
            self.defects.append(code)


class PartCollector:
    """MIME events in, whole parts out.

    Args:
        level: of the parts.
        parent: the part in which the events' message is; None for the message itself.
        own: whether that message is the one that was received, or signed content of it.
    """

    def __init__(self, level: int = 0, parent: str | None = None, *, own: bool = True) -> None:
        self._level, self._parent, self._own = level, parent, own
        self._open: dict[str, Part] = {}

    def take(self, event: MimeEvent) -> Part | None:
        """Take the next event; returns the part that it ends."""
        match event:
            case PartBegun():
                own = self._own and event.parent == self._parent
                self._open[event.path] = Part(event, level=self._level, own=own)
            case PartData():
                self._open[event.path].spool.write(event.data)
            case PartEnded():
                part = self._open.pop(event.path)
                part.defects += event.defects
                return part
        return None

    def close(self) -> None:
        """Let go of the parts that have not ended."""
        for part in self._open.values():
            part.spool.close()
        self._open.clear()
