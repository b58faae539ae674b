"""Transfer decoders: encoded bytes in, in pieces of any size; exactly the bytes that the sender encoded out."""

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

# Up to 250 blanks between an equals sign and the line end are tolerated. The line end may be a bare CR.
_ESCAPE = re.compile(rb"=(?:([0-9A-Fa-f]{2})|[ \t]{0,250}(?:\r\n?|\n))")
_OPEN_ESCAPE = re.compile(rb"=[0-9A-Fa-f]?\Z|=[ \t]{0,250}\r?\Z")
_LONGEST_ESCAPE = 256
_HEX = {b"%02X" % byte: bytes([byte]) for byte in range(256)}


class Decoder(Protocol):
    """Decodes a stream of bytes and collects `defects`."""

    defects: set[Defect]

    def feed(self, data: bytes) -> bytes:
        """Decode as much as possible."""
        ...

    def close(self) -> bytes:
        """Decode the rest."""
        ...


class Identity:
    """7bit, 8bit, binary and unknown encodings: the bytes are not changed."""

    __slots__ = ("defects",)

    def __init__(self, *defects: Defect) -> None:
        self.defects = set(defects)

    def feed(self, data: bytes) -> bytes:
        """Return the same bytes."""
        return data

    def close(self) -> bytes:
        """Return nothing: no bytes are held back."""
        return b""


class QuotedPrintable:
    """RFC 2045 section 6.7. Invalid escapes are kept as they are; line ends are not changed."""

    __slots__ = ("_carry", "defects")

    def __init__(self) -> None:
        self.defects: set[Defect] = set()
        self._carry = b""

    def feed(self, data: bytes) -> bytes:
        """Decode all but an escape that may continue in the next piece."""
        data = self._carry + data
        # Only the end of the last line can hold an incomplete escape.
        equals = data.rfind(b"=")
        held = equals >= max(0, len(data) - _LONGEST_ESCAPE) and _OPEN_ESCAPE.match(data, equals) is not None
        data, self._carry = (data[:equals], data[equals:]) if held else (data, b"")
        return self._decode(data)

    def close(self) -> bytes:
        """Decode an escape at the very end: a soft line break without a line end, or literal bytes."""
        rest, self._carry = self._carry, b""
        if rest.strip(b"= \t\r\n"):
            self.defects.add(Defect.BAD_ESCAPE)
            return rest
        return b""

    def _decode(self, data: bytes) -> bytes:
        """Decode with the standard library if all escapes are valid, else with a regular expression.

        The output has the length that valid escapes give it only if all are valid. An escape before a CR without LF,
        after which the standard library drops bytes, is excluded first.
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
        """Decode all complete lines."""
        return self._bytes(self._blocks.feed(data))

    def close(self) -> bytes:
        """Decode the last line."""
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
    """Return the decoder for a Content-Transfer-Encoding as written; quotes, comments and semicolons are ignored."""
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
