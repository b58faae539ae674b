"""The scanner: finds parts in a stream of octets, with a stack of boundaries and no recursion.

Theory of operation
-------------------
The scanner is always in one of four states. HEADER: lines are gathered until a blank one. LEAF: octets belong to the
part that was begun, and go through its decoder. SKIP: octets belong to no part (preamble, epilogue). FULL: a limit
was reached; nothing more is read. In the first three, a line that equals a boundary on the stack, innermost first,
ends whatever is deeper (RFC 2046 section 5.1.1): followed by `--` it closes its multipart, else a new part begins.

The line end before a boundary belongs to the boundary, so a few octets are held back until what follows is known.
Candidates are found by searching for a line end and two hyphens; each is looked up as a whole line, which takes the
same time however many boundaries are on the stack.

A nested message is a leaf whose decoded octets also go to a scanner of its own; how deep that goes is limited.

How the octets are cut into pieces makes no difference: a decision is made on a whole line, or on so much of one that
the rest cannot change it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from ingest.domain.manifest import Headers
from ingest.mime.body import Utf8Text
from ingest.mime.decoders import decoder_for
from ingest.mime.defects import Defect
from ingest.mime.entity import Entity, read_entity
from ingest.mime.events import MessageEnded, PartBegun
from ingest.mime.fields import split_fields
from ingest.mime.headers import make_headers
from ingest.mime.leaf import Leaf

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingest.domain.manifest import BodyKind, Status
    from ingest.mime.events import MimeEvent
    from ingest.mime.limits import MimeLimits

# A longer line is neither blank nor a boundary, so no more than this is held back: RFC 2046 allows 70 characters in a
# boundary; longer ones are seen, and blanks may follow.
_LONGEST_DELIMITER = 1024


class _State(Enum):
    HEADER = auto()
    LEAF = auto()
    SKIP = auto()
    FULL = auto()


@dataclass
class _Multipart:
    path: str
    subtype: str
    boundary: bytes
    children: int = 0

    def next_path(self) -> str:
        self.children += 1
        return f"{self.path}{self.children}"


@dataclass
class _Tally:
    """What a message and all messages nested in it share."""

    parts: int = 0
    bodies: set[BodyKind] = field(default_factory=set)
    partial: bool = False
    defects: set[Defect] = field(default_factory=set)


class Scanner:
    """Reads one message. Feed it octets in pieces of any size; take events; close it once.

    Args:
        limits: how much to take on.
        parent: path of the part that holds this message; None for the message itself.
        tally: shared with the message around it.
        nesting: how many messages are around it; the texts of those that are nested stay inside them.
        depth: how many levels of parts are around it.
        bodies: the kinds of body that there are already.
    """

    def __init__(
        self,
        limits: MimeLimits,
        parent: str | None = None,
        tally: _Tally | None = None,
        *,
        nesting: int = 0,
        depth: int = 0,
        bodies: Collection[BodyKind] = (),
    ) -> None:
        self._limits, self._parent, self._nesting, self._depth = limits, parent, nesting, depth
        self._tally = tally or _Tally(bodies=set(bodies))
        self._headers: Headers | None = None
        self._state = _State.HEADER
        self._stack: list[_Multipart] = []
        self._delimiters: dict[bytes, tuple[int, bool]] = {}
        self._buffer = b""
        self._at_line_start = True
        self._lines: list[bytes] = []
        self._inside_line = False
        self._header_octets = 0
        self._leaf: Leaf | None = None

    def feed(self, data: bytes) -> list[MimeEvent]:
        """Take octets; returns what they brought to light."""
        self._buffer = self._buffer + data if self._buffer else data
        return self._work(final=False)

    def close(self) -> list[MimeEvent]:
        """The message is over; `MessageEnded` is the last event."""
        events = self.close_nested()
        status: Status = "partial" if self._tally.partial else "complete"
        defects = tuple(sorted(defect.value for defect in self._tally.defects))
        events.append(MessageEnded(self._headers or Headers(), status, defects))
        return events

    def close_nested(self) -> list[MimeEvent]:
        """As `close`, without telling of the end."""
        events = self._work(final=True)
        if self._state is _State.HEADER and (self._lines or self._headers is None):
            self._end_header(events)
        self._end_leaf(events)
        if self._stack and self._state is not _State.FULL:
            self._tally.defects.add(Defect.TRUNCATED)
        return events

    def _work(self, *, final: bool) -> list[MimeEvent]:
        events: list[MimeEvent] = []
        at = 0
        while True:
            state = self._state
            if state is _State.FULL:
                at = len(self._buffer)
                break
            step = self._read_header if state is _State.HEADER else self._read_body
            at, going = step(at, events, final=final)
            if not going:
                break
        self._buffer = self._buffer[at:]
        return events

    # --- HEADER -----------------------------------------------------------------------------------------------------

    def _read_header(self, at: int, events: list[MimeEvent], *, final: bool) -> tuple[int, bool]:
        """Gather lines from `at`; returns where it stopped and whether there may be more to do."""
        buffer = self._buffer
        while True:
            end = buffer.find(b"\n", at)
            if end < 0:
                if not final:
                    return self._long_line(at), False
                end = len(buffer) - 1
                if at > end:
                    return at, False
            line, at = buffer[at : end + 1], end + 1
            if not self._inside_line and len(line) <= _LONGEST_DELIMITER:
                found = self._delimiters.get(line.rstrip()) if line[:2] == b"--" else None
                if found or not line.rstrip(b"\r\n"):
                    self._end_header(events)
                    if found:
                        self._boundary(found, events)
                    return at, True
            self._gather(line)
            self._inside_line = False

    def _long_line(self, at: int) -> int:
        """A line that has not ended is held back until it can only be a field's."""
        if not self._inside_line and len(self._buffer) - at <= _LONGEST_DELIMITER:
            return at
        self._gather(self._buffer[at:])
        self._inside_line = True
        return len(self._buffer)

    def _gather(self, line: bytes) -> None:
        room = self._limits.header_octets - self._header_octets
        if len(line) > room:
            self._tally.defects.add(Defect.HEADER_CAPPED)
            line = line[: max(0, room)]
        self._header_octets += len(line)
        if line:
            self._lines.append(line)

    def _end_header(self, events: list[MimeEvent]) -> None:
        """Begin what the gathered header announces."""
        found: set[Defect] = set()
        fields = split_fields(b"".join(self._lines), self._limits, found)
        self._lines, self._header_octets, self._inside_line = [], 0, False
        if self._headers is None:
            self._headers = make_headers(fields, self._limits, found) if self._nesting == 0 else Headers()
            self._tally.defects |= found
            found = set()
        container = self._stack[-1].subtype if self._stack else ""
        entity = read_entity(fields, container, found)
        self._at_line_start = True
        if entity.boundary is not None and self._may_open(entity, found):
            self._open(entity, entity.boundary)
            self._tally.defects |= found
        else:
            self._begin_leaf(entity, self._next_path(lends=False), found, events)

    def _next_path(self, *, lends: bool) -> str:
        """The place of the next part. A multipart at the root lends its children its own: 1, 2, 3."""
        if self._stack:
            return self._stack[-1].next_path()
        prefix = f"{self._parent}." if self._parent else ""
        return prefix.rstrip(".") if lends else f"{prefix}1"

    def _may_open(self, entity: Entity, defects: set[Defect]) -> bool:
        if not entity.is_multipart:
            return False
        if self._depth + len(self._stack) < self._limits.depth:
            return True
        defects.add(Defect.DEPTH_LIMIT)
        self._tally.partial = True
        return False

    def _open(self, entity: Entity, boundary: bytes) -> None:
        path = self._next_path(lends=True)
        subtype = entity.media_type.partition("/")[2]
        self._stack.append(_Multipart(f"{path}." if path else "", subtype, boundary))
        self._note_delimiters()
        self._state = _State.SKIP

    def _note_delimiters(self) -> None:
        self._delimiters = {}
        for level, multipart in enumerate(self._stack):
            self._delimiters[b"--" + multipart.boundary] = (level, False)
            self._delimiters[b"--" + multipart.boundary + b"--"] = (level, True)

    # --- LEAF and SKIP ----------------------------------------------------------------------------------------------

    def _read_body(self, at: int, events: list[MimeEvent], *, final: bool) -> tuple[int, bool]:
        """Hand out octets from `at` up to the next boundary; returns as `_read_header`."""
        buffer, begin = self._buffer, at
        if not self._delimiters:
            self._hand_out(buffer[begin:], events)
            return len(buffer), False
        candidate = begin if self._at_line_start and buffer.startswith(b"--", begin) else -1
        while True:
            if candidate < 0:
                newline = buffer.find(b"\n--", at)
                if newline < 0:
                    held = 0 if final else self._held_back(begin)
                    return self._hand_out_until(begin, len(buffer) - held, events), False
                candidate = newline + 1
            end = buffer.find(b"\n", candidate)
            stop = len(buffer) if end < 0 else end + 1
            short = stop - candidate <= _LONGEST_DELIMITER
            if short and end < 0 and not final:
                return self._hand_out_until(begin, _before_line_end(buffer, begin, candidate), events), False
            found = self._delimiters.get(buffer[candidate:stop].rstrip()) if short else None
            if found:
                self._hand_out(buffer[begin : _before_line_end(buffer, begin, candidate)], events)
                self._end_leaf(events)
                self._boundary(found, events)
                return stop, True
            at, candidate = candidate + 1, -1

    def _held_back(self, begin: int) -> int:
        """How many octets at the end may be the beginning of a line end and two hyphens."""
        rest = self._buffer[max(begin, len(self._buffer) - 3) :]
        if rest == b"-" and self._at_line_start:
            return 1
        return next((len(tail) for tail in (b"\r\n-", b"\r\n", b"\n-", b"\n", b"\r") if rest.endswith(tail)), 0)

    def _hand_out_until(self, begin: int, stop: int, events: list[MimeEvent]) -> int:
        if stop > begin:
            self._hand_out(self._buffer[begin:stop], events)
            self._at_line_start = self._buffer[stop - 1 : stop] == b"\n"
        return stop

    def _hand_out(self, octets: bytes, events: list[MimeEvent]) -> None:
        if octets and self._leaf is not None:
            events += self._leaf.feed(octets)

    def _boundary(self, found: tuple[int, bool], events: list[MimeEvent]) -> None:
        level, closing = found
        self._end_leaf(events)
        if level < len(self._stack) - 1:
            self._tally.defects.add(Defect.TRUNCATED)
        if closing or level < len(self._stack) - 1:
            del self._stack[level + (0 if closing else 1) :]
            self._note_delimiters()
        self._state = _State.SKIP if closing else _State.HEADER
        self._at_line_start = True
        if not closing:
            self._count_part()

    def _count_part(self) -> None:
        if self._tally.parts < self._limits.parts:
            self._tally.parts += 1
            return
        self._tally.defects.add(Defect.PARTS_LIMIT)
        self._tally.partial = True
        self._state = _State.FULL

    # --- leaves -----------------------------------------------------------------------------------------------------

    def _begin_leaf(self, entity: Entity, path: str, defects: set[Defect], events: list[MimeEvent]) -> None:
        self._state = _State.LEAF
        if entity.is_unreadable_multipart:
            defects.add(Defect.NO_BOUNDARY)
        kind = entity.body_kind
        body = kind if self._nesting == 0 and kind and kind not in self._tally.bodies else None
        if self._nesting and kind:
            self._leaf = Leaf(None, decoder_for(""), None, None)
            self._tally.defects |= defects
            return
        if body:
            self._tally.bodies.add(body)
        events.append(
            PartBegun(
                path=path,
                parent=self._parent,
                role=body or entity.role,
                declared_type=entity.media_type,
                charset=entity.charset if body else None,
                filename=entity.filename,
                disposition=entity.disposition,
                content_id=entity.content_id,
            )
        )
        text = Utf8Text(entity.charset) if body else None
        self._leaf = Leaf(path, decoder_for(entity.encoding), text, self._nested(entity, path, defects))
        self._leaf.defects |= defects

    def _nested(self, entity: Entity, path: str, defects: set[Defect]) -> Scanner | None:
        if not entity.is_message:
            return None
        if self._nesting >= self._limits.messages:
            defects.add(Defect.DEPTH_LIMIT)
            self._tally.partial = True
            return None
        depth = self._depth + len(self._stack) + 1
        return Scanner(self._limits, path, self._tally, nesting=self._nesting + 1, depth=depth)

    def _end_leaf(self, events: list[MimeEvent]) -> None:
        if self._leaf is not None:
            events += self._leaf.close()
            self._leaf = None


def _before_line_end(buffer: bytes, begin: int, line: int) -> int:
    """Where the octets before a boundary line end: the line end belongs to the boundary."""
    if line > begin and buffer[line - 1 : line] == b"\n":
        line -= 1
        if line > begin and buffer[line - 1 : line] == b"\r":
            line -= 1
    return line
