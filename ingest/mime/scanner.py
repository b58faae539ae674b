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

from typing import TYPE_CHECKING

from ingest.mime.account import Account
from ingest.mime.defects import Defect
from ingest.mime.entity import PLAIN_TEXT, choose, read_clean_entities
from ingest.mime.events import NO_BYTES, MessageEnded
from ingest.mime.header_lines import CLEAN_HEADER, is_ordinary
from ingest.mime.header_reader import ODD_BEGINNINGS, HeaderReader
from ingest.mime.headers import MessageHeader
from ingest.mime.leaf import begin_leaf
from ingest.mime.lines import LONGEST_LINE, LineEnds, before_line_end, first_line_end, held_back, line_end
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
    from ingest.mime.leaf import Leaf
    from ingest.mime.limits import MimeLimits
    from ingest.mime.multiparts import Delimiter
    from ingest.mime.outside import Preamble

_LF = b"\n"[0]
_AGAIN = -1  # in place of where to go on: bytes were put back
_PIECE = 1024  # bytes to read again at a time
_BEGINNING = 1024  # bytes of a part that decide between two declared types
# The states; members of an Enum take four times as long to look up, many times for each part.
_HEADER, _UNDECIDED, _LEAF, _SKIP, _FULL = "header", "undecided", "leaf", "skip", "full"


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
        self._buffer = self._view = b""
        self._line_ends = LineEnds()
        self._at_line_start = True
        self._rivals: tuple[list[Entity], set[Defect]] | None = None
        self._leaf: Leaf | None = None
        self._fed = 0
        self._put_back: list[memoryview] = []  # what is to be read again, the first bytes last
        self.account = Account()
        about = limits, self._multiparts, self._tally, self.account
        self._header_reader, self._header_parser = HeaderReader(*about), HeaderParser(*about)
        self._outside = Outside(self._multiparts, self._tally, self.account)

    def feed(self, data: bytes) -> list[MimeEvent]:
        """Read bytes; return the events they cause."""
        self._fed += len(data)
        self._buffer = self._buffer + data if self._buffer else data
        return self._work(final=False)

    def close(self) -> list[MimeEvent]:
        """End the message; `MessageEnded` is the last event of the outermost."""
        events = self._work(final=True) if self._buffer else []
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

    def _read_again_at_end(self, events: list[MimeEvent]) -> bool:
        """Decide what is still open at the end of the message; True if bytes were put back for that."""
        if self._state is _HEADER and (self._header is None or not self._header_reader.is_empty):
            self._end_header(self._header_reader.end(), events)
        elif self._state is _UNDECIDED:
            self._decide(0, events, final=True)
        elif self._state is _SKIP and self._multiparts.count and (preamble := self._outside.guess()) is not None:
            self._read_preamble(preamble, 0, events)
        return bool(self._put_back)

    def _work(self, *, final: bool) -> list[MimeEvent]:
        events: list[MimeEvent] = []
        last = final and not self._put_back
        view = self._line_ends.view(self._buffer, final=last)
        at, going = 0, view is not None
        self._view = view or b""
        while going or self._put_back:
            if not going:
                self._refill(at)
                last = final and not self._put_back
                view = self._line_ends.view(self._buffer, final=last)
                at, going = 0, view is not None
                self._view = view or b""
                continue
            state = self._state
            if state is _HEADER:
                at, going = self._read_header(at, events, final=last)
            elif state is _UNDECIDED:
                at, going = self._decide(at, events, final=last)
            elif state is _FULL:
                self.account.unread += len(self._buffer) - at
                at, going = len(self._buffer), False
            else:
                at, going = self._read_body(at, events, final=last)
            if at == _AGAIN:
                at, going = 0, False
        self._buffer = self._buffer[at:]
        return events

    def _read_again(self, data: bytes, at: int) -> int:
        """Put bytes before those from `at`, to be read again from their beginning."""
        self._put_back += [memoryview(self._buffer)[at:], memoryview(data)]
        self._buffer = self._view = b""
        return _AGAIN

    def _refill(self, at: int) -> None:
        """Move put-back bytes to the buffer, in small pieces, behind those from `at`."""
        data = self._put_back.pop()
        self._buffer = self._buffer[at:] + data[:_PIECE]
        if len(data) > _PIECE:
            self._put_back.append(data[_PIECE:])

    # --- HEADER -----------------------------------------------------------------------------------------------------

    def _read_header(self, at: int, events: list[MimeEvent], *, final: bool) -> tuple[int, bool]:
        """Read the header from `at`; return where it stopped and whether to continue."""
        view, reader = self._view, self._header_reader
        if at >= len(view):
            return at, False
        if reader.is_new:
            if view[at] in ODD_BEGINNINGS:
                begin = reader.begin(view, at, final=final, root=self._header is None)
                if begin is None:
                    return at, False
                at = begin
            clean = CLEAN_HEADER.match(view, at)
            if clean is not None and (end := self._read_clean_header(at, clean, events)):
                return end, True
        ended = reader.read(view, at, final=final)
        if isinstance(ended, int):
            return ended, False
        return self._end_header(ended, events), True

    def _read_clean_header(self, at: int, clean: Match[bytes], events: list[MimeEvent]) -> int:
        """Read a header in one step that is whole and in order, as nearly all are; return its end, 0 if it is not."""
        blank, end = clean.span(1)
        head = self._view[at:blank]
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
        else:
            self._begin(entities[0], defects, events)
        return end

    def _end_header(self, ended: HeaderEnd, events: list[MimeEvent]) -> int:
        """Begin what a gathered header declares; return where to go on."""
        fields, entities, defects, rest = self._header_parser.parse(ended, root=self._header is None)
        if self._header is None:
            self._header = b"" if self._nesting else fields
        self._at_line_start = True
        at = self._read_again(rest, ended.at) if rest else ended.at
        if len(entities) > 1 and (ended.followed or rest):
            self._rivals, self._state = (entities, defects), _UNDECIDED
        else:
            self._begin(entities[0], defects, events)
        if ended.delimiter is None or at == _AGAIN:
            return at
        return self._boundary(ended.delimiter, at, ended.stop, events)

    def _decide(self, at: int, events: list[MimeEvent], *, final: bool) -> tuple[int, bool]:
        if len(self._view) - at < _BEGINNING and not final:
            return at, False
        assert self._rivals is not None  # that is what makes it undecided
        entities, defects = self._rivals
        beginning = self._view[at : at + _BEGINNING] if self._buffer else b""
        self._begin(choose(entities, beginning), defects, events)
        return at, True

    def _begin(self, entity: Entity, defects: set[Defect], events: list[MimeEvent]) -> None:
        if not entity.is_multipart:
            self._begin_leaf(entity, defects, events)
        elif self._depth + self._multiparts.count >= self._limits.depth:
            self._tally.stop_at(Defect.DEPTH_LIMIT, defects)
            self._begin_leaf(entity, defects, events)
        else:
            self._multiparts.open(entity.media_type, entity.boundaries)
            self._tally.defects |= defects
            self._state, self._outside.in_epilogue = _SKIP, False

    # --- LEAF and SKIP ----------------------------------------------------------------------------------------------

    def _read_body(  # noqa: C901, PLR0911, PLR0912 - one loop; a call for each line would slow it down
        self, at: int, events: list[MimeEvent], *, final: bool
    ) -> tuple[int, bool]:
        """Emit bytes from `at` up to the next delimiter; returns as `_read_header`."""
        view, begin = self._view, at
        if not self._multiparts.count:
            return self._hand_out(begin, len(view), events), False
        if self._leaf is None and self._outside.is_full:
            return self._read_preamble(self._outside.end_preamble(), at, events), True
        after_cr = self._multiparts.after_cr
        line = begin if self._at_line_start and view.startswith(b"--", begin) else -1
        while True:
            exact = False
            if line < 0:
                # Attachments in base64 hold no hyphens, and one byte is found much faster than three.
                newline = bare = -1
                hyphen = view.find(b"-", at)
                if hyphen >= 0:
                    at = max(at, hyphen - 1)
                    newline = view.find(b"\n--", at)
                    bare = view.find(after_cr, at, newline if newline >= 0 else len(view))
                if newline < 0 and bare < 0:
                    held = 0 if final else held_back(view, begin, after_cr, whole_line=self._at_line_start)
                    stop = len(view) - held
                    handed = self._hand_out(begin, stop, events)
                    return handed, handed < stop
                exact = bare >= 0
                line = (bare if exact else newline) + 1
            if exact:
                end = min(line + LONGEST_LINE, len(view))
                # A CR at the very end may be half of a line end.
                if end - line < LONGEST_LINE and not final and line + first_line_end(view[line:end]) >= end:
                    end = 0
            else:
                end = view.find(b"\n", line) + 1 or line_end(view, line, final=final)
            if not end:
                return self._hand_out(begin, before_line_end(view, begin, line), events), False
            if self._leaf is None and self._outside.fills(before_line_end(view, begin, line) - begin):
                # The preamble is full before this line, so it is text; the line is looked up after that.
                return self._hand_out(begin, before_line_end(view, begin, line), events), True
            found, stop = self._multiparts.find(view, line, end, self._tally.defects, exact=exact)
            if found is not None:
                before = before_line_end(view, begin, line) if line > begin else begin
                handed = self._hand_out(begin, before, events) if before > begin else begin
                if handed < before:
                    return handed, True
                if self._leaf is None and self._outside.ends_at(found):  # no part came
                    again = self._read_preamble(self._outside.end_preamble(), before, events)
                    if again == _AGAIN:
                        return _AGAIN, False
                self.account.delimiters += line - before
                return self._boundary(found, line, stop, events), True
            at, line = line + 1, -1

    def _hand_out(self, begin: int, stop: int, events: list[MimeEvent]) -> int:
        """Emit or skip bytes; return where it stopped, before `stop` if a preamble is full."""
        if stop > begin:
            if self._leaf is not None:
                self._leaf.feed(self._buffer[begin:stop], events)
                self.account.leaves += stop - begin
            else:
                stop = begin + self._outside.feed(self._buffer[begin:stop])
            self._at_line_start = self._view[stop - 1] == _LF
        return stop

    def _boundary(self, found: Delimiter, line: int, stop: int, events: list[MimeEvent]) -> int:
        """Act on the delimiter line from `line` to `stop`."""
        self.account.delimiters += stop - line
        if found.junk:
            self._tally.skip_junk(found.junk)
        if self._leaf is not None:
            self._end_leaf(events)
        if found.level < self._multiparts.count - 1:
            self._tally.defects.add(Defect.TRUNCATED)
            self._close_multiparts(found.level + 1, events)
        if found.closing:
            self._close_multiparts(found.level, events)
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
        return self._read_again(data, at)

    # --- leaves -----------------------------------------------------------------------------------------------------

    def _begin_leaf(self, entity: Entity, defects: set[Defect], events: list[MimeEvent]) -> None:
        self._state = _LEAF
        path = self._multiparts.next_path()
        inner = self._inner_scanner(path, defects) if entity.is_message else None
        nested = self._nesting > 0
        self._leaf = begin_leaf(
            entity, path, self._parent, inner, tally=self._tally, defects=defects, events=events, nested=nested
        )

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
