"""A forward-only byte reader over chunks of any size, and the events that container readers yield."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ingest.domain.manifest import BodyKind
    from ingest.mime.defects import Defect


class BrokenError(Exception):
    """The data is not of the expected format, ends early, or declares a length beyond its container."""


class FileEnd(NamedTuple):
    """Ends the file whose bytes came before. The name comes last because TNEF writes it after the bytes.

    Attributes:
        filename: decoded but not yet made safe; None if none was given.
        declared_type: lower case `type/subtype`.
        content_id: without angle brackets.
        defects: of the file.
        body: for a text of the message that the container is, and not a file in it, its kind.
        charset: the label of the charset of such a text.
        location: its path inside the container, if it is in a folder there.
    """

    filename: str | None = None
    declared_type: str = "application/octet-stream"
    content_id: str | None = None
    defects: frozenset[Defect] = frozenset()
    body: BodyKind | None = None
    charset: str | None = None
    location: str | None = None


# What a reader yields: the bytes of a file in pieces, then its end, then the next file.
FileEvent = bytes | FileEnd


class ByteStream:
    """Reads forward, keeping one chunk in memory.

    Args:
        chunks: pieces of any size.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer, self._at = b"", 0
        self._dropped = 0  # bytes before the buffer

    @property
    def position(self) -> int:
        """Return how many bytes have been read."""
        return self._dropped + self._at

    def at_end(self) -> bool:
        """Return whether no byte is left."""
        try:
            while self._at == len(self._buffer):
                self._refill()
        except BrokenError:
            return True
        return False

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes; for small sizes, since they are kept in memory.

        Raises:
            BrokenError: fewer bytes are left.
        """
        while len(self._buffer) - self._at < size:
            self._refill()
        taken = self._buffer[self._at : self._at + size]
        self._at += size
        return taken

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes in pieces.

        Raises:
            BrokenError: fewer bytes are left; those have been yielded.
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
