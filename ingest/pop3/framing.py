r"""Multi-line answers: where they end, and which dots are the server's.

Only CRLF ends a line (RFC 1939 section 3). `\n.\n` and `\r.\n` are therefore data; poplib and others end a message
there and lose the rest. Nothing is split into lines: one search finds the next dot that begins a line, one the end,
and one replace takes out the dots of a whole chunk.
"""

from __future__ import annotations

from ingest.errors import MaildropProtocolError

_END = b"\r\n.\r\n"
_DOT = b"\r\n."
_STUFFED = b"\r\n.."


class DotFraming:
    """Takes the octets of one multi-line answer out of a buffer.

    The CRLF of the status line counts as the CRLF before the first line, so an answer without lines ends like any
    other: the buffer given first begins with that CRLF, which is not handed out.

    Attributes:
        ended: the end has been taken.
        unstuffed: a line began with a single dot, which the server should have doubled. The dot is lost: it cannot
            be told from a stuffed one.
    """

    __slots__ = ("_owed", "ended", "unstuffed")

    def __init__(self) -> None:
        self.ended = False
        self.unstuffed = False
        self._owed = len(b"\r\n")

    def take(self, buffer: bytes, at: int) -> tuple[bytes, int]:
        """Unstuffed octets from `buffer[at:]`, and the position up to which the buffer is used up.

        At most four octets are left, when they may be the beginning of the end; give them again, followed by more.
        """
        dot = buffer.find(_DOT, at)
        end = buffer.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            self.ended = True
            stop, used = end + len(b"\r\n"), end + len(_END)
        else:
            stop = used = len(buffer) - _held_back(buffer, at)
        octets = buffer[at:stop]
        if 0 <= dot <= stop - len(_DOT):
            octets = self._without_dots(octets)
        if self._owed and octets:
            octets, self._owed = octets[self._owed :], 0
        return octets, used

    def _without_dots(self, octets: bytes) -> bytes:
        if octets.count(_DOT) != octets.count(_STUFFED):
            self.unstuffed = True
        return octets.replace(_DOT, b"\r\n")


def _held_back(buffer: bytes, at: int) -> int:
    """How many octets at the buffer's end may be the beginning of `_END`."""
    for count in range(len(_END) - 1, 0, -1):
        if buffer.endswith(_END[:count], at):
            return count
    return 0


class RowSplitter:
    """Rows of a listing out of its chunks, within limits.

    Args:
        rows: how many there may be.
        octets: how long each may be.
    """

    __slots__ = ("_count", "_octets", "_rest", "_rows")

    def __init__(self, rows: int, octets: int) -> None:
        self._rows = rows
        self._octets = octets
        self._count = 0
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The rows that are complete, without their CRLF.

        Raises:
            MaildropProtocolError: a row, or the listing, is longer than it may be.
        """
        *rows, self._rest = (self._rest + chunk).split(b"\r\n")
        self._count += len(rows)
        if self._count > self._rows:
            raise MaildropProtocolError(f"The server lists more than {self._rows} rows.")
        if max(map(len, (*rows, self._rest))) > self._octets:
            raise MaildropProtocolError(f"The server sent a row of more than {self._octets} octets in a listing.")
        return rows
