"""Bytes to text, whatever they claim to be. Nothing here raises."""

from __future__ import annotations

import codecs
import re
from binascii import a2b_qp
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache

from ingest.mime.defects import Defect
from ingest.mime.radix64 import Base64

_WORD = re.compile(rb"=\?([^?\s]{1,64})\?([bBqQ])\?([^?]*)\?=")
_BLANKED = dict.fromkeys((0x09, 0x0A, 0x0D), " ")
_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000))) | _BLANKED
_LONGEST_CHARSET = 64
# Names that mail uses and Python lacks, or has as modules without an alias.
_MORE_CHARSETS = {
    "iso_8859_8_i": "iso8859_8",  # RFC 1556: the direction of the text is implicit
    "iso_8859_8_e": "iso8859_8",
    "koi8_u": "koi8_u",
    "utf_8_sig": "utf_8_sig",
    "windows_874": "cp874",
    "x_euc_jp": "euc_jp",
    "x_gbk": "gbk",
    "x_sjis": "shift_jis",
}


def known_charset(name: str) -> str | None:
    """Python's name of a charset, or None where there is no such charset.

    Only names from a fixed list are looked up: `codecs.lookup` imports a module for whatever name it is given, and
    remembers each one that it did not find, for ever.
    """
    return _known(name[:_LONGEST_CHARSET])


@lru_cache(maxsize=128)  # mail uses a handful; those it makes up push one another out
def _known(name: str) -> str | None:
    key = normalize_encoding(name.strip("\"' \t")).lower()
    known = _MORE_CHARSETS.get(key) or aliases.get(key) or aliases.get(key.replace(".", "_"))
    if known is None and key not in aliases.values():
        return None
    try:
        info = codecs.lookup(known or key)
    except LookupError:  # one of another system, such as mbcs
        return None
    # Codecs such as base64 stand in the same list and are no charsets.
    return info.name if getattr(info, "_is_text_encoding", False) else None


def decode_bytes(data: bytes, charset: str | None, defects: set[Defect]) -> str:
    """Text in a charset; where that is unknown or does not fit, UTF-8, else Windows-1252. See `clean`."""
    if charset is None and data.isascii():
        return data.decode("ascii")
    name = known_charset(charset) if charset else None
    for attempt in filter(None, (name, "utf-8")):
        if charset and attempt != name:
            defects.add(Defect.UNKNOWN_CHARSET)
        try:
            return data.decode(attempt)
        except ValueError:
            continue
    return data.decode("cp1252", "replace")


def decode_header(value: bytes, defects: set[Defect]) -> str:
    """An unstructured header, with its encoded-words (RFC 2047); adjacent ones are joined before they are decoded.

    Some senders split a character over two words, and put words inside quotes; both are read. What comes out may
    hold control characters, which a file name has to tell of: see `clean`.
    """
    if not value.isascii():
        defects.add(Defect.RAW_BYTES)
    elif b"=?" not in value:
        return value.decode("ascii").strip()
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


def _charset(word: re.Match[bytes]) -> str:
    """Without a language behind it (RFC 2231 section 5)."""
    return word[1].partition(b"*")[0].decode("ascii", "replace").lower()


def _word(kind: bytes, data: bytes, defects: set[Defect]) -> bytes:
    if kind in b"qQ":
        return a2b_qp(data, header=True)
    decoder = Base64()
    decoded = decoder.feed(data) + decoder.close()
    defects |= decoder.defects
    return decoded


def clean(text: str) -> str:
    """Without control characters and lone surrogates; line ends and tabs become blanks."""
    return text if text.isprintable() else text.translate(_CONTROLS)
