"""The bytes of a message that are being read, detection of its line ends, and a view in which lines end with LF."""

from __future__ import annotations

import re
from typing import Final

# A longer line is neither blank nor a delimiter, so no more than this is held back: RFC 2046 allows 70 characters in
# a boundary; longer ones occur, and blanks may follow.
LONGEST_LINE: Final = 1024
_ANY_LINE_END: Final = re.compile(rb"\r\n?|\n")
# Also bytes that programs write where they mean a blank.
BLANKS: Final = b"\0\t\n\v\f\r \xa0"
_LF: Final = 0x0A
_CR: Final = 0x0D
_PIECE: Final = 1024  # bytes to read again at a time
_TAILS: Final = (b"\r\n-", b"\r\n", b"\n-", b"\n", b"\r-", b"\r")
_BARE_CR: Final = re.compile(rb"\r(?!\n)")
_RUN: Final = re.compile(rb"(\r++)(.)?", re.DOTALL)


class LineEnds:
    """CRLF and LF end lines, also mixed; a bare CR does too if the first line ends with one."""

    __slots__ = ("_bare_cr",)

    def __init__(self) -> None:
        self._bare_cr: bool | None = None

    def view(self, data: bytes, *, final: bool) -> bytes | None:
        """Return the bytes with LF in place of each bare CR that ends a line; None if that is still undecided.

        The view has the same length, except that a CR at the very end is left out until the next byte is known.
        """
        if self._bare_cr is None and not self._detect(data) and not final:
            return None
        if not self._bare_cr:
            return data
        known = data if final else data.removesuffix(b"\r")
        return _BARE_CR.sub(b"\n", known) if b"\n" in known else known.replace(b"\r", b"\n")

    def _detect(self, data: bytes) -> bool:
        """Look at the first line end; False if it is incomplete. True also if there is none yet."""
        newline = data.find(b"\n")
        cr = data.find(b"\r", 0, newline if newline >= 0 else len(data))
        if cr < 0 or cr == newline - 1:
            self._bare_cr = False if newline >= 0 else None
            return True
        run = _RUN.match(data, cr)
        assert run is not None  # there is a CR at this position
        if len(run[1]) > LONGEST_LINE:
            self._bare_cr = False
            return True
        self._bare_cr = None if run[2] is None else run[2] != b"\n"
        return run[2] is not None


class Buffer:
    """The bytes of a message that were fed and not yet read, among them those put back to be read again.

    Attributes:
        data: the bytes.
        view: the same, in lines that end with LF; see `LineEnds`.
        again: bytes to be read again behind `data`, the first ones last.
    """

    __slots__ = ("_line_ends", "again", "data", "view")

    def __init__(self) -> None:
        self.data = self.view = b""
        self._line_ends = LineEnds()
        self.again: list[memoryview] = []

    def show(self, *, final: bool) -> bool:
        """Make the view; False as long as it is not known what ends the lines."""
        view = self._line_ends.view(self.data, final=final and not self.again)
        self.view = view or b""
        return view is not None

    def put_back(self, data: bytes, at: int) -> None:
        """Put bytes before those from `at`, to be read again from their beginning."""
        self.again += [memoryview(self.data)[at:], memoryview(data)]
        self.data = self.view = b""

    def refill(self, at: int) -> None:
        """Take over bytes that were put back, in small pieces, behind those from `at`."""
        data = self.again.pop()
        self.data = self.data[at:] + data[:_PIECE]
        if len(data) > _PIECE:
            self.again.append(data[_PIECE:])


def line_end(view: bytes, line: int, *, final: bool) -> int:
    """Return where a line ends that begins at `line`; 0 as long as the rest of it may matter."""
    end = view.find(b"\n", line) + 1
    return end or (len(view) if final or len(view) - line > LONGEST_LINE else 0)


def first_line_end(text: bytes) -> int:
    """Return where the first line ends, whichever line end it has."""
    found = _ANY_LINE_END.search(text)
    return found.end() if found is not None else len(text)


def before_line_end(view: bytes, begin: int, line: int) -> int:
    """Return where the bytes from `begin` end before a delimiter line: the line end before it belongs to it."""
    if line <= begin:
        return line
    crlf = line - 1 > begin and view[line - 1] == _LF and view[line - 2] == _CR
    return line - 2 if crlf else line - 1


def held_back(view: bytes, begin: int, after_cr: bytes, *, whole_line: bool) -> int:
    """Return how many bytes at the end may be the beginning of a line end and a delimiter.

    Args:
        view: the bytes.
        begin: where those that are not yet emitted begin.
        after_cr: a bare CR and the beginning of the delimiter that may follow it.
        whole_line: whether a line begins at `begin`.
    """
    rest = view[max(begin, len(view) - len(after_cr)) :]
    if rest == b"-" and whole_line:
        return 1
    at = rest.rfind(b"\r--")
    if at >= 0 and after_cr.startswith(rest[at:]):
        return len(rest) - at
    return next((len(tail) for tail in _TAILS if rest.endswith(tail)), 0)
