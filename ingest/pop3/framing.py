r"""Multi-line answers: finding their end and removing the stuffed dots.

Only CRLF ends a line (RFC 1939 section 3). `\n.\n` and `\r.\n` are therefore data; poplib and others end a message
there and lose the rest. Data is not split into lines: one search finds the next leading dot, another the end, and a
single replace removes all stuffed dots of a chunk.
"""

from __future__ import annotations

from ingest.errors import MaildropProtocolError

_END = b"\r\n.\r\n"
_DOT = b"\r\n."
_STUFFED = b"\r\n.."


class DotFraming:
    """Extracts the bytes of one multi-line answer from a buffer.

    The CRLF of the status line counts as the CRLF before the first line, so an empty answer ends like any other: the
    first buffer begins with that CRLF, which is not returned as data.

    Attributes:
        ended: the terminating line has been read.
        unstuffed: a line began with a single dot that the server should have doubled. The dot is removed, because it
            cannot be distinguished from a stuffed one.
    """

    __slots__ = ("_owed", "ended", "unstuffed")

    def __init__(self) -> None:
        self.ended = False
        self.unstuffed = False
        self._owed = len(b"\r\n")

    def take(self, buffer: bytes, at: int) -> tuple[bytes, int]:
        """Return unstuffed bytes from `buffer[at:]` and the position up to which the buffer was consumed.

        Up to four bytes remain if they may begin the terminator; pass them again, followed by more.
        """
        dot = buffer.find(_DOT, at)
        end = buffer.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            self.ended = True
            stop, used = end + len(b"\r\n"), end + len(_END)
        else:
            stop = used = len(buffer) - _held_back(buffer, at)
        data = buffer[at:stop]
        if 0 <= dot <= stop - len(_DOT):
            data = self._without_dots(data)
        if self._owed and data:
            data, self._owed = data[self._owed :], 0
        return data, used

    def _without_dots(self, data: bytes) -> bytes:
        without = data.replace(_DOT, b"\r\n")
        if len(data) - len(without) != data.count(_STUFFED):
            self.unstuffed = True
        return without


def _held_back(buffer: bytes, at: int) -> int:
    """Return how many bytes at the end of the buffer may be the beginning of `_END`."""
    if not buffer or buffer[-1] not in _END:
        return 0
    for count in range(len(_END) - 1, 0, -1):
        if buffer.endswith(_END[:count], at):
            return count
    return 0


class RowSplitter:
    """Splits the chunks of a listing into rows, within limits.

    Args:
        rows: maximum number of rows.
        size: maximum length of a row in bytes.
    """

    __slots__ = ("_bytes", "_count", "_rest", "_rows")

    def __init__(self, rows: int, size: int) -> None:
        self._rows = rows
        self._bytes = size
        self._count = 0
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the complete rows, without their CRLF.

        Raises:
            MaildropProtocolError: a row or the listing exceeds its limit.
        """
        *rows, self._rest = (self._rest + chunk).split(b"\r\n")
        self._count += len(rows)
        if self._count > self._rows:
            raise MaildropProtocolError(f"The server lists more than {self._rows} rows.")
        if max(map(len, (*rows, self._rest))) > self._bytes:
            raise MaildropProtocolError(f"The server sent a row of more than {self._bytes} bytes in a listing.")
        return rows
