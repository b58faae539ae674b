"""The text of an XML file as a stream: its encoding, and what may stand before its first tag."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from webencodings import lookup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# XML 1.0 appendix F. Longer marks come first, because the mark of UTF-16 begins that of UTF-32.
_ENCODINGS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
    (b"\x4c\x6f\xa7\x94\x93", "cp037"),  # <?xml in EBCDIC
)
_BLANKS = " \t\r\n\0\ufeff"
BLANK_BYTES = b" \t\r\n\0"
_DECLARED = re.compile(rb"""<\?xml\s[^>]{0,200}?encoding\s{0,9}=\s{0,9}["']([A-Za-z0-9._:-]{1,40})["']""")
_ASCII = bytes(range(0x20, 0x7F))
_COMMENT = "<!--"
_WINDOWS = "mailhaul.windows-1252"


def encoding_of(head: bytes) -> str | None:
    """Return the encoding of a file by its mark, first character or declaration; None if it cannot be XML.

    Args:
        head: the beginning of the file, cut anywhere.
    """
    encoding = next((name for mark, name in _ENCODINGS if head.startswith(mark)), None)
    if encoding is not None:
        return encoding
    start = head.lstrip(BLANK_BYTES + codecs.BOM_UTF8)  # some programs write the mark twice
    if not start.startswith(b"<"):
        return None
    if start[1:2] != b"\0":
        return _declared(start)
    # UTF-16 without a mark, behind blanks; which byte of each pair is zero decides.
    return "utf-16-be" if (len(head) - len(start)) % 2 else "utf-16-le"


def is_markup(head: bytes, encoding: str) -> bool:
    """Return whether a file in an encoding begins with a tag, behind blanks."""
    return head.decode(encoding, "replace").lstrip(_BLANKS).startswith("<")


def _declared(start: bytes) -> str:
    """Return the declared encoding if it is one in which markup is ASCII; nobody declares UTF-16 in ASCII."""
    found = _DECLARED.match(start)
    known = lookup(found[1].decode()) if found is not None else None
    if known is None:
        return "utf-8"
    try:
        is_superset = _ASCII.decode(known.codec_info.name) == _ASCII.decode()
    except (LookupError, UnicodeDecodeError):
        return "utf-8"
    return known.codec_info.name if is_superset else "utf-8"


def decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Decode chunks that are cut anywhere. What is no UTF-8, though it should be, is read as Windows-1252."""
    decoder = codecs.getincrementaldecoder(encoding)(_WINDOWS if encoding == "utf-8" else "replace")
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _as_windows(error: UnicodeError) -> tuple[str, int]:
    """Handle bytes that cannot be decoded."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(_WINDOWS, _as_windows)


class Prolog:
    """Skips what precedes the first tag or DOCTYPE: marks, blanks, comments and instructions of any length.

    It keeps no more than a few characters, whatever the length of a comment, and is more lenient than XML: blanks
    may stand before the declaration.
    """

    def __init__(self) -> None:
        self.ended = False
        self._held = ""
        self._until = ""

    def feed(self, text: str) -> str:
        """Return what follows the prolog in the next piece of text; empty while it lasts."""
        if self.ended:
            return text
        text = self._held + text
        while text:
            if self._until:
                end = text.find(self._until)
                if end < 0:
                    self._held = text[1 - len(self._until) :]
                    return ""
                text = text[end + len(self._until) :]
                self._until = ""
            text = text.lstrip(_BLANKS)
            if text.startswith(_COMMENT):
                self._until, text = "-->", text[len(_COMMENT) :]
            elif text.startswith("<?"):
                self._until, text = "?>", text[2:]
            elif _COMMENT.startswith(text):
                break
            else:
                self.ended = True
                return text
        self._held = text
        return ""
