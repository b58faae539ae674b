"""Decode bytes to text, whatever charset they claim. Nothing here raises."""

from __future__ import annotations

import re
from binascii import a2b_qp
from typing import Final

from ingest.mime.charsets import FALLBACK, detect_charset, is_utf8, known_charset, utf16_by_content
from ingest.mime.defects import Defect
from ingest.mime.radix64 import Base64

# The text of a word may hold a question mark, and equals signs, but not the beginning of another word.
# Not possessive: up to Python 3.11.4, which Debian 12 has, a possessive group with a lookahead matches too little
# (CPython's issue 106052).
_WORD: Final = re.compile(rb"=\?([^?\s]{1,64})\?([bBqQ])\?((?:[^?=]++|=(?!\?[^?\s=])|\?(?!=))*)\?=")
_BLANKED: Final = dict.fromkeys((0x09, 0x0A, 0x0D), " ")
_CONTROLS: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000))) | _BLANKED
_LONGEST_DETECTED: Final = 998  # bytes of a header: the longest line that RFC 5322 allows


def decode_bytes(data: bytes, charset: str | None, defects: set[Defect]) -> str:
    """Decode text in a charset; an undeclared or unknown one is UTF-8, else Windows-1252. See `clean`.

    A character that does not fit a known charset becomes U+FFFD; the rest of the text is kept.
    """
    if charset is None and data.isascii():
        return data.decode("ascii")
    name = known_charset(charset) if charset else None
    if name is None or name == "ascii":
        if charset and not data.isascii():
            defects.add(Defect.UNKNOWN_CHARSET)
        return data.decode("utf-8" if is_utf8(data) else "cp1252", "replace")
    if name == "utf-16" and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        name = utf16_by_content(data)
    try:
        return data.decode(name)
    except ValueError:
        return _decode_unfit(data, name, defects)


def _decode_unfit(data: bytes, name: str, defects: set[Defect]) -> str:
    if name == "utf-8":
        defects.add(Defect.BAD_CHARSET)
        text = data.decode("utf-8", "replace")
        # Without one valid sequence the label is wrong, and not a character.
        return text if not text.replace("\ufffd", "").isascii() else data.decode("cp1252", "replace")
    if not data.isascii() and is_utf8(data):
        defects.add(Defect.BAD_CHARSET)
        return data.decode()
    text = data.decode(name, FALLBACK)
    if "\ufffd" in text:
        defects.add(Defect.BAD_CHARSET)
    return text


def decode_header(value: bytes, defects: set[Defect]) -> str:
    """Decode an unstructured header with encoded-words (RFC 2047).

    Adjacent words of one charset are joined before they are decoded, since some senders split a character over two;
    words inside quotes are decoded, too. The result may hold control characters, which a file name has to report as
    a defect: see `clean`.
    """
    if b"=?" not in value:
        if value.isascii() and b"\x1b" not in value:
            return value.decode("ascii").strip()
        defects.add(Defect.RAW_BYTES)
        return _decode_raw(value, defects).strip()
    if not value.isascii():
        defects.add(Defect.RAW_BYTES)
    only = _WORD.fullmatch(value)
    if only is not None:
        return decode_bytes(_word(only[2], only[3], defects), _charset(only), defects).strip()
    pieces: list[str] = []
    pending, pending_charset = list[bytes](), ""
    at = 0
    for match in _WORD.finditer(value):
        between = value[at : match.start()]
        charset = _charset(match)
        joined = pending_charset and not between.strip()
        if pending_charset and not (joined and charset == pending_charset):
            pieces.append(decode_bytes(b"".join(pending), pending_charset, defects))
            pending = []
        if not joined:
            pieces.append(decode_bytes(between, None, defects))
        pending.append(_word(match[2], match[3], defects))
        pending_charset = charset
        at = match.end()
    if pending_charset:
        pieces.append(decode_bytes(b"".join(pending), pending_charset, defects))
    pieces.append(decode_bytes(value[at:], None, defects))
    return "".join(pieces).strip()


def without_escapes(value: bytes, defects: set[Defect]) -> bytes:
    """Return a structured value as UTF-8 if it is Japanese in ISO 2022, whose characters look like delimiters."""
    if b"\x1b$" not in value:
        return value
    defects.add(Defect.RAW_BYTES)
    return _decode_raw(value, defects).encode("utf-8", "replace")


def has_encoded_word(value: bytes) -> bool:
    """Return whether a value holds an encoded-word."""
    return b"=?" in value and _WORD.search(value) is not None


def _decode_raw(value: bytes, defects: set[Defect]) -> str:
    """Decode bytes above 127 without a charset: UTF-8, else by detection, else Windows-1252."""
    if b"\x1b" in value or not is_utf8(value):
        found = detect_charset(value[:_LONGEST_DETECTED])
        if found is not None:
            defects.add(Defect.CHARSET_DETECTED)
            return value.decode(found, FALLBACK)
    return decode_bytes(value, None, defects)


def _charset(word: re.Match[bytes]) -> str:
    """Return the charset of a word without its language (RFC 2231 section 5)."""
    return word[1].partition(b"*")[0].decode("ascii", "replace").lower()


def _word(kind: bytes, data: bytes, defects: set[Defect]) -> bytes:
    if kind in b"qQ":
        return a2b_qp(data, header=True)
    decoder = Base64()
    decoded = decoder.feed(data) + decoder.close()
    defects |= decoder.defects
    return decoded


def clean(text: str) -> str:
    """Remove control characters and lone surrogates; line ends and tabs become blanks."""
    return text if text.isprintable() else text.translate(_CONTROLS)
