"""A forgiving streaming decoder for base64."""

from __future__ import annotations

from binascii import Error, a2b_base64
from typing import Final

import pybase64

from ingest.mime.defects import Defect

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BLANKS: Final = b"\r\n\t "
_NOISE: Final = bytes(set(range(256)) - set(_ALPHABET) - {ord("=")})
# Behind a segment of this many bytes more than whole groups of four; one byte alone is cut off before.
_PADDING: Final = (b"", b"", b"==", b"=")
# From this size on, checking for lines of equal length pays off.
_MANY_LINES: Final = 4096


class Base64:
    """RFC 2045 section 6.8. Other bytes are skipped; padding may be missing or stand in the middle."""

    __slots__ = ("_carry", "_padded", "defects", "skipped")

    def __init__(self) -> None:
        self.defects: set[Defect] = set()
        self.skipped: dict[Defect, int] = {}
        self._carry = b""
        self._padded = False

    def feed(self, data: bytes) -> bytes:
        """Decode all complete groups of four."""
        data = _one_line(data) if len(data) >= _MANY_LINES else data.translate(None, _BLANKS)
        if not data:
            return b""
        data = self._carry + data
        odd = len(data) % 4
        padded = data.find(b"=")
        # The usual case: the alphabet alone, or padding at the very end.
        if not self._padded and (padded < 0 or (padded >= len(data) - 2 and not odd)):
            try:
                decoded = pybase64.b64decode(memoryview(data)[: len(data) - odd], validate=True)
            except Error:
                return self._forgiving(data)
            self._carry, self._padded = data[len(data) - odd :], padded >= 0
            return decoded
        return self._forgiving(data)

    def close(self) -> bytes:
        """Decode the last group, padded or not."""
        if not self._carry:
            return b""
        decoded = self._forgiving(self._carry)
        rest, self._carry = self._carry, b""
        return decoded + self._decode_ended([rest])

    def _forgiving(self, data: bytes) -> bytes:
        """Decode any bytes, the carried ones included. Padding ends a segment; a new one begins after it."""
        if data == b"=" * len(data):
            # Nothing but padding, without end, is a known attack. Comparing is faster than counting each byte.
            self._carry, self._padded = b"", True
            return b""
        data = data.translate(None, _BLANKS)
        clean = data.translate(None, _NOISE)
        if len(clean) != len(data):
            self.defects.add(Defect.BASE64_NOISE)
            self.skipped[Defect.BASE64_NOISE] = self.skipped.get(Defect.BASE64_NOISE, 0) + len(data) - len(clean)
        *ended, rest = clean.split(b"=")
        if (self._padded and (rest or any(ended))) or (ended and (rest or any(ended[1:]))):
            self.defects.add(Defect.BASE64_RESUMED)
        decoded = self._decode_ended(ended)
        self._padded = self._padded or bool(ended)
        whole = len(rest) - len(rest) % 4
        self._carry = rest[whole:]
        return decoded + pybase64.b64decode(rest[:whole])

    def _decode_ended(self, segments: list[bytes]) -> bytes:
        """Decode segments that padding ended. There may be one for every other byte, so nothing is done slowly."""
        if [None for segment in segments if len(segment) % 4 == 1]:
            # Six bits are not a whole byte.
            self.defects.add(Defect.BASE64_TRUNCATED)
            segments = [segment[:-1] if len(segment) % 4 == 1 else segment for segment in segments]
        decode = a2b_base64
        return b"".join([decode(segment + _PADDING[len(segment) % 4]) for segment in segments if segment])


def decode_clean(data: bytes) -> bytes | None:
    """Return what whole groups of four in lines decode to, with padding at their end only; None for anything else."""
    letters = _one_line(data) if len(data) >= _MANY_LINES else data.translate(None, _BLANKS)
    padded = letters.find(b"=")
    if len(letters) % 4 or 0 <= padded < len(letters) - 2:
        return None
    try:
        return pybase64.b64decode(letters, validate=True)
    except Error:
        return None


def _one_line(data: bytes) -> bytes:
    """Remove line ends. If all lines have one length, as encoders write them, strided deletion removes the line ends.

    That takes an eighth of the time of examining each byte.
    """
    begin = data.find(b"\n") + 1
    width = data.find(b"\n", begin) + 1 - begin
    lines = (len(data) - begin) // width if begin and width > 2 else 0  # noqa: PLR2004 - a line is not empty
    stop = begin + lines * width
    if not lines or data[begin + width - 1 : stop : width].count(b"\n") != lines:
        return data.translate(None, _BLANKS)
    grid = bytearray(data[begin:stop])
    del grid[width - 1 :: width]
    if grid[width - 2 :: width - 1].count(b"\r") == lines:
        del grid[width - 2 :: width - 1]
    return data[:begin].translate(None, _BLANKS) + grid + data[stop:].translate(None, _BLANKS)
