"""Bytes that are taken in the amounts a format says, from chunks of any size; and what readers say of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ingest.mime.defects import Defect


class BrokenError(Exception):
    """What is read is none of its format, ends early, or says that something is longer than what it is in."""


class FileEnd(NamedTuple):
    """The bytes before it were one file. Its name comes last because TNEF writes it behind the bytes.

    Attributes:
        filename: decoded but not yet made safe; None where none was given.
        declared_type: lower case `type/subtype`.
        content_id: without angle brackets.
        defects: of the file.
    """

    filename: str | None = None
    declared_type: str = "application/octet-stream"
    content_id: str | None = None
    defects: frozenset[Defect] = frozenset()


# What a reader gives: the bytes of a file in pieces, then its end, then those of the next.
FileEvent = bytes | FileEnd


class ByteStream:
    """Reads forward, keeping one chunk.

    Args:
        chunks: pieces of any size.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer, self._at = b"", 0
        self._dropped = 0  # bytes before the buffer

    @property
    def position(self) -> int:
        """How many bytes were taken."""
        return self._dropped + self._at

    def at_end(self) -> bool:
        """Whether there are no more."""
        try:
            while self._at == len(self._buffer):
                self._refill()
        except BrokenError:
            return True
        return False

    def take(self, size: int) -> bytes:
        """So many of the next bytes, few enough to keep.

        Raises:
            BrokenError: there are not as many.
        """
        while len(self._buffer) - self._at < size:
            self._refill()
        taken = self._buffer[self._at : self._at + size]
        self._at += size
        return taken

    def pieces(self, size: int) -> Iterator[bytes]:
        """So many of the next bytes, as they come.

        Raises:
            BrokenError: there are not as many; those that there are have been given.
        """
        while size:
            if self._at == len(self._buffer):
                self._refill()
            piece = self._buffer[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            if piece:
                yield piece

    def _refill(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise BrokenError
        self._dropped += self._at
        self._buffer, self._at = self._buffer[self._at :] + chunk, 0
