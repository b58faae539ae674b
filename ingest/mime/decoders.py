"""Transfer decoders: encoded bytes in, in pieces of any size; exactly the bytes that the sender encoded out."""

from __future__ import annotations

import re
from binascii import a2b_qp
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from ingest.mime.blocks import BlockEnded, Blocks
from ingest.mime.defects import Defect
from ingest.mime.radix64 import Base64, decode_clean, is_base64_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ingest.mime.blocks import Found

# Up to 250 blanks between an equals sign and the line end are tolerated. The line end may be a bare CR.
_ESCAPE: Final = re.compile(rb"=(?:([0-9A-Fa-f]{2})|[ \t]{0,250}(?:\r\n?|\n))")
_OPEN_ESCAPE: Final = re.compile(rb"=[0-9A-Fa-f]?\Z|=[ \t]{0,250}\r?\Z")
_INVALID_ESCAPE: Final = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n)")
_LONGEST_ESCAPE: Final = 256
_FEW_ESCAPES: Final = 16  # one in so many bytes at most
_BEFORE_FILE: Final = 65_536  # bytes before a uuencoded file; a longer text holds none
_BEGINNING: Final = 1024  # bytes that show whether a text is base64
_FIELD: Final = re.compile(rb"\s*[!-9;-~]{1,76}[ \t]*:")
_BASE64_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n\t \0"
_BASE64_BLANKS: Final = b"\r\n\t \0"
_FEW_LETTERS: Final = 64
_LINES: Final = 8  # of a text, whose words show what it is
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PLAIN_TYPES: Final = ("text/", "message/")
_PLAIN_SUFFIXES: Final = ("/xml", "+xml", "/json", "+json", "/edifact")
_SHARE: Final = 20  # one byte in this many outside the alphabet is more than damage
_HEX: Final = {b"%02X" % byte: bytes([byte]) for byte in range(256)}


class Decoder(Protocol):
    """Decodes a stream of bytes and collects `defects`.

    `skipped` counts encoded bytes that are neither blank nor decoded, by the defect that reports them.
    """

    @property
    def defects(self) -> set[Defect]:
        """What was repaired so far."""
        ...

    @property
    def skipped(self) -> Mapping[Defect, int]:
        """Bytes by defect."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Decode as much as possible."""
        ...

    def close(self) -> bytes:
        """Decode the rest."""
        ...


NOTHING_SKIPPED: Final[Mapping[Defect, int]] = MappingProxyType({})


class Identity:
    """7bit, 8bit, binary and unknown encodings: the bytes are not changed."""

    __slots__ = ("defects",)
    skipped = NOTHING_SKIPPED

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
    skipped = NOTHING_SKIPPED

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

        Where escapes are few, an expression finds the first invalid one soonest. Where they are many, their number
        shows it: the output has the length that valid escapes give it only if all are valid. An escape before a CR
        without LF, after which the standard library drops bytes, is excluded first.
        """
        escapes = data.count(b"=")
        if not escapes:
            return data
        if escapes * _FEW_ESCAPES < len(data):
            if _INVALID_ESCAPE.search(data) is None:
                return a2b_qp(data)
        else:
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
    """uuencode or yEnc as a transfer encoding: the bytes of the files in it, without the lines around them.

    Without such a file, the bytes are not decoded.
    """

    __slots__ = ("_beginning", "_blocks", "_is_file", "defects", "skipped")

    def __init__(self) -> None:
        self.defects: set[Defect] = set()
        self.skipped: dict[Defect, int] = {}
        self._blocks = Blocks(counts_text=True)
        self._beginning: bytes | None = b""  # until a file begins, or it is certain that none is meant
        self._is_file = True

    def feed(self, data: bytes) -> bytes:
        """Decode all complete lines."""
        if not self._is_file:
            return data
        if self._beginning is not None:
            self._beginning += data
        decoded = self._bytes(self._blocks.feed(data))
        return self._plain() if self._beginning is not None and len(self._beginning) > _BEFORE_FILE else decoded

    def close(self) -> bytes:
        """Decode the last line."""
        if not self._is_file:
            return b""
        data = self._bytes(self._blocks.close())
        if self._beginning is not None:
            return self._plain()
        if self._blocks.text_bytes:
            self.defects.add(Defect.TEXT_AROUND)
            self.skipped[Defect.TEXT_AROUND] = self._blocks.text_bytes
        return data

    def _plain(self) -> bytes:
        data, self._beginning, self._is_file = self._beginning or b"", None, False
        self.defects.add(Defect.NO_BLOCK)
        return data

    def _bytes(self, found: list[Found]) -> bytes:
        data = []
        for item in found:
            self._beginning = None
            if isinstance(item, bytes):
                data.append(item)
            elif isinstance(item, BlockEnded):
                self.defects |= item.defects
                if item.skipped:
                    self.skipped[Defect.BAD_UUENCODE] = self.skipped.get(Defect.BAD_UUENCODE, 0) + item.skipped
        return b"".join(data)


class Base64OrPlain:
    """Declared as base64, for text and messages: what is obviously not base64 is taken as it is."""

    __slots__ = ("_beginning", "_decoder")

    def __init__(self) -> None:
        self._beginning = b""
        self._decoder: Decoder | None = None

    @property
    def defects(self) -> set[Defect]:
        """Those of the decoder that was chosen."""
        return self._decoder.defects if self._decoder is not None else set()

    @property
    def skipped(self) -> Mapping[Defect, int]:
        """Those of the decoder that was chosen."""
        return self._decoder.skipped if self._decoder is not None else {}

    def feed(self, data: bytes) -> bytes:
        """Hold back the first bytes until they suffice to choose a decoder."""
        if self._decoder is not None:
            return self._decoder.feed(data)
        self._beginning += data
        return self._choose() if len(self._beginning) >= _BEGINNING else b""

    def close(self) -> bytes:
        """Decode the rest."""
        data = self._choose(whole=True) if self._decoder is None else b""
        assert self._decoder is not None  # it is chosen by now
        return data + self._decoder.close()

    def _choose(self, *, whole: bool = False) -> bytes:
        plain = _is_plain(self._beginning[:_BEGINNING]) or (whole and _is_short_text(self._beginning))
        self._decoder = Identity(Defect.ENCODING_WRONG) if plain else Base64()
        beginning, self._beginning = self._beginning, b""
        return self._decoder.feed(beginning)


def _is_plain(beginning: bytes) -> bool:
    """Whether text cannot be base64: it begins with a header field, or with words, or holds many other characters."""
    if _FIELD.match(beginning):
        return True
    if is_base64_line(beginning.lstrip().partition(b"\n")[0].rstrip()):
        return False  # words in the lines behind it are what a list or a virus scanner added
    line, *others = beginning.lstrip().split(b"\n", _LINES)
    for each in (line, *others[: _LINES - 1]):
        words = each.split()
        if len(words) > 1 and any(len(word) % 4 == 1 or word.translate(None, _BASE64_BYTES) for word in words):
            return True
    odd = [(len(text.translate(None, _BASE64_BYTES)), len(text)) for text in (line, beginning)]
    return any(other > 1 and other * _SHARE > length for other, length in odd)


def _is_short_text(content: bytes) -> bool:
    """Whether a few letters, such as those of a greeting, are no base64 because of their number."""
    letters = content.translate(None, _BASE64_BLANKS)
    return len(letters) <= _FEW_LETTERS and len(letters) % 4 == 1 and not letters.translate(None, _LETTERS)


def decoder_for(encoding: str, media_type: str = "") -> Decoder:
    """Return the decoder for a Content-Transfer-Encoding as written; quotes, comments and semicolons are ignored.

    Args:
        encoding: the field's value.
        media_type: that of the part. A text or message declared as base64 is read as it is if it is obviously plain.
    """
    name = encoding.lower()
    make = _DECODERS.get(name) or _DECODERS.get(_AROUND.sub("", name)) or _SPELLED.get(_SPELLING.sub("", name))
    if make is None:
        return Identity(Defect.UNKNOWN_ENCODING)
    plain = make is Base64 and (media_type.startswith(_PLAIN_TYPES) or media_type.endswith(_PLAIN_SUFFIXES))
    return Base64OrPlain() if plain else make()


def decode(data: bytes, encoding: str, media_type: str, defects: set[Defect]) -> tuple[bytes, Mapping[Defect, int]]:
    """Return the decoded bytes of a whole part, and what was skipped in them; see `decoder_for`. `defects` grows."""
    decoder = decoder_for(encoding, media_type)
    if type(decoder) is Base64 and (decoded := decode_clean(data)) is not None:
        return decoded, NOTHING_SKIPPED
    decoded, rest = decoder.feed(data) if data else b"", decoder.close()
    defects |= decoder.defects
    return decoded + rest if rest else decoded, decoder.skipped


# Transfer encodings that change nothing, as most software writes them.
UNENCODED: Final = frozenset({"", "7bit", "8bit", "binary", "7BIT", "8BIT"})
_AROUND: Final = re.compile(r"\(.*|[;\"'\s]", re.DOTALL)
_DECODERS: Final[dict[str, Callable[[], Decoder]]] = {
    "base64": Base64,
    "quoted-printable": QuotedPrintable,
    **dict.fromkeys(("", "7bit", "8bit", "binary"), Identity),
    **dict.fromkeys(("uuencode", "x-uuencode", "uue", "x-uue", "x-uu"), EncodedFile),
    **dict.fromkeys(("yenc", "x-yenc", "yencode", "x-yencode"), EncodedFile),
}
# Without the hyphens, which some senders put elsewhere: `base-64`, `quoted_printable`.
_SPELLING: Final = re.compile(r"[^a-z0-9]")
_SPELLED: Final = {_SPELLING.sub("", name): make for name, make in _DECODERS.items() if name}
