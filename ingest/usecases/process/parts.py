"""One part of a message, with its bytes, and the collector that makes such parts from MIME events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.mime.events import PartBegun, PartData, PartEnded
from ingest.usecases.spool import Spool

if TYPE_CHECKING:
    from ingest.domain.invoice import Invoice
    from ingest.domain.manifest import BodyKind
    from ingest.mime.events import MimeEvent


@dataclass
class Part:
    """A body or an attachment, of the message or of a container in it. Fields are filled in until it is stored.

    Attributes:
        head: what its header, or its container, says about it.
        spool: its bytes.
        level: how many containers it is nested in; nested messages do not count.
        own: whether it belongs to the message itself, not to a nested message or a file. Texts of a signed message
            that is such a part can become the message's bodies.
        defects: codes.
        text: the kind of body that it may be; set when it is kept as such.
        detected: the media type detected from its bytes; empty until detection has run.
        encrypted, unlocked: as in the manifest.
        is_partial: whether it is a container of which something was not read.
        is_fallback: whether it is a text of a container, which is a body only if the message has no other.
    """

    head: PartBegun
    spool: Spool = field(default_factory=Spool)
    level: int = 0
    own: bool = False
    defects: list[str] = field(default_factory=list)
    text: BodyKind | None = None
    detected: str = ""
    invoice: Invoice | None = None
    encrypted: bool = False
    unlocked: bool = False
    is_partial: bool = False
    is_fallback: bool = False

    @property
    def is_body(self) -> bool:
        """Whether it is a body of the message."""
        return self.head.role in ("text", "html")

    def add_defect(self, code: str) -> None:
        """Add the code of a defect, unless it is there already."""
        if code not in self.defects:
            self.defects.append(code)


class PartCollector:
    """Collects the bytes of parts from MIME events.

    Args:
        level: how many containers the parts are nested in.
        parent: the path of the part that contains the parsed message; None for the message itself.
        own: whether the parsed message is the received one, or its signed content.
    """

    def __init__(self, level: int = 0, parent: str | None = None, *, own: bool = True) -> None:
        self._level, self._parent, self._own = level, parent, own
        self._open: dict[str, Part] = {}

    def feed(self, event: MimeEvent) -> Part | None:
        """Process the next event; returns the part if the event completes one."""
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
        """Release the parts that are not complete."""
        for part in self._open.values():
            part.spool.close()
        self._open.clear()
