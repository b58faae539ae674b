"""Find where the header of a part ends, in a stream of bytes.

A header ends at a blank line, at a delimiter, or at the delimiter that it declares itself. A line of blanks ends it
unless a field or a continuation follows. Nearly all headers are in order and in the buffer as a whole: the scanner
reads those with one expression. The others are gathered here line by line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from ingest.mime.defects import Defect
from ingest.mime.entity import read_entities
from ingest.mime.fields import mime_fields, split_fields
from ingest.mime.header_lines import BYTE_ORDER_MARK, GOES_ON, LOOK_AHEAD, find_gaps, skip_leading_blanks
from ingest.mime.lines import BLANKS, LONGEST_LINE, line_end

if TYPE_CHECKING:
    from ingest.mime.account import Account
    from ingest.mime.limits import MimeLimits
    from ingest.mime.multiparts import Delimiter, Multiparts
    from ingest.mime.tally import Tally

_LF: Final = 0x0A
_LINE_ENDS: Final = b"\r\n"
# A blank line, the beginning of what may be a delimiter, or a line of blanks, after a line end or at the beginning.
_LINE: Final = rb"(\r{0,1023}+\n|(?=--)|[ \t\x0b\x0c\x00\xa0\xc2]{1,500}+\r{0,500}+\n)"
_NOTABLE: Final = re.compile(rb"\n" + _LINE)
_NOTABLE_AT_ONCE: Final = re.compile(_LINE)
_DASHED_LINES: Final = 16  # of one header, that may be the delimiter it declares
ODD_BEGINNINGS: Final = b"\r\n" + BYTE_ORDER_MARK[:1]


class HeaderEnd(NamedTuple):
    """A gathered header.

    Attributes:
        at: where it ends in the view, with its separator.
        head: its bytes, up to the limit.
        capped: how many bytes are beyond the limit.
        separator: the blank line that ends it, if there is one.
        followed: whether content may follow.
        delimiter: what ends it, if it is a delimiter of an open multipart, which is the line from `at` to `stop`.
        stop: see `delimiter`.
    """

    at: int
    head: bytes
    capped: int
    separator: bytes = b""
    followed: bool = True
    delimiter: Delimiter | None = None
    stop: int = 0


class HeaderReader:
    """Gathers the lines of one header after another.

    Attributes:
        is_new: nothing of the current header has been read.
    """

    __slots__ = (
        *("_account", "_capped", "_dashed_lines", "_head", "_head_bytes", "_inside_line", "_limits", "_multiparts"),
        *("_tally", "is_new"),
    )

    def __init__(self, limits: MimeLimits, multiparts: Multiparts, tally: Tally, account: Account) -> None:
        self._limits, self._multiparts, self._tally, self._account = limits, multiparts, tally, account
        self._head: list[bytes] = []
        self._head_bytes = self._capped = self._dashed_lines = 0
        self._inside_line = False
        self.is_new = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing was gathered."""
        return not self._head

    def begin(self, view: bytes, at: int, *, final: bool, root: bool) -> int | None:
        """Skip a byte order mark and blank lines before a header; None if more bytes are needed to decide."""
        begin = at
        first = view[at]
        if first == BYTE_ORDER_MARK[0] and root:
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
            skipped = skip_leading_blanks(view, at, final=final, part=not root)
            if skipped is None:
                return None
            blank = skipped
        if marked:
            self._tally.defects.add(Defect.BYTE_ORDER_MARK)
        if blank > at:
            self._tally.defects.add(Defect.BLANK_BEFORE_HEADER)
        self._account.delimiters += blank - begin
        return blank

    def read(self, view: bytes, at: int, *, final: bool) -> HeaderEnd | int:  # noqa: C901, PLR0911 - one loop
        """Gather lines from `at`; returns the header once it has ended, else up to where bytes were gathered."""
        self.is_new = False
        line = at
        if self._inside_line:
            line = view.find(b"\n", at) + 1 or len(view)
            if (cut := self._gather(view, at, line)) is not None:
                return self._ended(cut)
            self._inside_line = view[line - 1] != _LF
            at = line
            if self._inside_line:
                return at
        # The line end before the header counts if it is in the buffer.
        notable = _NOTABLE.search(view, line - 1) if line else _NOTABLE_AT_ONCE.match(view) or _NOTABLE.search(view)
        while notable is not None:
            line, end = notable.span(1)
            if line == end:
                found = self._end_at_delimiter(view, at, line, final=final)
                if found is not None:
                    return found
                notable = _NOTABLE.search(view, line)
                continue
            blanks = view[line] not in _LINE_ENDS
            if blanks:
                if len(view) - end < LOOK_AHEAD and not final and view.find(b"\n", end) < 0:
                    return self._gather_to(view, at, line)
                if _goes_on(view, end):
                    notable = _NOTABLE.search(view, end - 1)
                    continue
            if (cut := self._gather(view, at, line)) is not None:
                return self._ended(cut)
            if blanks:
                self._tally.defects.add(Defect.BLANKS_END_HEADER)
            return self._ended(end, view[line:end])
        return self._gather_lines(view, at, final=final)

    def end(self) -> HeaderEnd:
        """End the header at the end of the message."""
        return self._ended(0, followed=False)

    def _ended(
        self,
        at: int,
        separator: bytes = b"",
        *,
        followed: bool = True,
        delimiter: Delimiter | None = None,
        stop: int = 0,
    ) -> HeaderEnd:
        ended = HeaderEnd(at, b"".join(self._head), self._capped, separator, followed, delimiter, stop)
        self._head, self._head_bytes, self._capped, self._dashed_lines = [], 0, 0, 0
        self._inside_line, self.is_new = False, True
        return ended

    def _end_at_delimiter(self, view: bytes, at: int, line: int, *, final: bool) -> HeaderEnd | int | None:
        """End the header at the line from `line` if it is a delimiter; returns None if it is not."""
        stop = line_end(view, line, final=final)
        if not stop:
            return self._gather_to(view, at, line)
        delimiter, stop = self._multiparts.find(view, line, stop, self._tally.defects)
        if delimiter is None and not self._declares(view, at, line, stop):
            return None
        if (cut := self._gather(view, at, line)) is not None:
            return self._ended(cut)
        if delimiter is None:
            self._tally.defects.add(Defect.HEADER_UNENDED)
            return self._ended(line)
        return self._ended(line, followed=False, delimiter=delimiter, stop=stop)

    def _declares(self, view: bytes, at: int, line: int, stop: int) -> bool:
        """Whether a line is the delimiter of the multipart that the header itself declares."""
        if self._dashed_lines >= _DASHED_LINES or stop - line > LONGEST_LINE:
            return False
        self._dashed_lines += 1
        text = view[line:stop].strip()
        head = b"".join([*self._head, view[at:line]])[: self._limits.header_bytes]
        if len(text) <= len(b"--") or text.removesuffix(b"--")[2:] not in head:
            return False
        fields = split_fields(head, self._limits, set())
        entities = read_entities(mime_fields(fields), self._multiparts.subtype, set())
        delimiters = [b"--" + boundary.rstrip() for entity in entities for boundary in entity.boundaries]
        return text in delimiters or text.removesuffix(b"--") in delimiters

    def _gather_lines(self, view: bytes, at: int, *, final: bool) -> HeaderEnd | int:
        """Gather all whole lines. A line that has not ended is held back until it can only be a field's."""
        last = max(view.rfind(b"\n", at) + 1, at)
        long = final or len(view) - last > LONGEST_LINE
        stop = len(view) if long else last
        if (cut := self._gather(view, at, stop)) is not None:
            return self._ended(cut)
        self._inside_line = long and not final and stop > last
        return stop

    def _gather_to(self, view: bytes, at: int, line: int) -> HeaderEnd | int:
        """Gather up to a line that is held back."""
        cut = self._gather(view, at, line)
        return line if cut is None else self._ended(cut)

    def _gather(self, view: bytes, begin: int, end: int) -> int | None:
        """Gather header bytes; return where to end the header if it is full and its last lines are no field."""
        room = self._limits.header_bytes - self._head_bytes
        if end - begin <= room:
            if end > begin:
                self._head_bytes += end - begin
                self._head.append(view[begin:end])
            return None
        if room > 0:
            self._head_bytes += room
            self._head.append(view[begin : begin + room])
        if not self._capped:
            head = b"".join(self._head)
            if head[find_gaps(head, self._limits.header_fields).tail :].strip(BLANKS):
                return begin + room
        self._capped += end - begin - max(0, room)
        return None


def _goes_on(view: bytes, at: int) -> bool:
    """Whether the header goes on after a line of blanks: the next line of another kind decides."""
    return (
        GOES_ON.match(view, at) is not None
        or view.startswith(b"--", at)
        or _NOTABLE_AT_ONCE.match(view, at) is not None
    )
