"""Transfer decoders: encoded octets in, in any pieces; exactly what the sender encoded out."""

from __future__ import annotations

import re
from typing import Protocol

import pybase64

from ingest.mime.defects import Defect

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BLANKS = b"\r\n\t "
_NOISE = bytes(set(range(256)) - set(_ALPHABET) - {ord("=")})
# Blanks between an equals sign and the line end are tolerated, not without end.
_ESCAPE = re.compile(rb"=(?:([0-9A-Fa-f]{2})|[ \t]{0,250}\r?\n)")
_OPEN_ESCAPE = re.compile(rb"=[0-9A-Fa-f]?\Z|=[ \t]{0,250}\r?\Z")
_LONGEST_ESCAPE = 256
_HEX = {b"%02X" % octet: bytes([octet]) for octet in range(256)}


class Decoder(Protocol):
    """Takes encoded octets and gives decoded ones; `defects` grows as it meets oddities."""

    defects: set[Defect]

    def feed(self, data: bytes) -> bytes:
        """Decode what can be decoded so far."""
        ...

    def close(self) -> bytes:
        """Decode the rest."""
        ...


class Identity:
    """7bit, 8bit, binary, and whatever is unknown."""

    def __init__(self, *defects: Defect) -> None:
        self.defects = set(defects)

    def feed(self, data: bytes) -> bytes:
        """The same octets."""
        return data

    def close(self) -> bytes:
        """Nothing is left."""
        return b""


class Base64:
    """RFC 2045 section 6.8, forgivingly: noise is skipped, padding may be missing or stand in the middle."""

    def __init__(self) -> None:
        self.defects: set[Defect] = set()
        self._carry = b""
        self._padded = False

    def feed(self, data: bytes) -> bytes:
        """All whole groups of four."""
        data = data.translate(None, _BLANKS)
        clean = data.translate(None, _NOISE)
        if len(clean) != len(data):
            self.defects.add(Defect.BASE64_NOISE)
        if b"=" in clean:
            return self._segments(clean)
        return self._take(clean)

    def close(self) -> bytes:
        """The last group, padded or not."""
        rest, self._carry = self._carry, b""
        if len(rest) % 4 == 1:
            # Six bits are no octet.
            self.defects.add(Defect.BASE64_TRUNCATED)
            rest = rest[:-1]
        return pybase64.b64decode(rest + b"=" * (-len(rest) % 4))

    def _segments(self, data: bytes) -> bytes:
        """Padding ends a segment; what follows begins a new one."""
        *ended, rest = data.split(b"=")
        out = []
        for segment in ended:
            out += [self._take(segment), self.close()]
            self._padded = True
        out.append(self._take(rest))
        return b"".join(out)

    def _take(self, clean: bytes) -> bytes:
        if clean and self._padded:
            self.defects.add(Defect.BASE64_RESUMED)
        clean = self._carry + clean
        whole = len(clean) - len(clean) % 4
        self._carry = clean[whole:]
        return pybase64.b64decode(clean[:whole])


class QuotedPrintable:
    """RFC 2045 section 6.7; escapes that are none stay as they are, and no line end is changed."""

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
        """An escape at the very end: a soft line break without a line end, or literal octets."""
        rest, self._carry = self._carry, b""
        if rest.strip(b"= \t\r\n"):
            self.defects.add(Defect.BAD_ESCAPE)
            return rest
        return b""

    def _decode(self, data: bytes) -> bytes:
        if b"=" not in data:
            return data
        decoded, count = _ESCAPE.subn(lambda match: _HEX[match[1].upper()] if match[1] else b"", data)
        if count != data.count(b"="):
            self.defects.add(Defect.BAD_ESCAPE)
        return decoded


def decoder_for(encoding: str) -> Decoder:
    """The decoder for a Content-Transfer-Encoding as it was written, quotes, comments and semicolons included."""
    name = re.sub(r"\(.*|[;\"'\s]", "", encoding).lower()
    if name == "base64":
        return Base64()
    if name == "quoted-printable":
        return QuotedPrintable()
    return Identity() if name in ("", "7bit", "8bit", "binary") else Identity(Defect.UNKNOWN_ENCODING)
