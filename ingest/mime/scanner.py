"""The scanner: finds parts in a stream of bytes, with a stack of boundaries and no recursion.

Theory of operation
-------------------
The scanner is always in one of five states. HEADER: lines are gathered until a blank one. UNDECIDED: the header says
two things of its part, whose first bytes are awaited. LEAF: bytes belong to the part that was begun, and go through
its decoder. SKIP: bytes belong to no part (preamble, epilogue). FULL: a limit was reached; nothing more is read.

    HEADER ──blank line──▶ LEAF (a leaf), SKIP (a multipart), UNDECIDED (either) ──1 KiB of bytes──▶ LEAF or SKIP
    LEAF, SKIP, HEADER ──a boundary on the stack──▶ HEADER, or FULL when there were too many parts
                       ──the same with `--` behind──▶ SKIP

A line that equals a boundary on the stack, innermost first, ends whatever is deeper (RFC 2046 section 5.1.1). The
line end before it belongs to it, so a few bytes are held back until what follows is known. Candidates are found by
searching for a line end and two hyphens; each is looked up as a whole line, which takes the same time however many
boundaries are on the stack.

A nested message is a leaf whose decoded bytes also go to a scanner of its own; how deep that goes is limited.

How the bytes are cut into pieces makes no difference: a decision is made on a whole line, or on so much of one that
the rest cannot change it.

Lines end with CRLF or LF, mixed as they come. Where the first line of a message ends with a bare CR, its lines may
end with that, too: then they are searched for in a copy of the same length in which those are LF. Bytes are always
given out as they came. See `lines`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.domain.manifest import Headers
from ingest.mime.decoders import decoder_for
from ingest.mime.defects import Defect, codes
from ingest.mime.embedded import EmbeddedFiles
from ingest.mime.entity import PLAIN_TEXT, choose, read_entities
from ingest.mime.events import MessageEnded, PartBegun
from ingest.mime.fields import split_fields
from ingest.mime.headers import make_headers
from ingest.mime.leaf import Leaf
from ingest.mime.lines import LineEnds
from ingest.mime.multiparts import Multiparts
from ingest.mime.outside import OutsideText
from ingest.mime.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingest.domain.manifest import BodyKind
    from ingest.mime.entity import Entity
    from ingest.mime.events import MimeEvent
    from ingest.mime.leaf import Inner
    from ingest.mime.limits import MimeLimits

# A longer line is neither blank nor a boundary, so no more than this is held back: RFC 2046 allows 70 characters in a
# boundary; longer ones are seen, and blanks may follow.
_LONGEST_DELIMITER = 1024
_LF, _CR = b"\n\r"
# A blank line, or the beginning of what may be a boundary, behind a line end or at the beginning of a header.
_NOTABLE = re.compile(rb"\n(\r{0,1023}+\n|(?=--))")
_NOTABLE_AT_ONCE = re.compile(rb"(\r{0,1023}+\n|(?=--))")
_BEGINNING = 1024  # bytes of a part that decide between two types it is said to have
_NO_HEADERS = Headers()  # those of nested messages are in them
# The states; members of an Enum take four times as long to look up, many times for each part.
_HEADER, _UNDECIDED, _LEAF, _SKIP, _FULL = "header", "undecided", "leaf", "skip", "full"


class Scanner:
    """Reads one message. Feed it bytes in pieces of any size; take events; close it once.

    Args:
        limits: how much to take on.
        parent: path of the part that holds this message; None for the message itself.
        tally: of the message around it; None where there is none, so that `MessageEnded` is told.
        nesting: how many messages are around it; the texts of those that are nested stay inside them.
        depth: how many levels of parts are around it.
        bodies: the kinds of body that there are already.
    """

    def __init__(
        self,
        limits: MimeLimits,
        parent: str | None = None,
        tally: Tally | None = None,
        *,
        nesting: int = 0,
        depth: int = 0,
        bodies: Collection[BodyKind] = (),
    ) -> None:
        self._limits, self._parent, self._nesting, self._depth = limits, parent, nesting, depth
        self._tally = tally or Tally(limits.parts, bodies)
        self._headers: Headers | None = None
        self._state = _HEADER
        self._multiparts = Multiparts(parent)
        self._buffer = self._view = b""
        self._line_ends = LineEnds(_LONGEST_DELIMITER)
        self._at_line_start = True
        self._inside_line = False
        self._head: list[bytes] = []
        self._head_bytes = 0
        self._rivals: tuple[list[Entity], set[Defect]] | None = None
        self._leaf: Leaf | None = None
        self._outside: OutsideText | None = None

    def feed(self, data: bytes) -> list[MimeEvent]:
        """Take bytes; returns what they brought to light."""
        self._buffer = self._buffer + data if self._buffer else data
        return self._work(final=False)

    def close(self) -> list[MimeEvent]:
        """The message is over; `MessageEnded` is the last event of the outermost."""
        events = self._work(final=True) if self._buffer else []
        if self._state is _HEADER and (self._head or self._headers is None):
            self._end_header(events, followed=False)
        self._end_leaf(events)
        if self._multiparts.count and self._state is not _FULL:
            self._tally.defects.add(Defect.TRUNCATED)
            self._close_multiparts(0, events)
        self._end_outside()
        if self._nesting == 0:
            defects = codes(self._tally.defects)
            events.append(MessageEnded(self._headers or _NO_HEADERS, self._tally.status, defects))
        return events

    def _work(self, *, final: bool) -> list[MimeEvent]:
        events: list[MimeEvent] = []
        view = self._line_ends.view(self._buffer, final=final)
        if view is None:
            return events
        self._view = view
        at, going = 0, True
        while going:
            state = self._state
            if state is _HEADER:
                at, going = self._read_header(at, events, final=final)
            elif state is _UNDECIDED:
                at, going = self._decide(at, events, final=final)
            elif state is _FULL:
                at, going = len(self._buffer), False
            else:
                at, going = self._read_body(at, events, final=final)
        self._buffer = self._buffer[at:]
        return events

    # --- HEADER -----------------------------------------------------------------------------------------------------

    def _read_header(self, at: int, events: list[MimeEvent], *, final: bool) -> tuple[int, bool]:
        """Gather lines from `at`; returns where it stopped and whether there may be more to do."""
        view, line = self._view, at
        if self._inside_line:
            line = view.find(b"\n", at) + 1
            if not line:
                self._gather(at, len(view))
                return len(view), False
            self._inside_line = False
        # The line end before the header counts, where it is in sight.
        notable = _NOTABLE.search(view, line - 1) if line else _NOTABLE_AT_ONCE.match(view) or _NOTABLE.search(view)
        while notable is not None:
            line = notable.start(1)
            if notable[1]:
                self._gather(at, line)
                self._end_header(events)
                return notable.end(), True
            stop = self._line_end(line, final=final)
            found = self._delimiter(line, stop)
            if found is not None or not stop:
                self._gather(at, line)
                if found is None:
                    return line, False
                self._end_header(events, followed=False)
                self._boundary(found, events)
                return stop, True
            notable = _NOTABLE.search(view, line)
        return self._gather_lines(at, line, final=final), False

    def _line_end(self, line: int, *, final: bool) -> int:
        """Where a line ends that begins at `line`; 0 as long as the rest of it may matter."""
        view = self._view
        end = view.find(b"\n", line) + 1
        return end or (len(view) if final or len(view) - line > _LONGEST_DELIMITER else 0)

    def _delimiter(self, line: int, stop: int) -> tuple[int, bool] | None:
        return self._multiparts.delimiter(self._view[line:stop]) if stop - line <= _LONGEST_DELIMITER else None

    def _gather_lines(self, at: int, line: int, *, final: bool) -> int:
        """A line that has not ended is held back until it can only be a field's."""
        view = self._view
        last = max(view.rfind(b"\n", line) + 1, line)
        stop = last
        if final or len(view) - last > _LONGEST_DELIMITER:
            stop, self._inside_line = len(view), not final
        self._gather(at, stop)
        return stop

    def _gather(self, begin: int, end: int) -> None:
        room = self._limits.header_bytes - self._head_bytes
        if end - begin > room:
            self._tally.defects.add(Defect.HEADER_CAPPED)
            end = begin + max(0, room)
        if end > begin:
            self._head_bytes += end - begin
            self._head.append(self._view[begin:end])

    def _end_header(self, events: list[MimeEvent], *, followed: bool = True) -> None:
        """Begin what the gathered header announces; it may not be `followed` by any content."""
        defects: set[Defect] = set()
        fields = split_fields(b"".join(self._head), self._limits, defects)
        self._head, self._head_bytes, self._inside_line = [], 0, False
        if self._headers is None:
            self._headers = _NO_HEADERS if self._nesting else make_headers(fields, self._limits, defects)
            if defects:
                self._tally.defects |= defects
                defects = set()
        self._at_line_start = True
        entities = read_entities(fields, self._multiparts.subtype, defects)
        if len(entities) > 1 and followed:
            self._rivals, self._state = (entities, defects), _UNDECIDED
        else:
            self._begin(entities[0], defects, events)

    def _decide(self, at: int, events: list[MimeEvent], *, final: bool) -> tuple[int, bool]:
        if len(self._view) - at < _BEGINNING and not final:
            return at, False
        assert self._rivals is not None  # that is what makes it undecided
        entities, defects = self._rivals
        self._begin(choose(entities, self._view[at : at + _BEGINNING]), defects, events)
        return at, True

    def _begin(self, entity: Entity, defects: set[Defect], events: list[MimeEvent]) -> None:
        if not entity.boundaries:
            self._begin_leaf(entity, defects, events)
        elif self._depth + self._multiparts.count >= self._limits.depth:
            self._tally.stop_at(Defect.DEPTH_LIMIT, defects)
            self._begin_leaf(entity, defects, events)
        else:
            self._multiparts.open(entity.media_type, entity.boundaries)
            self._tally.defects |= defects
            self._state = _SKIP

    # --- LEAF and SKIP ----------------------------------------------------------------------------------------------

    def _read_body(self, at: int, events: list[MimeEvent], *, final: bool) -> tuple[int, bool]:
        """Hand out bytes from `at` up to the next boundary; returns as `_read_header`."""
        view, begin = self._view, at
        if not self._multiparts.count:
            return self._hand_out(begin, len(view), events), False
        line = begin if self._at_line_start and view.startswith(b"--", begin) else -1
        while True:
            if line < 0:
                # Attachments in base64 hold no hyphens, and one byte is found much faster than three.
                newline = view.find(b"\n--", at) if view.find(b"-", at) >= 0 else -1
                if newline < 0:
                    stop = len(view) - (0 if final else self._held_back(begin))
                    return self._hand_out(begin, stop, events), False
                line = newline + 1
            end = view.find(b"\n", line) + 1 or self._line_end(line, final=final)
            if not end:
                return self._hand_out(begin, self._before_line_end(begin, line), events), False
            found = self._multiparts.delimiter(view[line:end]) if end - line <= _LONGEST_DELIMITER else None
            if found is not None:
                if line > begin:
                    self._hand_out(begin, self._before_line_end(begin, line), events)
                self._boundary(found, events)
                return end, True
            at, line = line + 1, -1

    def _held_back(self, begin: int) -> int:
        """How many bytes at the end may be the beginning of a line end and two hyphens."""
        rest = self._view[max(begin, len(self._view) - 3) :]
        if rest == b"-" and self._at_line_start:
            return 1
        return next((len(tail) for tail in (b"\r\n-", b"\r\n", b"\n-", b"\n", b"\r") if rest.endswith(tail)), 0)

    def _before_line_end(self, begin: int, line: int) -> int:
        """Where the bytes before a boundary line end: the line end belongs to the boundary."""
        if line <= begin:
            return line
        return line - 2 if line - 1 > begin and self._view[line - 2] == _CR else line - 1

    def _hand_out(self, begin: int, stop: int, events: list[MimeEvent]) -> int:
        if stop > begin:
            data = self._buffer[begin:stop]
            self._at_line_start = self._view[stop - 1] == _LF
            if self._leaf is not None:
                self._leaf.feed(data, events)
            else:
                self._outside = self._outside or OutsideText()
                self._outside.feed(data)
        return stop

    def _boundary(self, found: tuple[int, bool], events: list[MimeEvent]) -> None:
        level, closing = found
        if self._leaf is not None:
            self._end_leaf(events)
        if level < self._multiparts.count - 1:
            self._tally.defects.add(Defect.TRUNCATED)
            self._close_multiparts(level + 1, events)
        if closing:
            self._close_multiparts(level, events)
            self._state = _SKIP
        else:
            if self._outside is not None:
                self._end_outside()
            self._state = _HEADER if self._tally.count_part() else _FULL
        self._at_line_start = True

    def _close_multiparts(self, level: int, events: list[MimeEvent]) -> None:
        if not self._multiparts.met:
            self._emit_outside(events)
        self._end_outside()
        self._multiparts.close_to(level)

    def _emit_outside(self, events: list[MimeEvent]) -> None:
        """No part came, so that what was read as a preamble is all that there is."""
        defects = {Defect.BOUNDARY_ABSENT}
        if self._outside is None or not self._outside.beginning.strip():
            self._tally.defects |= defects
            return
        self._begin_leaf(PLAIN_TEXT, defects, events)
        if self._leaf is not None:
            self._leaf.feed(bytes(self._outside.beginning), events)
        self._end_leaf(events)
        self._outside = None

    def _end_outside(self) -> None:
        if self._outside is not None:
            if self._outside.holds_fields:
                self._tally.defects.add(Defect.HEADERS_OUTSIDE)
            self._outside = None

    # --- leaves -----------------------------------------------------------------------------------------------------

    def _begin_leaf(self, entity: Entity, defects: set[Defect], events: list[MimeEvent]) -> None:
        self._state = _LEAF
        path, kind = self._multiparts.next_path(), entity.body_kind
        decoder = decoder_for(entity.encoding)
        inner = self._inside(entity, path, defects) if kind == "text" or entity.is_message else None
        if kind is not None and self._nesting:
            self._tally.defects |= defects
            self._leaf = Leaf(None, decoder, inner, defects)
            return
        body = None if kind in self._tally.bodies else kind
        if body is not None:
            self._tally.bodies.add(body)
        about = entity.media_type, entity.charset, entity.filename, entity.disposition, entity.content_id
        events.append(PartBegun(path, self._parent, body or entity.role, *about))
        self._leaf = Leaf(path, decoder, inner, defects)

    def _inside(self, entity: Entity, path: str, defects: set[Defect]) -> Inner | None:
        """What reads the content of a text or message in turn."""
        if entity.body_kind == "text":
            # What a nested text holds is said to be in the nested message, where the text itself is.
            parent = self._parent if self._nesting and self._parent else path
            return EmbeddedFiles(path, parent, self._tally)
        if self._nesting >= self._limits.messages:
            self._tally.stop_at(Defect.DEPTH_LIMIT, defects)
            return None
        depth = self._depth + self._multiparts.count + 1
        return Scanner(self._limits, path, self._tally, nesting=self._nesting + 1, depth=depth)

    def _end_leaf(self, events: list[MimeEvent]) -> None:
        if self._leaf is not None:
            self._leaf.close(events)
            self._leaf = None
