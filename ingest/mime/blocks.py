"""Files inside text: uuencode (POSIX) and yEnc (draft 1.3), found by their first line and read line by line."""

from __future__ import annotations

import re
from binascii import Error, a2b_uu
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32

from ingest.mime.defects import Defect
from ingest.mime.text import decode_bytes

# A name may be as long as a line (RFC 5322 section 2.1.1); a mode has three digits, or four with a zero before them.
_FIRST_LINE = re.compile(
    rb"[\r\n](?:begin [0-7]{3,4} ([^\r\n]{1,998})|=ybegin ([^\r\n]{1,998}))(?:\r?\n|\r(?=.))", re.DOTALL
)
_MARKS = (b"begin ", b"=ybegin ")
_FIRST_BYTES = (b"b", b"=")
_LONGEST_FIRST_LINE = 1024
# A uuencoded line has 62 bytes at most, those of yEnc have 128 or 256; what is longer is taken in pieces.
_LINE = re.compile(rb"([^\r\n]{0,4096}+)(\r?\n|\r(?=.))?", re.DOTALL)
_LONGEST_PIECE = 4096
_FULL_LINE = 61  # 45 bytes, as most lines have
_YENC_ESCAPE = re.compile(rb"=(.)", re.DOTALL)
_YENC_BYTES = bytes((byte - 42) % 256 for byte in range(256))
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{1,16}")
_YENC_PARAMETER = re.compile(rb"([a-z0-9]+)=([^\s=]+)")


@dataclass(frozen=True, slots=True)
class BlockBegun:
    """A file begins; its name is decoded, not cleaned."""

    name: str


@dataclass(frozen=True, slots=True)
class BlockEnded:
    """It is complete, or the text is over."""

    defects: frozenset[Defect]


Found = BlockBegun | bytes | BlockEnded


def may_hold_block(text: bytes) -> bool:
    """Whether a file may begin in a piece of text, or in its last line if that goes on; quickly, and rather yes."""
    if b"begin " in text:
        return True
    last = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
    return text.startswith(_FIRST_BYTES, last)


class Blocks:
    """Takes a text in any pieces and gives the files in it: for each its begin, its bytes, its end.

    Args:
        before: the byte before the text; at its very beginning, a line end.
    """

    __slots__ = ("_begun", "_block", "_rest")

    def __init__(self, before: bytes = b"\n") -> None:
        # What has not been read, and the byte before it, which tells whether a line begins.
        self._rest = before
        self._block: _Block | None = None
        self._begun = False

    def feed(self, data: bytes) -> list[Found]:
        """What whole lines hold."""
        found: list[Found] = []
        data, at, going = self._rest + data, 1, True
        while going:
            at, going = self._search(data, at) if self._block is None else self._read(data, at, found)
        self._rest = data[at - 1 :]
        return found

    def close(self) -> list[Found]:
        """What the last line holds; a file that has no end ends here."""
        if self._block is None and len(self._rest) == 1:
            return []
        found = self.feed(b"\n")
        if self._block is not None and self._begun:
            found.append(BlockEnded(frozenset(self._block.defects | {Defect.BLOCK_TRUNCATED})))
        return found

    def _search(self, data: bytes, at: int) -> tuple[int, bool]:
        """Look for a first line from `at`; returns where to go on, and whether a block begins there."""
        match = _FIRST_LINE.search(data, at - 1) if data.find(b"begin ", at) >= 0 else None
        if match is not None:
            self._block = _Uuencoded(match[1]) if match[1] is not None else _YEncoded(match[2])
            self._begun = False
            return match.end(), True
        end = len(data) - data.endswith(b"\r")
        begin = max(data.rfind(b"\n", 0, end), data.rfind(b"\r", 0, end)) + 1
        if begin and data[begin : begin + 1] in _FIRST_BYTES and self._may_begin(data[begin:]):
            return begin, False
        return len(data), False

    def _may_begin(self, line: bytes) -> bool:
        """Whether a line that has not ended may still become a first line."""
        marked = any(mark.startswith(line) or line.startswith(mark) for mark in _MARKS)
        return marked and len(line) <= _LONGEST_FIRST_LINE

    def _read(self, data: bytes, at: int, found: list[Found]) -> tuple[int, bool]:
        """Read lines from `at`; returns where to go on, and whether the block is over."""
        assert self._block is not None
        content: list[bytes] = []
        over = False
        while not over:
            match = _LINE.match(data, at)
            assert match is not None  # the pattern takes anything
            line, end = match.groups()
            if end is None and len(line) < _LONGEST_PIECE:
                break
            again = line.startswith(self._block.mark) and _FIRST_LINE.match(data, at - 1) is not None
            decoded = None if again else self._block.line(line)
            if decoded is None:
                # Another file begins; or what should be the first line of one is none, so that there was just text.
                self._block.defects.add(Defect.BLOCK_TRUNCATED)
                over = True
                break
            at = match.end()
            if not self._begun:
                self._begun = True
                found.append(BlockBegun(self._block.name))
            content.append(decoded)
            over = self._block.ended
        if any(content):
            found.append(b"".join(content))
        if over:
            if self._begun:
                found.append(BlockEnded(frozenset(self._block.defects)))
            self._block = None
        return at, over


class _Block(Protocol):
    mark: bytes
    name: str
    ended: bool
    defects: set[Defect]

    def line(self, line: bytes) -> bytes | None:
        """The bytes of a line without its end; None where the first one shows that there is no file."""
        ...


class _Uuencoded:
    mark = b"begin "

    def __init__(self, name: bytes) -> None:
        self.defects: set[Defect] = set()
        self.name, self.ended, self._begun = decode_bytes(name.strip(), None, set()), False, False

    def line(self, line: bytes) -> bytes | None:
        if len(line) == _FULL_LINE and (full := _uudecoded(line)) is not None:
            self._begun = True
            return full
        if line.rstrip() == b"end":
            self.ended = True
            return b""
        if self._begun and not line.strip():
            return b""
        decoded = _uudecoded(line)
        if decoded is None and self._begun:
            self.defects.add(Defect.BAD_UUENCODE)
            return b""
        self._begun = True
        return decoded


def _uudecoded(line: bytes) -> bytes | None:
    """A line's first byte says how many bytes it holds; blanks that were cut off its end are filled up."""
    if not line:
        return None
    length = ((line[0] - 32) % 64 + 2) // 3 * 4
    # Some encoders put a checksum behind.
    if len(line) > length + 3:
        return None
    try:
        return a2b_uu(line[: length + 1])
    except Error:
        return None


class _YEncoded:
    mark = b"=ybegin "

    def __init__(self, first_line: bytes) -> None:
        self.defects: set[Defect] = set()
        parameters, named, name = first_line.partition(b"name=")
        self._said = dict(_YENC_PARAMETER.findall(parameters))
        self._valid = bool(named) and b"line" in self._said and b"size" in self._said
        self.name, self.ended = decode_bytes(name.strip(), None, set()), False
        self._escaped, self._size, self._crc = b"", 0, 0

    def line(self, line: bytes) -> bytes | None:
        if not self._valid:
            return None
        if line.startswith(b"=yend"):
            self._end(dict(_YENC_PARAMETER.findall(line)))
            return b""
        if line.startswith(b"=ypart "):
            self.defects.add(Defect.PARTIAL)
            return b""
        line = self._escaped + line
        # An escape may be cut in two where a long line is taken in pieces.
        open_escape = (len(line) - len(line.rstrip(b"="))) % 2 == 1
        line, self._escaped = (line[:-1], b"=") if open_escape else (line, b"")
        if b"=" in line:
            line = _YENC_ESCAPE.sub(lambda match: bytes([(match[1][0] - 64) % 256]), line)
        decoded = line.translate(_YENC_BYTES)
        self._size += len(decoded)
        self._crc = crc32(decoded, self._crc)
        return decoded

    def _end(self, said: dict[bytes, bytes]) -> None:
        """The end line gives size and CRC-32, `pcrc32` where this is one of several parts."""
        self.ended = True
        crc = said.get(b"pcrc32") or (None if Defect.PARTIAL in self.defects else said.get(b"crc32"))
        if said.get(b"size") != b"%d" % self._size or (crc is not None and _number(crc) != self._crc):
            self.defects.add(Defect.YENC_MISMATCH)


def _number(data: bytes) -> int | None:
    """Hexadecimal; some encoders write 64 bits, of which the upper half is the sign."""
    return int(data, 16) % 2**32 if _HEXADECIMAL.fullmatch(data) else None
