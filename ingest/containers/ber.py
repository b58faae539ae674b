"""BER (X.690) as a stream: tags and lengths, definite or not, without recursion and without keeping content.

Only what CMS needs: one-byte tags, lengths of up to eight bytes. A library that was tried (asn1crypto) reads the
whole into memory: 2.5 s and 190 MiB for 25 MB in segments of 4 KiB, which is how mail programs sign; this takes a
hundredth of that, and keeps one chunk.
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
# Around the content there are five, and OpenSSL puts the content into one more.
_DEPTH = 32
# Segments of a content, or elements that are passed over. The smallest segments seen hold 1,000 bytes.
_ELEMENTS = 1_000_000
_PIECE = 65_536


class Element(NamedTuple):
    """The beginning of an element; `length` is None where an end-of-contents marker ends it."""

    tag: int
    length: int | None


class BerReader:
    """Reads elements one after another, as the caller expects them.

    Args:
        chunks: the encoding, in pieces of any size.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._bytes = ByteStream(chunks)
        # For each element that was entered: where it or one around it ends, and whether a marker ends it.
        self._open: list[tuple[float, bool]] = []
        self._elements = 0

    def next(self) -> Element | None:
        """The next element inside the one that was entered last; None at its end, which leaves it.

        Raises:
            BrokenError: see there.
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
        """Go into the next element, which has to have one of these tags; None at the end of the one around it."""
        element = self.next()
        if element is None:
            return None
        if element.tag not in tags:
            raise BrokenError
        self.go_into(element)
        return element

    def go_into(self, element: Element) -> None:
        """Let `next` give what is inside of an element that `next` gave."""
        if len(self._open) >= _DEPTH:
            raise BrokenError
        around = self._open[-1][0] if self._open else inf
        if element.length is None:
            self._open.append((around, True))
        else:
            self._open.append((self._bytes.position + element.length, False))

    def value(self, tag: int, most: int) -> bytes:
        """The bytes of the next element, a short primitive one.

        Raises:
            BrokenError: it has another tag, or more bytes than `most`.
        """
        element = self.next()
        if element is None or element.tag != tag or element.length is None or element.length > most:
            raise BrokenError
        return self._bytes.take(element.length)

    def pass_over(self, tag: int) -> None:
        """Read the next element, which has to have this tag, without looking at it."""
        element = self.next()
        if element is None or element.tag != tag:
            raise BrokenError
        depth = len(self._open)
        while True:
            if element is not None and element.length is not None:
                for _ in self._bytes.pieces(element.length):
                    pass
            elif element is not None:
                self.go_into(element)
            if len(self._open) <= depth:
                return
            element = self.next()

    def octet_string(self, element: Element) -> Iterator[bytes]:
        """The content of an OCTET STRING that `next` gave, in whatever segments it comes (X.690 section 8.7).

        Raises:
            BrokenError: what came before the error has been given.
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
                    self.go_into(segment)
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
