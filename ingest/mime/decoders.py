"""Transfer decoders: encoded bytes in, in any pieces; exactly what the sender encoded out."""

from __future__ import annotations

import re
from binascii import a2b_qp
from typing import TYPE_CHECKING, Protocol

from ingest.mime.blocks import BlockEnded, Blocks
from ingest.mime.defects import Defect
from ingest.mime.radix64 import Base64

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.mime.blocks import Found

# Blanks between an equals sign and the line end are tolerated, not without end. The line end may be a bare CR, too.
_ESCAPE = re.compile(rb"=(?:([0-9A-Fa-f]{2})|[ \t]{0,250}(?:\r\n?|\n))")
_OPEN_ESCAPE = re.compile(rb"=[0-9A-Fa-f]?\Z|=[ \t]{0,250}\r?\Z")
_LONGEST_ESCAPE = 256
_HEX = {b"%02X" % byte: bytes([byte]) for byte in range(256)}


class Decoder(Protocol):
    """Takes encoded bytes and gives decoded ones; `defects` grows as it meets oddities."""

    defects: set[Defect]

    def feed(self, data: bytes) -> bytes:
        """Decode what can be decoded so far."""
        ...

    def close(self) -> bytes:
        """Decode the rest."""
        ...


class Identity:
    """7bit, 8bit, binary, and whatever is unknown."""

    __slots__ = ("defects",)

    def __init__(self, *defects: Defect) -> None:
        self.defects = set(defects)

    def feed(self, data: bytes) -> bytes:
        """The same bytes."""
        return data

    def close(self) -> bytes:
        """Nothing is left."""
        return b""


class QuotedPrintable:
    """RFC 2045 section 6.7; escapes that are none stay as they are, and no line end is changed."""

    __slots__ = ("_carry", "defects")

    def __init__(self) -> None:
        self.defects: set[Defect] = set()
        self._carry = b""

    def feed(self, data: bytes) -> bytes:
        """All but an escape that may go on in the next piece."""
        data = self._carry + data
        # Only the last line can hold an open escape, and only its end has to be looked at.
        equals = data.rfind(b"=")
        held = equals >= max(0, len(data) - _LONGEST_ESCAPE) and _OPEN_ESCAPE.match(data, equals) is not None
        data, self._carry = (data[:equals], data[equals:]) if held else (data, b"")
        return self._decode(data)

    def close(self) -> bytes:
        """An escape at the very end: a soft line break without a line end, or literal bytes."""
        rest, self._carry = self._carry, b""
        if rest.strip(b"= \t\r\n"):
            self.defects.add(Defect.BAD_ESCAPE)
            return rest
        return b""

    def _decode(self, data: bytes) -> bytes:
        """By the standard library's decoder, unless it would guess.

        The bytes are as many fewer as valid escapes make them only if all are valid: of any other it takes fewer
        away. One before a CR without LF, after which it drops bytes, is looked for first.
        """
        escapes = data.count(b"=")
        if not escapes:
            return data
        breaks = data.count(b"=\r\n")
        if data.count(b"=\r") == breaks:
            decoded = a2b_qp(data)
            if len(data) - len(decoded) == 2 * escapes + breaks:
                return decoded
        decoded, count = _ESCAPE.subn(lambda match: _HEX[match[1].upper()] if match[1] else b"", data)
        if count != escapes:
            self.defects.add(Defect.BAD_ESCAPE)
        return decoded


class EncodedFile:
    """uuencode or yEnc as a transfer encoding: the bytes of the files in it, without the lines around them."""

    __slots__ = ("_blocks", "_empty", "defects")

    def __init__(self) -> None:
        self.defects: set[Defect] = set()
        self._blocks = Blocks()
        self._empty = True

    def feed(self, data: bytes) -> bytes:
        """The bytes of all lines that are whole."""
        return self._bytes(self._blocks.feed(data))

    def close(self) -> bytes:
        """Those of the last line."""
        data = self._bytes(self._blocks.close())
        if self._empty:
            self.defects.add(Defect.NO_BLOCK)
        return data

    def _bytes(self, found: list[Found]) -> bytes:
        data = []
        for item in found:
            self._empty = False
            if isinstance(item, bytes):
                data.append(item)
            elif isinstance(item, BlockEnded):
                self.defects |= item.defects
        return b"".join(data)


def decoder_for(encoding: str) -> Decoder:
    """The decoder for a Content-Transfer-Encoding as it was written, quotes, comments and semicolons included."""
    name = encoding.lower()
    make = _DECODERS.get(name) or _DECODERS.get(_AROUND.sub("", name))
    return make() if make is not None else Identity(Defect.UNKNOWN_ENCODING)


_AROUND = re.compile(r"\(.*|[;\"'\s]", re.DOTALL)
_DECODERS: dict[str, Callable[[], Decoder]] = {
    "base64": Base64,
    "quoted-printable": QuotedPrintable,
    **dict.fromkeys(("", "7bit", "8bit", "binary"), Identity),
    **dict.fromkeys(("uuencode", "x-uuencode", "uue", "x-uue", "x-uu"), EncodedFile),
    **dict.fromkeys(("yenc", "x-yenc", "yencode", "x-yencode"), EncodedFile),
}
