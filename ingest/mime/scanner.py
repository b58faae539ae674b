"""The scanner: finds parts in a stream of bytes, with a stack of boundaries and no recursion.

Theory of operation
-------------------
The scanner is in one of five states. HEADER: lines are gathered until the header ends. UNDECIDED: the header
declares two types, and the first bytes of the part decide. LEAF: bytes belong to the current part and go through its
decoder. SKIP: bytes belong to no part (preamble, epilogue). FULL: the limit of parts was reached; nothing more is
read.

    HEADER ──end of header──▶ LEAF (a leaf), SKIP (a multipart), UNDECIDED (either) ──1 KiB of bytes──▶ LEAF or SKIP
    LEAF, SKIP, HEADER ──a delimiter on the stack──▶ HEADER, or FULL if there were too many parts
                       ──a closing delimiter──▶ SKIP

A line that equals a delimiter on the stack, innermost first, ends everything deeper (RFC 2046 section 5.1.1). The
line end before it belongs to it, so a few bytes are held back until the next ones are known. Candidates are found by
searching for a line end and two hyphens; each is looked up as a whole line, in constant time.

A header that is in order and in the buffer as a whole is read in one step; the `HeaderReader` gathers any other.

Bytes can be read again: they are put back before the buffer, once. That happens to content that was gathered as
header lines, and to the beginning of a multipart whose boundary never occurs, once another boundary was guessed.

Every byte is counted in one category of the `Account`; what is neither blank nor in a field or leaf is a defect with
its size, and so is a difference between the account and the bytes fed.

A nested message is a leaf whose decoded bytes also go to a scanner of its own; the nesting depth is limited.

Each decision is made on a whole line, or on so much of it that the rest cannot change it. Lines end with CRLF or LF,
also mixed, or all with bare CR: see `LineEnds`. In other messages a bare CR counts around delimiters and at the end
of a header only, for a part that was written with bare CR. Bytes are emitted as they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ingest.mime.account import Account
from ingest.mime.defects import Defect
from ingest.mime.entity import PLAIN_TEXT, choose, read_clean_entities
from ingest.mime.events import NO_BYTES, MessageEnded
from ingest.mime.header_lines import CLEAN_HEADER, is_ordinary
from ingest.mime.header_reader import ODD_BEGINNINGS, HeaderReader
from ingest.mime.headers import MessageHeader
from ingest.mime.leaf import begin_leaf, read_leaf
from ingest.mime.lines import Buffer, before_line_end, held_back
from ingest.mime.multiparts import Multiparts
from ingest.mime.outside import Outside
from ingest.mime.part_header import HeaderParser
from ingest.mime.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Collection
    from re import Match

    from ingest.domain.manifest import BodyKind
    from ingest.mime.entity import Entity
    from ingest.mime.events import MimeEvent
    from ingest.mime.fields import Fields
    from ingest.mime.header_reader import HeaderEnd
    from ingest.mime.leaf import Leaf, Place
    from ingest.mime.limits import MimeLimits
    from ingest.mime.multiparts import Delimiter
    from ingest.mime.outside import Preamble

_LF: Final = 0x0A
_AGAIN: Final = -1  # in place of where to go on: bytes were put back
_BEGINNING: Final = 1024  # bytes of a part that decide between two declared types
# The states; members of an Enum take four times as long to look up, many times for each part.
_HEADER: Final = "header"
_UNDECIDED: Final = "undecided"
_LEAF: Final = "leaf"
_SKIP: Final = "skip"
_FULL: Final = "full"


class Scanner:
    """Reads one message: feed it bytes in pieces of any size, then close it once; both return events.

    Args:
        limits: when to stop reading.
        parent: path of the part that holds this message; None for the message itself.
        tally: that of the message around it; None for the outermost, which returns `MessageEnded`.
        nesting: how many messages are around it; the texts of nested messages stay inside them.
        depth: how many levels of parts are around it.
        bodies: the kinds of body that exist already.
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
        self._header: bytes | Fields | None = None  # of the message, not yet decoded
        self._state = _HEADER
        self._multiparts = Multiparts(parent)
        self._buffer = Buffer()
        self._at_line_start = True
        self._rivals: tuple[list[Entity], set[Defect]] | None = None
        self._leaf: Leaf | None = None
        self._fed = 0
        self.account = Account()
        about = limits, self._multiparts, self._tally, self.account
        self._header_reader, self._header_parser = HeaderReader(*about), HeaderParser(*about)
        self._outside = Outside(self._multiparts, self._tally, self.account)

    def feed(self, data: bytes) -> list[MimeEvent]:
        """Read bytes; return the events they cause."""
        self._add(data)
        return self._work(final=False)

    def close(self, data: bytes = b"") -> list[MimeEvent]:
        """Read the last bytes and end the message; `MessageEnded` is the last event of the outermost."""
        self._add(data)
        events = self._work(final=True) if self._buffer.data else []
        while self._state is not _LEAF and self._read_again_at_end(events):
            events += self._work(final=True)
        self._end_leaf(events)
        if self._multiparts.count and self._state is not _FULL:
            self._tally.defects.add(Defect.TRUNCATED)
            self._close_multiparts(0, events)
        self._outside.close()
        tally = self._tally
        tally.check(self.account, self._fed)
        if self._nesting == 0:
            skipped = {defect.value: size for defect, size in tally.skipped.items()} if tally.skipped else NO_BYTES
            header = MessageHeader(self._header or b"", self._limits)
            events.append(MessageEnded(header, tally.status, tally.defects, skipped))
        return events

    def _add(self, data: bytes) -> None:
        self._fed += len(data)
        buffer = self._buffer
        buffer.data = buffer.data + data if buffer.data else data

    def _read_again_at_end(self, events: list[MimeEvent]) -> bool:
        """Decide what is still open at the end of the message; True if bytes were put back for that."""
        if self._state is _HEADER and (self._header is None or not self._header_reader.is_empty):
            self._end_header(self._header_reader.end(), events)
        elif self._state is _UNDECIDED:
            self._decide(0, events, final=True)
        elif self._state is _SKIP and self._multiparts.count and (preamble := self._outside.guess()) is not None:
            self._read_preamble(preamble, 0, events)
        return bool(self._buffer.again)

    def _work(self, *, final: bool) -> list[MimeEvent]:
        events: list[MimeEvent] = []
        buffer = self._buffer
        at, going = 0, buffer.show(final=final)
        while going or buffer.again:
            if not going:
                buffer.refill(at)
                at, going = 0, buffer.show(final=final)
                continue
            last = final and not buffer.again
            state = self._state
            if state is _HEADER:
                at, going = self._read_header(at, events, final=last)
            elif state is _UNDECIDED:
                at, going = self._decide(at, events, final=last)
            elif state is _FULL:
                self.account.unread += len(buffer.data) - at
                at, going = len(buffer.data), False
            else:
                at, going = self._read_body(at, events, final=last)
            if at == _AGAIN:
                at, going = 0, False
        buffer.data = buffer.data[at:]
        return events

    # --- HEADER -----------------------------------------------------------------------------------------------------

    def _read_header(self, at: int, events: list[MimeEvent], *, final: bool) -> tuple[int, bool]:
        """Read the header from `at`; return where it stopped and whether to continue."""
        view, reader = self._buffer.view, self._header_reader
        if at >= len(view):
            return at, False
        if reader.is_new:
            if view[at] in ODD_BEGINNINGS:
                begin = reader.begin(view, at, final=final, root=self._header is None)
                if begin is None:
                    return at, False
                at = begin
            clean = CLEAN_HEADER.match(view, at)
            if clean is not None and (end := self._read_clean_header(at, clean, events, final=final)):
                return end, True
        ended = reader.read(view, at, final=final)
        if isinstance(ended, int):
            return ended, False
        return self._end_header(ended, events), True

    def _read_clean_header(self, at: int, clean: Match[bytes], events: list[MimeEvent], *, final: bool) -> int:
        """Read a header in one step that is whole and in order, as nearly all are; return its end, 0 if it is not."""
        blank, end = clean.span(1)
        head = self._buffer.view[at:blank]
        limits, account = self._limits, self.account
        if blank - at > limits.header_bytes or not is_ordinary(head, limits.header_fields):
            return 0
        if self._header is None:
            self._header = b"" if self._nesting else head
        defects: set[Defect] = set()
        entities = read_clean_entities(head, self._multiparts.subtype, defects)
        account.fields += blank - at
        account.delimiters += end - blank
        self._at_line_start = True
        if len(entities) > 1:
            self._rivals, self._state = (entities, defects), _UNDECIDED
            return end
        entity = entities[0]
        if entity.boundaries or entity.is_multipart:
            self._begin(entity, defects, events)
            return end
        return self._read_leaf(entity, defects, end, events, final=final)

    def _read_leaf(
        self, entity: Entity, defects: set[Defect], at: int, events: list[MimeEvent], *, final: bool
    ) -> int:
        """Read a part in one step if its content is in the buffer as a whole, else begin it; return its end."""
        tally, found, line, stop = self._tally, None, at, at
        if self._multiparts.count:
            search = self._multiparts.search
            found, line, stop = search(self._buffer.view, at, tally.defects, final=final, whole_line=True)
        if found is None and not final:
            self._begin_leaf(entity, defects, events)
            return at
        before = len(self._buffer.view) if found is None else before_line_end(self._buffer.view, at, line)
        place, inner = self._next_place(entity, defects)
        read_leaf(entity, place, self._buffer.data[at:before], inner, tally=tally, defects=defects, events=events)
        self.account.leaves += before - at
        if found is None:
            self._state = _LEAF
            return before
        self.account.delimiters += line - before
        return self._boundary(found, line, stop, events)

    def _end_header(self, ended: HeaderEnd, events: list[MimeEvent]) -> int:
        """Begin what a gathered header declares; return where to go on."""
        fields, entities, defects, rest = self._header_parser.parse(ended, root=self._header is None)
        if self._header is None:
            self._header = b"" if self._nesting else fields
        self._at_line_start = True
        at = ended.at
        if rest:
            self._buffer.put_back(rest, at)
            at = _AGAIN
        if len(entities) > 1 and (ended.followed or rest):
            self._rivals, self._state = (entities, defects), _UNDECIDED
        else:
            self._begin(entities[0], defects, events)
        if ended.delimiter is None or at == _AGAIN:
            return at
        return self._boundary(ended.delimiter, at, ended.stop, events)

    def _decide(self, at: int, events: list[MimeEvent], *, final: bool) -> tuple[int, bool]:
        if len(self._buffer.view) - at < _BEGINNING and not final:
            return at, False
        assert self._rivals is not None  # that is what makes it undecided
        entities, defects = self._rivals
        beginning = self._buffer.view[at : at + _BEGINNING] if self._buffer.data else b""
        self._begin(choose(entities, beginning), defects, events)
        return at, True

    def _begin(self, entity: Entity, defects: set[Defect], events: list[MimeEvent]) -> None:
        if not entity.boundaries and not entity.is_multipart:
            self._begin_leaf(entity, defects, events)
        elif self._depth + self._multiparts.count >= self._limits.depth:
            self._tally.stop_at(Defect.DEPTH_LIMIT, defects)
            self._begin_leaf(entity, defects, events)
        else:
            self._multiparts.open(entity.media_type, entity.boundaries)
            self._tally.defects |= defects
            self._state, self._outside.in_epilogue = _SKIP, False

    # --- LEAF and SKIP ----------------------------------------------------------------------------------------------

    def _read_body(self, at: int, events: list[MimeEvent], *, final: bool) -> tuple[int, bool]:
        """Emit bytes from `at` up to the next delimiter; returns as `_read_header`."""
        view, multiparts, outside = self._buffer.view, self._multiparts, self._outside
        if not multiparts.count:
            return self._hand_out(at, len(view), events), False
        room: int | None = None
        if self._leaf is None:
            if outside.is_full:
                return self._read_preamble(outside.end_preamble(), at, events), True
            room = outside.room
        found, line, stop = multiparts.search(
            view, at, self._tally.defects, final=final, whole_line=self._at_line_start, room=room
        )
        if found is not None:
            return self._end_at(found, at, line, stop, events)
        if line >= 0:
            # A line that is not whole yet. If a preamble is full before a line, that is text, and read again as such.
            return self._hand_out(at, before_line_end(view, at, line), events), stop > line
        held = 0 if final else held_back(view, at, multiparts.after_cr, whole_line=self._at_line_start)
        handed = self._hand_out(at, len(view) - held, events)
        return handed, handed < len(view) - held

    def _end_at(
        self, found: Delimiter, begin: int, line: int, stop: int, events: list[MimeEvent]
    ) -> tuple[int, bool]:
        """Emit bytes from `begin`, and act on the delimiter line from `line` to `stop`; returns as `_read_header`."""
        before = before_line_end(self._buffer.view, begin, line)
        handed = self._hand_out(begin, before, events)
        if handed < before:
            return handed, True
        if self._leaf is None and self._outside.ends_at(found):  # no part came
            again = self._read_preamble(self._outside.end_preamble(), before, events)
            if again == _AGAIN:
                return _AGAIN, False
        self.account.delimiters += line - before
        return self._boundary(found, line, stop, events), True

    def _hand_out(self, begin: int, stop: int, events: list[MimeEvent]) -> int:
        """Emit or skip bytes; return where it stopped, before `stop` if a preamble is full."""
        if stop > begin:
            if self._leaf is not None:
                self._leaf.feed(self._buffer.data[begin:stop], events)
                self.account.leaves += stop - begin
            else:
                stop = begin + self._outside.feed(self._buffer.data[begin:stop])
            self._at_line_start = self._buffer.view[stop - 1] == _LF
        return stop

    def _boundary(self, found: Delimiter, line: int, stop: int, events: list[MimeEvent]) -> int:
        """Act on the delimiter line from `line` to `stop`."""
        self.account.delimiters += stop - line
        level, closing, junk = found
        if junk:
            self._tally.skip_junk(junk)
        if self._leaf is not None:
            self._end_leaf(events)
        if level < self._multiparts.count - 1:
            self._tally.defects.add(Defect.TRUNCATED)
            self._close_multiparts(level + 1, events)
        if closing:
            self._close_multiparts(level, events)
            self._state = _SKIP
        else:
            self._outside.close()
            self._state = _HEADER if self._tally.count_part() else _FULL
        self._at_line_start = True
        return stop

    def _close_multiparts(self, level: int, events: list[MimeEvent]) -> None:
        outside = self._outside
        if self._state is _SKIP and outside.is_unmet and (preamble := outside.take_whole()) is not None:
            self._read_preamble(preamble, 0, events)
        outside.close()
        self._multiparts.close_to(level)
        outside.in_epilogue = True

    def _read_preamble(self, preamble: Preamble | None, at: int, events: list[MimeEvent]) -> int:
        """Read a preamble that no part follows; return where to go on."""
        if preamble is None:
            return at
        reading, data, defect = preamble
        if reading == "whole":
            self._begin_leaf(PLAIN_TEXT, {defect}, events)
            assert self._leaf is not None  # it has just begun
            self._leaf.feed(data, events)
            self._end_leaf(events)
            self._state = _SKIP
            return at
        if reading == "text":
            self._begin_leaf(PLAIN_TEXT, {defect}, events)
        elif reading == "header":
            self._state = _HEADER
        self._at_line_start = True
        self._buffer.put_back(data, at)
        return _AGAIN

    # --- leaves -----------------------------------------------------------------------------------------------------

    def _begin_leaf(self, entity: Entity, defects: set[Defect], events: list[MimeEvent]) -> None:
        self._state = _LEAF
        place, inner = self._next_place(entity, defects)
        self._leaf = begin_leaf(entity, place, inner, tally=self._tally, defects=defects, events=events)

    def _next_place(self, entity: Entity, defects: set[Defect]) -> tuple[Place, Scanner | None]:
        """Return where a part is, and what reads its content if it is a message."""
        path = self._multiparts.next_path()
        inner = self._inner_scanner(path, defects) if entity.is_message else None
        return (path, self._parent, self._nesting > 0), inner

    def _inner_scanner(self, path: str, defects: set[Defect]) -> Scanner | None:
        """Return what reads the content of a message."""
        if self._nesting >= self._limits.messages:
            self._tally.stop_at(Defect.DEPTH_LIMIT, defects)
            return None
        depth = self._depth + self._multiparts.count + 1
        return Scanner(self._limits, path, self._tally, nesting=self._nesting + 1, depth=depth)

    def _end_leaf(self, events: list[MimeEvent]) -> None:
        if self._leaf is not None:
            self._leaf.close(events)
            self._leaf = None
