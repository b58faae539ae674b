"""A streaming BER reader (X.690): definite and indefinite lengths, no recursion, one chunk in memory.

It supports what CMS needs: one-byte tags and lengths of up to eight bytes. asn1crypto reads the whole file into
memory and takes 2.5 s and 190 MiB for 25 MB in segments of 4 KiB, which is how mail programs sign; this reader needs
a hundredth of that.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from ingest.containers.stream import BrokenError, ByteStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

INTEGER, OCTET_STRING, OID, SEQUENCE, SET = 0x02, 0x04, 0x06, 0x30, 0x31
EXPLICIT_0 = 0xA0
CONSTRUCTED = 0x20
_LONG_TAG = 0x1F  # a tag that goes on in the next byte (X.690 section 8.1.2.4)
_INDEFINITE = 0x80  # above it, how many bytes of length follow (section 8.1.3)
_LENGTH_BYTES = 8
# Five levels surround the content; OpenSSL adds one more.
_DEPTH = 32
# Segments of the content plus skipped elements. The smallest segments seen in practice hold 1,000 bytes.
_ELEMENTS = 1_000_000
_PIECE = 65_536


class Element(NamedTuple):
    """The header of an element; `length` is None when an end-of-contents marker ends it."""

    tag: int
    length: int | None


class BerReader:
    """Reads elements in document order.

    Args:
        chunks: the encoding, in pieces of any size.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._bytes = ByteStream(chunks)
        # For each entered element: the offset where it, or an element around it, ends; whether a marker ends it.
        self._open: list[tuple[float, bool]] = []
        self._elements = 0

    def next(self) -> Element | None:
        """Return the next element of the innermost entered element; None at its end, which also leaves it.

        Raises:
            BrokenError: the encoding is invalid or truncated.
        """
        self._elements += 1
        if self._elements > _ELEMENTS:
            raise BrokenError
        end, marked = self._open[-1] if self._open else (inf, False)
        if not marked and self._bytes.position >= end:
            self._open.pop()
            return None
        tag, first = self._bytes.take(2)
        if tag == 0 and first == 0 and marked:
            self._open.pop()
            return None
        length = self._length(tag, first)
        if tag & _LONG_TAG == _LONG_TAG or (length is not None and self._bytes.position + length > end):
            raise BrokenError
        return Element(tag, length)

    def enter(self, *tags: int) -> Element | None:
        """Enter the next element, which must have one of `tags`; return None at the end of the current one."""
        element = self.next()
        if element is None:
            return None
        if element.tag not in tags:
            raise BrokenError
        self.descend(element)
        return element

    def descend(self, element: Element) -> None:
        """Make `next` return the children of an element that it returned."""
        if len(self._open) >= _DEPTH:
            raise BrokenError
        around = self._open[-1][0] if self._open else inf
        if element.length is None:
            self._open.append((around, True))
        else:
            self._open.append((self._bytes.position + element.length, False))

    def value(self, tag: int, most: int) -> bytes:
        """Return the content of the next element, a short primitive one.

        Raises:
            BrokenError: it has another tag, or is longer than `most`.
        """
        element = self.next()
        if element is None or element.tag != tag or element.length is None or element.length > most:
            raise BrokenError
        return self._bytes.take(element.length)

    def skip(self, tag: int) -> None:
        """Skip the next element, which must have this tag."""
        element = self.next()
        if element is None or element.tag != tag:
            raise BrokenError
        depth = len(self._open)
        while True:
            if element is not None and element.length is not None:
                for _ in self._bytes.pieces(element.length):
                    pass
            elif element is not None:
                self.descend(element)
            if len(self._open) <= depth:
                return
            element = self.next()

    def octet_string(self, element: Element) -> Iterator[bytes]:
        """Yield the content of an OCTET STRING that `next` returned, however it is segmented (X.690 section 8.7).

        Raises:
            BrokenError: the encoding is invalid; the content before the error has been yielded.
        """
        pending, broken = bytearray(), False
        try:
            for piece in self._segments(element):
                pending += piece
                if len(pending) >= _PIECE:
                    yield bytes(pending)
                    pending.clear()
        except BrokenError:
            broken = True
        if pending:
            yield bytes(pending)
        if broken:
            raise BrokenError

    def _segments(self, segment: Element | None) -> Iterator[bytes]:
        depth = len(self._open)
        while True:
            if segment is not None:
                if segment.tag & ~CONSTRUCTED != OCTET_STRING:
                    raise BrokenError
                if segment.tag & CONSTRUCTED:
                    self.descend(segment)
                else:
                    yield from self._bytes.pieces(segment.length or 0)
            if len(self._open) <= depth:
                return
            segment = self.next()

    def _length(self, tag: int, first: int) -> int | None:
        if first < _INDEFINITE:
            return first
        if first == _INDEFINITE:
            if not tag & CONSTRUCTED:
                raise BrokenError
            return None
        if first - _INDEFINITE > _LENGTH_BYTES:
            raise BrokenError
        return int.from_bytes(self._bytes.take(first - _INDEFINITE), "big")
