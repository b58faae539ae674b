"""Unfold `format=flowed` text (RFC 3676): lines that end with a blank go on in the next one.

Bytes in, bytes out, line by line, so that a paragraph of any length takes no memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_SIGNATURE = b"-- "  # is not flowed, although it ends with a blank (RFC 3676 section 4.3)
_LONGEST_LINE = 65_536  # a longer one is read in pieces
_BLOCK_BYTES = 65_536


def unfold(file: BinaryIO, *, delsp: bool) -> Iterator[bytes]:
    """Yield the text with whole paragraphs as lines, in blocks of some 64 KiB.

    Quoted paragraphs get one `>` for each level and a blank. Line ends are those of the last line of a paragraph.

    Args:
        file: the text, from its start.
        delsp: whether the blank at the end of a flowed line is not part of the text (section 4.1).
    """
    text = _Unfolding(delsp=delsp)
    while line := file.readline(_LONGEST_LINE):
        text.feed(line)
        if len(text.written) >= _BLOCK_BYTES:
            yield bytes(text.written)
            text.written.clear()
    text.close()
    if text.written:
        yield bytes(text.written)


class _Unfolding:
    """The paragraph that is being written.

    Attributes:
        written: output that was not yielded yet.
    """

    def __init__(self, *, delsp: bool) -> None:
        self._delsp = delsp
        self._depth: int | None = None  # of quotation, of the flowed line before; None after a fixed one
        self._end = b"\n"  # of that line
        self._in_line = False  # whether the last piece had no line end
        self.written = bytearray()

    def feed(self, line: bytes) -> None:
        """Write a line, or a piece of a very long one."""
        content = line.rstrip(b"\r\n") if line.endswith(b"\n") else line
        end = line[len(content) :]
        if self._in_line:
            self._write(content, end)
            return
        unquoted = content.lstrip(b">")
        depth = len(content) - len(unquoted)
        text = unquoted[1:] if unquoted.startswith(b" ") else unquoted
        is_signature = text == _SIGNATURE
        if self._depth is not None and (is_signature or self._depth != depth):
            self._break()  # flowed into something else, which section 4.5 does not allow
        if self._depth is None and depth:
            self.written += b">" * depth + (b" " if text else b"")
        self._depth = depth
        self._write(text, end, fixed=is_signature)

    def close(self) -> None:
        """End a paragraph that the text ends in."""
        if self._depth is not None and not self._in_line:
            self._break()

    def _write(self, text: bytes, end: bytes, *, fixed: bool = False) -> None:
        self._in_line = not end
        if end and not fixed and text.endswith(b" "):
            self.written += text[:-1] if self._delsp else text
            self._end = end
            return
        self.written += text + end
        if end:
            self._depth = None

    def _break(self) -> None:
        self.written += self._end
        self._depth = None
