"""Files inside text, decoded line by line: uuencode, also its base64 (POSIX), and yEnc (draft 1.3)."""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, a2b_uu
from dataclasses import dataclass
from typing import Final, Protocol
from zlib import crc32

from ingest.mime.defects import Defect
from ingest.mime.text import decode_bytes

# A name may be as long as a line (RFC 5322 section 2.1.1); a mode has three digits, or four with a zero before them.
_FIRST_LINE: Final = re.compile(
    rb"[\r\n](?:begin(-base64)? [0-7]{3,4} ([^\r\n]{1,998})|=ybegin ([^\r\n]{1,998}))(?:\r?\n|\r(?=.))", re.DOTALL
)
_BLANKS: Final = b"\0\t\n\v\f\r "
_MARKS: Final = (b"begin ", b"begin-base64 ", b"=ybegin ")
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_FIRST_BYTES: Final = (b"b", b"=")
_LONGEST_FIRST_LINE: Final = 1024
# A uuencoded line has 62 bytes at most, a yEnc line 128 or 256; longer lines are decoded in pieces.
_LINE: Final = re.compile(rb"([^\r\n]{0,4096}+)(\r?\n|\r(?=.))?", re.DOTALL)
_LONGEST_PIECE: Final = 4096
_FULL_LINE: Final = 61  # 45 bytes, as most lines have
_YENC_ESCAPE: Final = re.compile(rb"=(.)", re.DOTALL)
_YENC_BYTES: Final = bytes((byte - 42) % 256 for byte in range(256))
_HEXADECIMAL: Final = re.compile(rb"[0-9A-Fa-f]{1,16}")
_YENC_PARAMETER: Final = re.compile(rb"([a-z0-9]+)=([^\s=]+)")


@dataclass(frozen=True, slots=True)
class BlockBegun:
    """The start of a file; `name` is decoded but not made safe."""

    name: str


@dataclass(frozen=True, slots=True)
class BlockEnded:
    """The end of a file: its end line, or the end of the text. `skipped` counts bytes that could not be decoded."""

    defects: frozenset[Defect]
    skipped: int = 0


Found = BlockBegun | bytes | BlockEnded


def may_hold_block(text: bytes) -> bool:
    """Return True if a file may begin in a piece of text or in its unfinished last line; may be wrong."""
    if _has_mark(text, 0):
        return True
    last = text.rfind(b"\n") + 1
    last = text.rfind(b"\r", last) + 1 or last
    return text.startswith(_FIRST_BYTES, last)


def _has_mark(text: bytes, at: int) -> bool:
    begin = text.find(b"begin", at)
    return begin >= 0 and (text.find(b"begin ", begin) >= 0 or text.find(b"begin-base64 ", begin) >= 0)


class Blocks:
    """Extracts the files from a text that is fed in pieces of any size: for each its start, its bytes, its end.

    Args:
        before: the byte before the text; a line end where there is none.
        counts_text: whether to count, in `text_bytes`, the bytes outside of files that are not blank.
    """

    __slots__ = ("_begun", "_block", "_counts_text", "_first_line", "_rest", "text_bytes")

    def __init__(self, before: bytes = b"\n", *, counts_text: bool = False) -> None:
        self._counts_text, self.text_bytes = counts_text, 0
        # The unread rest and the byte before it, which shows whether the rest begins a line.
        self._rest = before
        self._block: _Block | None = None
        self._first_line = b""
        self._begun = False

    def feed(self, data: bytes) -> list[Found]:
        """Decode all complete lines."""
        found: list[Found] = []
        data, at, going = self._rest + data, 1, True
        while going:
            at, going = self._search(data, at) if self._block is None else self._read(data, at, found)
        self._rest = data[at - 1 :]
        return found

    def close(self) -> list[Found]:
        """Decode the last line and end a file that has no end line."""
        if self._block is None and len(self._rest) == 1:
            return []
        found = self.feed(b"\n")
        if self._block is not None and not self._begun:
            self._count(self._first_line)
        elif self._block is not None:
            defects = frozenset(self._block.defects | {Defect.BLOCK_TRUNCATED})
            found.append(BlockEnded(defects, self._block.skipped))
        return found

    def _search(self, data: bytes, at: int) -> tuple[int, bool]:
        """Search for a first line from `at`; return where to continue and whether a block begins there."""
        match = _FIRST_LINE.search(data, at - 1) if _has_mark(data, at) else None
        if match is not None:
            self._block = _block_of(match)
            self._begun, self._first_line = False, match[0]
            self._count(data[at : match.start() + 1])
            return match.end(), True
        end = len(data) - data.endswith(b"\r")
        begin = max(data.rfind(b"\n", 0, end), data.rfind(b"\r", 0, end)) + 1
        if begin and data[begin : begin + 1] in _FIRST_BYTES and self._may_begin(data[begin:]):
            self._count(data[at:begin])
            return begin, False
        self._count(data[at:])
        return len(data), False

    def _count(self, text: bytes) -> None:
        if self._counts_text:
            self.text_bytes += len(text.translate(None, _BLANKS))

    def _may_begin(self, line: bytes) -> bool:
        """Return True if an incomplete line may still become a first line."""
        marked = any(mark.startswith(line) or line.startswith(mark) for mark in _MARKS)
        return marked and len(line) <= _LONGEST_FIRST_LINE

    def _read(self, data: bytes, at: int, found: list[Found]) -> tuple[int, bool]:
        """Decode lines from `at`; return where to continue and whether the block has ended."""
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
                # Another file begins here; or the first line was not followed by a file, so it was plain text.
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
                found.append(BlockEnded(frozenset(self._block.defects), self._block.skipped))
            else:
                self._count(self._first_line)
            self._block = None
        return at, over


class _Block(Protocol):
    mark: bytes
    name: str
    ended: bool
    defects: set[Defect]
    skipped: int

    def line(self, line: bytes) -> bytes | None:
        """Decode a line without its line end; None if the first line shows that there is no file."""
        ...


def _block_of(first_line: re.Match[bytes]) -> _Block:
    base64, name, yenc = first_line.groups()
    if yenc is not None:
        return _YEncoded(yenc)
    return _Uuencoded(name) if base64 is None else _InBase64(name)


class _InBase64:
    mark = b"begin-base64 "

    def __init__(self, name: bytes) -> None:
        self.defects: set[Defect] = set()
        self.skipped = 0
        self.name, self.ended, self._begun = decode_bytes(name.strip(), None, set()), False, False

    def line(self, line: bytes) -> bytes | None:
        letters = line.strip()
        if letters == b"====":
            self.ended = True
            return b""
        if len(letters) % 4 or letters.translate(None, _BASE64):
            if not self._begun:
                return None
            self.defects.add(Defect.BAD_UUENCODE)
            self.skipped += len(line.translate(None, _BLANKS))
            return b""
        self._begun = True
        return a2b_base64(letters)


class _Uuencoded:
    mark = b"begin "

    def __init__(self, name: bytes) -> None:
        self.defects: set[Defect] = set()
        self.skipped = 0
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
            self.skipped += len(line.translate(None, _BLANKS))
            return b""
        self._begun = True
        return decoded


def _uudecoded(line: bytes) -> bytes | None:
    """Decode one line. Its first byte gives its length; blanks that were stripped from its end are restored."""
    if not line:
        return None
    length = ((line[0] - 32) % 64 + 2) // 3 * 4
    # Some encoders put a checksum behind.
    if len(line) > length + 3:
        return None
    try:
        return a2b_uu(line[: length + 1])
    except Error:
        return _uudecoded_anyhow(line)


def _uudecoded_anyhow(line: bytes) -> bytes | None:
    """Decode a line whose last group is filled up with other characters than blanks."""
    needed = 1 + ((line[0] - 32) % 64 * 8 + 5) // 6
    try:
        return a2b_uu(line[:needed])
    except Error:
        return None


class _YEncoded:
    mark = b"=ybegin "

    def __init__(self, first_line: bytes) -> None:
        self.defects: set[Defect] = set()
        self.skipped = 0
        parameters, named, name = first_line.partition(b"name=")
        self._declared = dict(_YENC_PARAMETER.findall(parameters))
        self._valid = bool(named) and b"line" in self._declared and b"size" in self._declared
        self.name, self.ended = decode_bytes(_without_quotes(name.strip()), None, set()), False
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

    def _end(self, declared: dict[bytes, bytes]) -> None:
        """Check size and CRC-32 against the end line; a part of a split file has `pcrc32`."""
        self.ended = True
        crc = declared.get(b"pcrc32") or (None if Defect.PARTIAL in self.defects else declared.get(b"crc32"))
        if declared.get(b"size") != b"%d" % self._size or (crc is not None and _number(crc) != self._crc):
            self.defects.add(Defect.YENC_MISMATCH)


def _without_quotes(name: bytes) -> bytes:
    is_quoted = len(name) > 2 and name[:1] == name[-1:] == b'"'  # noqa: PLR2004 - two quotes and a name
    return name[1:-1] if is_quoted else name


def _number(data: bytes) -> int | None:
    """Parse a hexadecimal CRC; some encoders sign-extend it to 64 bits."""
    return int(data, 16) % 2**32 if _HEXADECIMAL.fullmatch(data) else None
