"""A forgiving streaming decoder for base64."""

from __future__ import annotations

from binascii import Error, a2b_base64
from typing import Final

import pybase64

from ingest.mime.defects import Defect

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SIGNS: Final = bytes(byte for byte in range(128) if not chr(byte).isalnum())
_TEXT: Final = 6  # letters of the shortest text that proves something
_BLANKS: Final = b"\r\n\t "
_NOISE: Final = bytes(set(range(256)) - set(_ALPHABET) - {ord("=")})
# Behind a segment of this many bytes more than whole groups of four; one byte alone is cut off before.
_PADDING: Final = (b"", b"", b"==", b"=")
# From this size on, checking for lines of equal length pays off.
_MANY_LINES: Final = 4096
_LONGEST_LINE: Final = 16_384
_LEAST_LINE: Final = 24  # bytes of a line that prove something


class Base64:
    """RFC 2045 section 6.8. Other bytes are skipped; padding may be missing or stand in the middle.

    Lines of words are skipped as a whole, such as those that mailing lists and virus scanners add: most of their
    letters are in the alphabet.
    """

    __slots__ = ("_carry", "_in_text", "_line", "_padded", "defects", "skipped")

    def __init__(self) -> None:
        self.defects: set[Defect] = set()
        self.skipped: dict[Defect, int] = {}
        self._carry = b""
        self._padded = False
        self._line = b""  # the incomplete last one
        self._in_text = False

    def feed(self, data: bytes) -> bytes:
        """Decode all complete lines."""
        if self._line:
            data = self._line + data
        cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        # Equal pieces of a long line, so that the size of the pieces that are fed does not matter.
        long = [data[at : at + _LONGEST_LINE] for at in range(cut, len(data) - _LONGEST_LINE + 1, _LONGEST_LINE)]
        whole, self._line = data[:cut], data[cut + len(long) * _LONGEST_LINE :]
        if not self._in_text and b" " not in whole and not long:
            return self._decode(whole)
        return self._decode_lines([*whole.replace(b"\r", b"\n").split(b"\n"), *long])

    def _decode_lines(self, lines: list[bytes]) -> bytes:
        kept = [
            line
            for line in lines
            if line and not ((self._in_text or (len(line) > _TEXT and b" " in line)) and self._skips(line))
        ]
        return self._decode(b"\n".join(kept))

    def _skips(self, line: bytes) -> bool:
        """Return whether a line is text, and count it; behind text, only whole lines of base64 are none."""
        words = line.lstrip(b"=").split()
        if len(words) == 1 and is_base64_line(words[0]):
            self._in_text = False
        elif self._in_text or _are_words(words):
            self._in_text = True
            self._count(sum(map(len, words)))
            return True
        return False

    def _count(self, size: int) -> None:
        self.defects.add(Defect.BASE64_NOISE)
        self.skipped[Defect.BASE64_NOISE] = self.skipped.get(Defect.BASE64_NOISE, 0) + size

    def _decode(self, data: bytes) -> bytes:
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
        lines, self._line = [self._line], b""
        decoded = self._decode_lines(lines)
        if not self._carry:
            return decoded
        decoded += self._forgiving(self._carry)
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
            self._count(len(data) - len(clean))
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


def is_base64_line(line: bytes) -> bool:
    """Return whether a line is base64 and no word: whole groups of letters of both cases and of digits or signs."""
    groups = len(line) >= _LEAST_LINE and len(line) % 4 == 0 and not line.rstrip(b"=").translate(None, _ALPHABET)
    return groups and not (line.isalpha() or line.islower() or line.isupper())


def _are_words(words: list[bytes]) -> bool:
    """Return whether most words of a line are such as people write; base64 with blanks in it has none of them."""
    if len(words) < 2 or any(is_base64_line(word) for word in words):  # noqa: PLR2004
        return False
    written = [letters for word in words if _is_word(letters := word.translate(None, _SIGNS))]
    return 2 * len(written) > len(words) and sum(map(len, written)) >= _TEXT


def _is_word(letters: bytes) -> bool:
    return not letters or letters.isdigit() or (letters.isalpha() and (letters[1:].islower() or len(letters) == 1))


def decode_clean(data: bytes) -> bytes | None:
    """Return what whole groups of four in lines decode to, with padding at their end only; None for anything else."""
    if b" " in data:
        return None
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
