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

A header ends at a blank line, at a delimiter, or at the delimiter that it declares itself. A line of blanks ends it
unless a field or a continuation follows. Lines that are not fields are skipped if a field follows; lines after the
last field are content that follows the header without a blank line.

Bytes can be read again: they are put back before the buffer, once. That happens to content that was gathered as
header lines, and to the beginning of a multipart whose boundary never occurs, once another boundary was guessed.

Every byte is counted in one category of the `Account`; bytes that are neither blank nor in a field or leaf are
reported as a defect with their size. If the sum does not match the bytes fed, that is reported, too.

A nested message is a leaf whose decoded bytes also go to a scanner of its own; the nesting depth is limited.

The size of the pieces fed makes no difference: each decision is made on a whole line, or on so much of it that the
rest cannot change it.

Lines end with CRLF or LF, also mixed. If the first line of a message ends with a bare CR, bare CR ends all its
lines: they are searched for in a copy of the same length with LF instead. In other messages a bare CR counts around
delimiters and at the end of a header only, for a part that was written with bare CR. Bytes are always emitted as
they came.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.domain.manifest import Headers
from ingest.mime.account import Account
from ingest.mime.decoders import decoder_for
from ingest.mime.defects import Defect, codes
from ingest.mime.embedded import EmbeddedFiles
from ingest.mime.entity import PLAIN_TEXT, choose, read_entities
from ingest.mime.events import NO_BYTES, MessageEnded, PartBegun
from ingest.mime.fields import split_fields
from ingest.mime.header_lines import (
    BYTE_ORDER_MARK,
    GOES_ON,
    LOOK_AHEAD,
    find_gaps,
    looks_like_content,
    skip_leading_blanks,
)
from ingest.mime.headers import make_headers
from ingest.mime.leaf import Leaf
from ingest.mime.lines import LineEnds
from ingest.mime.multiparts import Multiparts
from ingest.mime.outside import BLANKS, HELD, OutsideText
from ingest.mime.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingest.domain.manifest import BodyKind
    from ingest.mime.entity import Entity
    from ingest.mime.events import MimeEvent
    from ingest.mime.fields import Fields
    from ingest.mime.leaf import Inner
    from ingest.mime.limits import MimeLimits
    from ingest.mime.multiparts import Delimiter

# A longer line is neither blank nor a delimiter, so no more than this is held back: RFC 2046 allows 70 characters in
# a boundary; longer ones occur, and blanks may follow.
_LONGEST_DELIMITER = 1024
_LINE_END = re.compile(rb"\r\n?|\n")
_LF, _CR = b"\n\r"
_LINE_ENDS = b"\r\n"
_AGAIN = -1  # in place of where to go on: bytes were put back
_PIECE = 1024  # bytes to read again at a time
_CONTENT_BYTES = 32  # that a decoder skipped: more than stray characters
# In a mail whose lines end otherwise: a blank line of bare CR, and what may be a delimiter after a bare CR.
_NOTABLE_CR = re.compile(rb"\r(?:(?P<blank>\r)(?![\r\n])|(?=--))")
# A blank line, the beginning of what may be a delimiter, or a line of blanks, after a line end or at the beginning.
_LINE = rb"(\r{0,1023}+\n|(?=--)|[ \t\x0b\x0c\x00\xa0\xc2]{1,500}+\r{0,500}+\n)"
_NOTABLE = re.compile(rb"\n" + _LINE)
_NOTABLE_AT_ONCE = re.compile(_LINE)
_DASHED_LINES = 16  # of one header, that may be the delimiter it declares
_BEGINNING = 1024  # bytes of a part that decide between two declared types
_ODD_BEGINNINGS = b"\r\n" + BYTE_ORDER_MARK[:1]
_NO_HEADERS = Headers()  # those of nested messages stay in them
# Two words, or one that is longer than any: content rather than noise.
_WORDS = re.compile(rb"\w{2,}[ \t,.:;]+\w{2,}|\w{20}")
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
        self._headers: Headers | None = None
        self._state = _HEADER
        self._multiparts = Multiparts(parent)
        self._buffer = self._view = b""
        self._line_ends = LineEnds(_LONGEST_DELIMITER)
        self._at_line_start = True
        self._inside_line = False
        self._head: list[bytes] = []
        self._head_bytes = self._head_capped = self._dashed_lines = 0
        self._head_begins = True
        self._rivals: tuple[list[Entity], set[Defect]] | None = None
        self._leaf: Leaf | None = None
        self._outside: OutsideText | None = None
        self._in_epilogue = False
        self._fed = 0
        self._put_back: list[memoryview] = []  # what is to be read again, the first bytes last
        self.account = Account()

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
        self._end_outside()
        missing, tally = self._fed - self.account.total, self._tally
        if missing:
            tally.defects.add(Defect.UNACCOUNTED)
            tally.skip(Defect.UNACCOUNTED, abs(missing), content=True)
        if self.account.unread:
            tally.skip(Defect.PARTS_LIMIT, self.account.unread, content=True)
        if self._nesting == 0:
            skipped = {defect.value: size for defect, size in tally.skipped.items()} if tally.skipped else NO_BYTES
            events.append(MessageEnded(self._headers or _NO_HEADERS, tally.status, codes(tally.defects), skipped))
        return events

    def _read_again_at_end(self, events: list[MimeEvent]) -> bool:
        """Decide what is still open at the end of the message; True if bytes were put back for that."""
        if self._state is _HEADER and (self._head or self._headers is None):
            self._end_header(events, 0, followed=False)
        elif self._state is _UNDECIDED:
            self._decide(0, events, final=True)
        elif self._state is _SKIP and self._multiparts.count:
            self._guess_boundary(0)
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

    def _read_header(  # noqa: C901, PLR0911, PLR0912 - one loop; a call for each line would slow it down
        self, at: int, events: list[MimeEvent], *, final: bool
    ) -> tuple[int, bool]:
        """Gather lines from `at`; return where it stopped and whether to continue."""
        view = self._view
        if at >= len(view):
            return at, False
        if self._head_begins:
            if view[at] in _ODD_BEGINNINGS:
                begin = self._begin_header(at, final=final)
                if begin is None:
                    return at, False
                at = begin
            self._head_begins = False
        line = at
        if self._inside_line:
            line = view.find(b"\n", at) + 1 or len(view)
            if (cut := self._gather(at, line)) is not None:
                return self._end_header(events, cut), True
            self._inside_line = view[line - 1] != _LF
            at = line
            if self._inside_line:
                return at, False
        # The line end before the header counts if it is in the buffer.
        notable = _NOTABLE.search(view, line - 1) if line else _NOTABLE_AT_ONCE.match(view) or _NOTABLE.search(view)
        while notable is not None:
            line, end = notable.span(1)
            dashes, blanks = line == end, line < end and view[line] not in _LINE_ENDS
            if blanks:
                if len(view) - end < LOOK_AHEAD and not final and view.find(b"\n", end) < 0:
                    return self._gather_to(at, line, events)
                if self._goes_on(end):
                    notable = _NOTABLE.search(view, end - 1)
                    continue
            stop = self._line_end(line, final=final) if dashes else end
            if not stop:
                return self._gather_to(at, line, events)
            if dashes:
                delimiter, stop = self._delimiter(line, stop)
                if delimiter is None and not self._declares(at, line, stop):
                    notable = _NOTABLE.search(view, line)
                    continue
            if (cut := self._gather(at, line)) is not None:
                return self._end_header(events, cut), True
            if dashes:
                return self._end_header_at(delimiter, line, stop, events), True
            if blanks:
                self._tally.defects.add(Defect.BLANKS_END_HEADER)
            return self._end_header(events, end, view[line:end]), True
        return self._gather_lines(at, events, final=final)

    def _begin_header(self, at: int, *, final: bool) -> int | None:
        """Skip a byte order mark and blank lines before a header; None if more bytes are needed to decide."""
        view, begin = self._view, at
        first = view[at]
        if first == BYTE_ORDER_MARK[0] and self._headers is None:
            if not view.startswith(BYTE_ORDER_MARK, at):
                if BYTE_ORDER_MARK.startswith(view[at:]) and not final:
                    return None
            else:
                at += len(BYTE_ORDER_MARK)
                if at == len(view) and not final:
                    return None
                first = view[at] if at < len(view) else 0
        marked = at > begin
        blank = at
        if first in b"\r\n" and self._multiparts.subtype != "digest":
            skipped = skip_leading_blanks(view, at, final=final, part=self._headers is not None)
            if skipped is None:
                return None
            blank = skipped
        if marked:
            self._tally.defects.add(Defect.BYTE_ORDER_MARK)
        if blank > at:
            self._tally.defects.add(Defect.BLANK_BEFORE_HEADER)
        self.account.delimiters += blank - begin
        return blank

    def _goes_on(self, at: int) -> bool:
        """Whether the header goes on after a line of blanks: the next line of another kind decides."""
        view = self._view
        return (
            GOES_ON.match(view, at) is not None
            or view.startswith(b"--", at)
            or _NOTABLE_AT_ONCE.match(view, at) is not None
        )

    def _line_end(self, line: int, *, final: bool) -> int:
        """Return where a line ends that begins at `line`; 0 as long as the rest of it may matter."""
        view = self._view
        end = view.find(b"\n", line) + 1
        return end or (len(view) if final or len(view) - line > _LONGEST_DELIMITER else 0)

    def _delimiter(self, line: int, stop: int, *, exact: bool = False) -> tuple[Delimiter | None, int]:
        """Look up the line from `line` to `stop`, or to a bare CR in it; return what it delimits and its end."""
        text = self._view[line : stop if stop - line <= _LONGEST_DELIMITER else line + _LONGEST_DELIMITER]
        whole = not exact and stop - line <= _LONGEST_DELIMITER
        if whole and (delimiter := self._multiparts.delimiter(text, exact=True)) is not None:
            return delimiter, stop
        cr = text.find(b"\r")
        inside = cr >= 0 and bool(text[cr:].strip(b"\r\n"))
        if exact or inside:
            end = _line_stop(text)
            delimiter = self._multiparts.delimiter(text[:end], exact=True)
            if delimiter is not None:
                self._tally.defects.add(Defect.BARE_CR)
                return delimiter, line + end
            if exact:
                return None, line + end
        return (self._multiparts.delimiter(text) if stop - line <= _LONGEST_DELIMITER else None), stop

    def _declares(self, at: int, line: int, stop: int) -> bool:
        """Whether a line is the delimiter of the multipart that the header itself declares."""
        if self._dashed_lines >= _DASHED_LINES or stop - line > _LONGEST_DELIMITER:
            return False
        self._dashed_lines += 1
        text = self._view[line:stop].strip()
        head = b"".join([*self._head, self._view[at:line]])[: self._limits.header_bytes]
        if len(text) <= len(b"--") or text.removesuffix(b"--")[2:] not in head:
            return False
        fields = split_fields(head, self._limits, set())
        entities = read_entities(fields, self._multiparts.subtype, set())
        delimiters = [b"--" + boundary for entity in entities for boundary in entity.boundaries]
        return text in delimiters or text.removesuffix(b"--") in delimiters

    def _gather_lines(self, at: int, events: list[MimeEvent], *, final: bool) -> tuple[int, bool]:
        """Gather all whole lines. A line that has not ended is held back until it can only be a field's."""
        view = self._view
        last = max(view.rfind(b"\n", at) + 1, at)
        long = final or len(view) - last > _LONGEST_DELIMITER
        stop = len(view) if long else last
        if (cut := self._gather(at, stop)) is not None:
            return self._end_header(events, cut), True
        self._inside_line = long and not final and stop > last
        return stop, False

    def _gather_to(self, at: int, line: int, events: list[MimeEvent]) -> tuple[int, bool]:
        """Gather up to a line that is held back."""
        if (cut := self._gather(at, line)) is not None:
            return self._end_header(events, cut), True
        return line, False

    def _gather(self, begin: int, end: int) -> int | None:
        """Gather header bytes; return where to end the header if it is full and its last lines are no field."""
        room = self._limits.header_bytes - self._head_bytes
        if end - begin <= room:
            if end > begin:
                self._head_bytes += end - begin
                self._head.append(self._view[begin:end])
            return None
        if room > 0:
            self._head_bytes += room
            self._head.append(self._view[begin : begin + room])
        if not self._head_capped:
            head = b"".join(self._head)
            if head[find_gaps(head, self._limits.header_fields).tail :].strip(BLANKS):
                return begin + room
        self._head_capped += end - begin - max(0, room)
        return None

    def _end_header_at(self, delimiter: Delimiter | None, line: int, stop: int, events: list[MimeEvent]) -> int:
        """End a header at a delimiter; None stands for that of the multipart that the header itself declares."""
        if delimiter is None:
            self._tally.defects.add(Defect.HEADER_UNENDED)
            return self._end_header(events, line)
        at = self._end_header(events, line, followed=False)
        return at if at == _AGAIN else self._boundary(delimiter, line, stop, events)

    def _end_header(self, events: list[MimeEvent], at: int, separator: bytes = b"", *, followed: bool = True) -> int:
        """Begin what the gathered header announces; return where to go on.

        Args:
            events: grows.
            at: where the header ends, with the separator.
            separator: the blank line that ends it, if there is one.
            followed: whether content may follow.
        """
        defects: set[Defect] = set()
        head, capped, rest = b"".join(self._head), self._head_capped, b""
        fields = split_fields(head, self._limits, defects)
        self._head, self._head_bytes, self._head_capped, self._dashed_lines = [], 0, 0, 0
        self._inside_line, self._head_begins = False, True
        if fields.has_bare_cr and (ended := self._end_at_bare_cr(head)) is not None:
            self._tally.defects.add(Defect.BARE_CR)
            head, separator, rest = head[: ended[0]], head[ended[0] : ended[1]], head[ended[1] :] + separator
            fields = split_fields(head, self._limits, defects)
        root = self._headers is None
        if self._headers is None:
            self._headers = _NO_HEADERS if self._nesting else make_headers(fields, self._limits, defects)
            if defects:
                self._tally.defects |= defects
                defects = set()
        self._at_line_start = True
        entities = read_entities(fields, self._multiparts.subtype, defects)
        tail = b""
        if fields.line_bytes - len(head) not in (0, 1):
            tail = self._skip_lines(head, fields, entities[0], at_root=root, separated=bool(separator))
        self.account.fields += len(head) - len(tail)
        if capped:
            self.account.skipped_lines += capped
            self._tally.defects.add(Defect.HEADER_CAPPED)
            self._tally.skip(Defect.HEADER_CAPPED, capped, content=True)
        if tail:
            if fields:
                defects.add(Defect.HEADER_UNENDED)
            rest = tail + separator + rest
        else:
            self.account.delimiters += len(separator)
        if rest:
            at = self._read_again(rest, at)
        if len(entities) > 1 and (followed or rest):
            self._rivals, self._state = (entities, defects), _UNDECIDED
        else:
            self._begin(entities[0], defects, events)
        return at

    def _end_at_bare_cr(self, head: bytes) -> tuple[int, int] | None:
        """Return where a header ends, and where content begins, in a part whose lines end with bare CR."""
        for found in _NOTABLE_CR.finditer(head):
            line = found.end()
            if found["blank"] is None:
                text = head[line : line + _LONGEST_DELIMITER]
                if self._multiparts.delimiter(text[: _line_stop(text)], exact=True) is not None:
                    return line, line
            elif not GOES_ON.match(head, line):
                return line - 1, line
        return None

    def _skip_lines(self, head: bytes, fields: Fields, entity: Entity, *, at_root: bool, separated: bool) -> bytes:
        """Account for lines that belong to no field; return those at the end that are content."""
        gaps = find_gaps(head, self._limits.header_fields)
        skipped, tail = gaps.skipped, head[gaps.tail :]
        lines = tail.strip(BLANKS)
        # A single odd line at the end of a message's header is not taken for its text.
        odd = separated and at_root and len(fields) > 0 and b"\n" not in lines and b"\r" not in lines
        if lines and (odd or not entity.may_hold(lines)):
            skipped, tail = [*skipped, tail], b""
        if not lines:
            tail = b""
        size = sum(len(lines.translate(None, BLANKS)) for lines in skipped)
        if size:
            self._tally.defects.add(Defect.HEADER_LINES)
            self._tally.skip(Defect.HEADER_LINES, size, content=any(map(looks_like_content, skipped)))
        if gaps.capped:
            self._tally.skip(Defect.HEADER_CAPPED, gaps.capped, content=True)
        skipped_bytes = gaps.capped + sum(map(len, skipped))
        self.account.skipped_lines += skipped_bytes
        self.account.fields -= skipped_bytes
        return tail

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
            self._state, self._in_epilogue = _SKIP, False

    # --- LEAF and SKIP ----------------------------------------------------------------------------------------------

    def _read_body(  # noqa: C901, PLR0911, PLR0912 - one loop; a call for each line would slow it down
        self, at: int, events: list[MimeEvent], *, final: bool
    ) -> tuple[int, bool]:
        """Emit bytes from `at` up to the next delimiter; returns as `_read_header`."""
        view, begin = self._view, at
        if not self._multiparts.count:
            return self._hand_out(begin, len(view), events), False
        if self._outside is not None and not self._outside.room and self._may_guess():
            return self._end_preamble(at, events), True
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
                    bare = view.find(self._multiparts.after_cr, at, newline if newline >= 0 else len(view))
                if newline < 0 and bare < 0:
                    stop = len(view) - (0 if final else self._held_back(begin))
                    handed = self._hand_out(begin, stop, events)
                    return handed, handed < stop
                exact = bare >= 0
                line = (bare if exact else newline) + 1
            if exact:
                end = min(line + _LONGEST_DELIMITER, len(view))
                # A CR at the very end may be half of a line end.
                if end - line < _LONGEST_DELIMITER and not final and line + _line_stop(view[line:end]) >= end:
                    end = 0
            else:
                end = view.find(b"\n", line) + 1 or self._line_end(line, final=final)
            if not end:
                return self._hand_out(begin, self._before_line_end(begin, line), events), False
            if self._leaf is None and self._fills_preamble(self._before_line_end(begin, line) - begin):
                # The preamble is full before this line, so it is text; the line is looked up after that.
                return self._hand_out(begin, self._before_line_end(begin, line), events), True
            found, stop = self._delimiter(line, end, exact=exact)
            if found is not None:
                before = self._before_line_end(begin, line) if line > begin else begin
                handed = self._hand_out(begin, before, events) if before > begin else begin
                if handed < before:
                    return handed, True
                if (
                    self._outside is not None
                    and self._ends_preamble(found)
                    and self._end_preamble(before, events) == _AGAIN
                ):
                    return _AGAIN, False
                self.account.delimiters += line - before
                return self._boundary(found, line, stop, events), True
            at, line = line + 1, -1

    def _held_back(self, begin: int) -> int:
        """Return how many bytes at the end may be the beginning of a line end and two hyphens."""
        rest = self._view[max(begin, len(self._view) - 3) :]
        if rest == b"-" and self._at_line_start:
            return 1
        tails = (b"\r\n-", b"\r\n", b"\n-", b"\n", b"\r-", b"\r")
        return next((len(tail) for tail in tails if rest.endswith(tail)), 0)

    def _before_line_end(self, begin: int, line: int) -> int:
        """Return where the bytes before a delimiter line end: the line end belongs to the delimiter."""
        if line <= begin:
            return line
        crlf = line - 1 > begin and self._view[line - 1] == _LF and self._view[line - 2] == _CR
        return line - 2 if crlf else line - 1

    def _hand_out(self, begin: int, stop: int, events: list[MimeEvent]) -> int:
        """Emit or skip bytes; return where it stopped, before `stop` if a preamble is full."""
        if stop > begin:
            if self._leaf is not None:
                self._leaf.feed(self._buffer[begin:stop], events)
                self.account.leaves += stop - begin
            else:
                self._outside = self._outside or OutsideText()
                if self._may_guess():
                    stop = min(stop, begin + self._outside.room)
                self._outside.feed(self._buffer[begin:stop])
                if self._in_epilogue:
                    self.account.epilogues += stop - begin
                else:
                    self.account.preambles += stop - begin
            self._at_line_start = self._view[stop - 1] == _LF
        return stop

    def _boundary(self, found: Delimiter, line: int, stop: int, events: list[MimeEvent]) -> int:
        """Act on the delimiter line from `line` to `stop`."""
        self.account.delimiters += stop - line
        if found.junk:
            self._tally.defects.add(Defect.DELIMITER_JUNK)
            size = len(found.junk.translate(None, BLANKS))
            self._tally.skip(Defect.DELIMITER_JUNK, size, content=_WORDS.search(found.junk) is not None)
        if self._leaf is not None:
            self._end_leaf(events)
        if found.level < self._multiparts.count - 1:
            self._tally.defects.add(Defect.TRUNCATED)
            self._close_multiparts(found.level + 1, events)
        if found.closing:
            self._close_multiparts(found.level, events)
            self._state = _SKIP
        else:
            if self._outside is not None:
                self._end_outside()
            self._state = _HEADER if self._tally.count_part() else _FULL
        self._at_line_start = True
        return stop

    def _close_multiparts(self, level: int, events: list[MimeEvent]) -> None:
        if self._state is _SKIP and self._may_guess():
            self._emit_preamble(events)
        self._end_outside()
        self._multiparts.close_to(level)
        self._in_epilogue = True

    def _fills_preamble(self, size: int) -> bool:
        """Whether so many more bytes are too many to keep of the preamble of a multipart without a part."""
        return self._may_guess() and size > (HELD if self._outside is None else self._outside.room)

    # --- a multipart whose boundary does not occur ------------------------------------------------------------------

    def _may_guess(self) -> bool:
        """Whether the text outside is the preamble of a multipart whose boundary has not occurred."""
        return self._multiparts.count > 0 and self._multiparts.is_unmet and not self._in_epilogue

    def _ends_preamble(self, found: Delimiter) -> bool:
        """Whether a delimiter ends a multipart without any part, so that its preamble has to be read otherwise."""
        if self._state is not _SKIP or self._in_epilogue or not self._multiparts.is_empty:
            return False
        return found.level < self._multiparts.count - 1 or found.closing

    def _guess_boundary(self, at: int) -> None:
        """At the end of the message: read a preamble again, with a guessed boundary."""
        if self._outside is not None and self._may_guess() and not self._multiparts.is_guessed:
            boundary = self._outside.guess_boundary()
            if boundary is not None:
                self._read_guessed(boundary, at)

    def _read_guessed(self, boundary: bytes, at: int) -> int:
        assert self._outside is not None
        self._tally.defects.add(Defect.BOUNDARY_GUESSED)
        self._multiparts.guess(boundary)
        return self._take_back(at)

    def _take_back(self, at: int) -> int:
        """Put a preamble back; it is complete, since it ends when it is full."""
        assert self._outside is not None
        held, self._outside = bytes(self._outside.beginning), None
        self.account.preambles -= len(held)
        self._at_line_start = True
        return self._read_again(held, at)

    def _end_preamble(self, at: int, events: list[MimeEvent]) -> int:
        """Read a preamble again if no part follows: as parts, as one part, or as text; return where to go on."""
        assert self._outside is not None
        met = not self._multiparts.is_unmet
        boundary = None if met or self._multiparts.is_guessed else self._outside.guess_boundary()
        if boundary is not None:
            return self._read_guessed(boundary, at)
        if not self._outside.room:
            at = self._take_back(at)
            self._begin_leaf(PLAIN_TEXT, {Defect.BOUNDARY_ABSENT}, events)
        elif met and self._outside.begins_with_field() and self._tally.count_part():
            # Its first delimiter is missing.
            self._tally.defects.add(Defect.DELIMITER_MISSING)
            at, self._state = self._take_back(at), _HEADER
        elif self._outside.size:
            self._emit_preamble(events, Defect.DELIMITER_MISSING if met else Defect.BOUNDARY_ABSENT)
        return at

    def _emit_preamble(self, events: list[MimeEvent], defect: Defect = Defect.BOUNDARY_ABSENT) -> None:
        """Emit a preamble as a text: no part came, so it is the only content."""
        outside, defects = self._outside, {defect}
        if outside is None or not outside.size:
            self._tally.defects |= defects
            return
        self._outside = None
        size = len(outside.beginning)
        self.account.preambles -= size
        self.account.leaves += size
        self._begin_leaf(PLAIN_TEXT, defects, events)
        if self._leaf is not None:
            self._leaf.feed(bytes(outside.beginning), events)
        self._end_leaf(events)
        self._state = _SKIP

    def _end_outside(self) -> None:
        outside, self._outside = self._outside, None
        if outside is not None and outside.size:
            if outside.holds_fields:
                self._tally.defects.add(Defect.HEADERS_OUTSIDE)
            self._tally.defects.add(Defect.TEXT_OUTSIDE)
            content = outside.looks_like_content(preamble=not self._in_epilogue)
            self._tally.skip(Defect.TEXT_OUTSIDE, outside.size, content=content)

    # --- leaves -----------------------------------------------------------------------------------------------------

    def _begin_leaf(self, entity: Entity, defects: set[Defect], events: list[MimeEvent]) -> None:
        self._state = _LEAF
        path, kind = self._multiparts.next_path(), entity.body_kind
        decoder = decoder_for(entity.encoding, entity.media_type)
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
            skipped = self._leaf.decoder.skipped
            if skipped:
                for defect, size in skipped.items():
                    self._tally.skip(defect, size, content=size >= _CONTENT_BYTES)
            self._leaf = None


def _line_stop(text: bytes) -> int:
    """Return where the first line ends, whichever line end it has."""
    found = _LINE_END.search(text)
    return found.end() if found is not None else len(text)
