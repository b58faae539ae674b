"""The text of RTF as Outlook stores it: compressed (MS-OXRTFCP), and with the HTML it was made of (MS-OXRTFEX).

Not RTFDE: its parser builds a tree of the whole text, and brings a parser generator and tools for macros with it.
This makes one pass, keeps a bounded stack, and writes no more than a few times what it reads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from ingest.mime.charsets import FALLBACK, known_charset

if TYPE_CHECKING:
    from ingest.domain.manifest import BodyKind

# Bytes of RTF; mails have some ten KiB, and pictures in them, which are skipped, a few MiB.
MOST_BYTES = 4 * 2**20

_HEADER_BYTES = 16
_COMPRESSED, _PLAIN = b"LZFu", b"MELA"
_WINDOW = 4096
_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans Serif"
    b"SymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par "
    rb"\pard\plain\f0\fs20\b\i\u\tab\tx"
)
_DEPTH = 500
_TOKEN = re.compile(
    rb"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?[0-9]{1,9})?[ ]?|\\'(?P<hex>[0-9a-fA-F]{2})|\\(?P<symbol>.)"
    rb"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]++)|[\r\n]++",
    re.DOTALL,
)
# What is no text of the document.
_DESTINATIONS = frozenset(
    b"fonttbl colortbl stylesheet info pict object header headerl headerr headerf footer footerl footerr footerf "
    b"footnote listtable listoverridetable rsidtbl generator xmlnstbl themedata colorschememapping datastore "
    b"latentstyles mmathPr pgptbl revtbl filetbl bkmkstart bkmkend fldinst pntext".split()
)
_CHARACTERS = {
    b"par": "\r\n",
    b"line": "\r\n",
    b"sect": "\r\n",
    b"page": "\r\n",
    b"row": "\r\n",
    b"tab": "\t",
    b"cell": "\t",
    b"lquote": "\u2018",
    b"rquote": "\u2019",
    b"ldblquote": "\u201c",
    b"rdblquote": "\u201d",
    b"bullet": "\u2022",
    b"endash": "\u2013",
    b"emdash": "\u2014",
    b"emspace": "\u2003",
    b"enspace": "\u2002",
}
_SYMBOLS = {b"~": "\xa0", b"_": "\xad", b"\\": "\\", b"{": "{", b"}": "}", b"\n": "\r\n", b"\r": "\r\n"}
_FONT_CHARSETS = {
    0: "cp1252",
    77: "mac-roman",
    128: "cp932",
    129: "cp949",
    130: "johab",
    134: "gb18030",
    136: "cp950",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
}


class RtfText(NamedTuple):
    """The text of an RTF document, and whether it is the HTML that the document was made of."""

    kind: BodyKind
    text: str


def decompress(data: bytes) -> bytes | None:
    """Return the RTF in a compressed stream, as far as it goes; None if the data is none.

    Args:
        data: the value of PR_RTF_COMPRESSED.
    """
    if len(data) < _HEADER_BYTES:
        return None
    if data[8:12] == _PLAIN:
        return data[_HEADER_BYTES : _HEADER_BYTES + int.from_bytes(data[4:8], "little")]
    return _decompressed(data) if data[8:12] == _COMPRESSED else None


def _decompressed(data: bytes) -> bytes:
    """MS-OXRTFCP section 3.1.3: runs of eight tokens, each a byte or a reference into a window of 4 KiB."""
    out = bytearray(_DICTIONARY)
    at, end = _HEADER_BYTES, len(data)
    while at < end and len(out) < MOST_BYTES:
        control = data[at]
        at += 1
        for bit in range(8):
            if not control >> bit & 1:
                out += data[at : at + 1]
                at += 1
                continue
            reference = int.from_bytes(data[at : at + 2], "big")
            at += 2
            back = (len(out) - (reference >> 4)) % _WINDOW
            if not back or at > end:
                return bytes(out[len(_DICTIONARY) :])
            _copy(out, back, (reference & 0xF) + 2)
    return bytes(out[len(_DICTIONARY) :])


def _copy(out: bytearray, back: int, length: int) -> None:
    """Repeat bytes from this many bytes back; the bytes that are written may be among those that are read."""
    start = len(out) - back
    if start < 0:  # a part of the window that was never written
        out += bytes(length)
        return
    piece = out[start : start + length]
    out += (piece * (length // len(piece) + 1))[:length]


def text_of(rtf: bytes) -> RtfText | None:
    """Return the text of an RTF document, or its HTML if it was made of HTML; None if it is no RTF."""
    if rtf.lstrip()[:5] != rb"{\rtf":
        return None
    reader = _Reader(rtf[:MOST_BYTES])
    return RtfText("html" if reader.source == "html" else "text", reader.read())


class _Group(NamedTuple):
    """What holds inside of one pair of braces, and ends with it."""

    skipped: bool = False  # a destination that is no text
    markup: bool = False  # HTML that stands for what it is around
    rendering: bool = False  # RTF for readers that do not know of the HTML
    fonts: bool = False
    skip_after: int = 1  # characters that stand in for a Unicode one
    charset: str | None = None


class _Reader:
    def __init__(self, rtf: bytes) -> None:
        self._rtf = rtf
        head = rtf[:1000]
        self.source: Literal["html", "text", ""] = (
            "html" if rb"\fromhtml" in head else "text" if rb"\fromtext" in head else ""
        )
        self._group, self._stack = _Group(), list[_Group]()
        self._out: list[str] = []
        self._bytes = bytearray()
        self._charset = "cp1252"
        self._fonts: dict[int, str] = {}
        self._font = 0
        self._starred = False
        self._left_out = 0  # characters still to be left out after a Unicode one

    def read(self) -> str:
        at = 0
        while (match := _TOKEN.match(self._rtf, at)) is not None:
            at = match.end()
            kind = match.lastgroup
            if kind in ("word", "number"):
                number = int(match["number"]) if match["number"] is not None else None
                if match["word"] == b"bin":
                    at += max(0, number or 0)
                else:
                    self._word(match["word"], number)
            elif kind == "brace":
                if not self._brace(match["brace"]):
                    break
            elif kind == "hex":
                self._add_bytes(bytes.fromhex(match["hex"].decode()))
            elif kind == "text":
                self._add_bytes(match["text"])
            elif kind == "symbol":
                self._symbol(match["symbol"])
        self._flush()
        # Characters beyond the first 65,536 are written as two surrogates.
        return "".join(self._out).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _brace(self, brace: bytes) -> bool:
        self._flush()
        self._starred, self._left_out = False, 0
        if brace == b"{":
            self._stack.append(self._group)
            return len(self._stack) <= _DEPTH
        self._group = self._stack.pop() if self._stack else self._group
        return bool(self._stack)

    def _word(self, word: bytes, number: int | None) -> None:
        starred, self._starred = self._starred, False
        group = self._group
        if word == b"u" and number is not None:
            self._flush()
            self._add(chr(number & 0xFFFF))
            self._left_out = group.skip_after
            return
        self._left_out = 0
        if word in _CHARACTERS:
            self._flush()
            self._add(_CHARACTERS[word])
        elif word == b"htmltag" and self.source:
            self._group = group._replace(markup=True, skipped=False)
        elif word == b"htmlrtf" and self.source:
            self._flush()
            self._group = group._replace(rendering=number != 0)
        elif word == b"fonttbl":
            self._group = group._replace(fonts=True, skipped=True)
        elif starred or word in _DESTINATIONS:
            self._group = group._replace(skipped=True)
        elif number is not None:
            self._setting(word, number)

    def _setting(self, word: bytes, number: int) -> None:
        group = self._group
        if word == b"uc":
            self._group = group._replace(skip_after=max(0, min(number, 8)))
        elif word == b"ansicpg":
            self._charset = known_charset(f"cp{number}") or self._charset
        elif word == b"f":
            self._flush()
            self._font = number
            if not group.fonts:
                self._group = group._replace(charset=self._fonts.get(number))
        elif word == b"fcharset" and group.fonts and len(self._fonts) < _DEPTH and number in _FONT_CHARSETS:
            self._fonts[self._font] = self._charset if number == 0 else _FONT_CHARSETS[number]

    def _symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self._starred = True
        elif symbol in _SYMBOLS:
            self._flush()
            if self._left_out:
                self._left_out -= 1
            else:
                self._add(_SYMBOLS[symbol])

    def _add_bytes(self, data: bytes) -> None:
        if self._left_out:
            left_out = min(self._left_out, len(data))
            self._left_out -= left_out
            data = data[left_out:]
        if not self._group.skipped and not self._hidden:
            self._bytes += data

    def _add(self, text: str) -> None:
        if not self._group.skipped and not self._hidden:
            self._out.append(text)

    @property
    def _hidden(self) -> bool:
        return self._group.rendering and not self._group.markup

    def _flush(self) -> None:
        if self._bytes:
            charset = self._charset if self._group.markup else self._group.charset or self._charset
            self._out.append(self._bytes.decode(charset, FALLBACK))
            self._bytes.clear()
