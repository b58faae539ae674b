"""The header and the texts of a nested message.

The parser gives the attachments of a nested message while it reads the outer one, and leaves its texts inside. Here
its beginning is read again for them: texts come before files in nearly all mail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.mime import parse
from ingest.mime.events import MessageEnded, PartBegun, PartData, PartEnded
from ingest.usecases.process.bodies import ChosenBody, Texts, kind_of_text
from ingest.usecases.process.parts import Part

if TYPE_CHECKING:
    from ingest.domain.mail import Headers
    from ingest.mime import MimeLimits

# More than texts take; of a larger message only those are found that end before.
NESTED_BYTES = 4 * 2**20
_PIECE = 65_536


def read_nested(head: bytes, path: str, limits: MimeLimits, *, whole: bool) -> tuple[Headers, list[ChosenBody]]:
    """Return the decoded header and the bodies of a nested message.

    Args:
        head: its beginning, `NESTED_BYTES` at most.
        path: of the attachment that it is.
        limits: of the MIME parser.
        whole: whether that is all of it. Else a text that may go on behind `head` is left out.

    Raises:
        SpoolError: there is no room for a text.
    """
    texts = _NestedTexts(path)
    ended = None
    try:
        for event in parse((head[at : at + _PIECE] for at in range(0, len(head), _PIECE)), limits, parent=path):
            if isinstance(event, MessageEnded):
                ended = event
            else:
                texts.feed(event)
        bodies = texts.choose()
    except BaseException:
        texts.close()
        raise
    assert ended is not None  # always the last event
    return ended.headers, [body for body in bodies if whole or _is_complete(body, texts.last)]


class _NestedTexts:
    """Collects the texts of one message, and drops everything else.

    Attributes:
        last: the path of the part that began last.
    """

    def __init__(self, path: str) -> None:
        self._path, self.last = path, ""
        self._texts, self._open = Texts(), dict[str, Part]()

    def feed(self, event: PartBegun | PartData | PartEnded) -> None:
        match event:
            case PartBegun():
                self.last = event.path
                if event.parent == self._path and event.declared_type.startswith("text/"):
                    self._open[event.path] = Part(event, own=True)
            case PartData() if event.path in self._open:
                self._open[event.path].spool.write(event.data)
            case PartEnded() if event.path in self._open:
                part = self._open.pop(event.path)
                part.defects += event.defects
                kind = kind_of_text(part)
                if kind is None or not self._texts.add(part, kind):
                    part.spool.close()

    def choose(self) -> list[ChosenBody]:
        bodies, others = self._texts.choose()
        stored = {id(body.spool) for body in bodies}
        for part in others:
            if id(part.spool) not in stored:
                part.spool.close()
        return bodies

    def close(self) -> None:
        self._texts.close()
        for part in self._open.values():
            part.spool.close()


def _is_complete(body: ChosenBody, last: str) -> bool:
    """Whether the end of what was read did not cut a body: then another part began behind it."""
    complete = all(part.head.path != last for part in body.parts)
    if not complete:
        body.spool.close()
    return complete
