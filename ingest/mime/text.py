"""Octets to text, whatever they claim to be. What comes out is always valid UTF-8 without control characters."""

from __future__ import annotations

import codecs
import re
from binascii import a2b_qp

from ingest.mime.decoders import Base64
from ingest.mime.defects import Defect

_WORD = re.compile(rb"=\?([^?\s]{1,64})\?([bBqQ])\?([^?]*)\?=")
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160), *range(55296, 57344)))
_KEPT_BLANK = {0x09: " ", 0x0A: " ", 0x0D: " "}
# Codecs that Python counts as text and that are none, or that read ASCII as something else.
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})


def known_charset(name: str) -> str | None:
    """Python's name of a charset, or None where there is no such charset."""
    try:
        info = codecs.lookup(name.strip("\"' \t").replace(" ", ""))
    except (LookupError, ValueError, UnicodeError):
        return None
    text = getattr(info, "_is_text_encoding", False)
    return info.name if text and info.name.replace("-", "_") not in _NO_CHARSETS else None


def decode_octets(octets: bytes, charset: str | None, defects: set[Defect]) -> str:
    """Text in a charset; where that is unknown or does not fit, UTF-8, else Windows-1252."""
    name = known_charset(charset) if charset else None
    if charset and name is None:
        defects.add(Defect.UNKNOWN_CHARSET)
    for attempt in filter(None, (name, "utf-8")):
        try:
            return clean(octets.decode(attempt))
        except (UnicodeDecodeError, ValueError):
            continue
    return clean(octets.decode("cp1252", "replace"))


def decode_header(value: bytes, defects: set[Defect]) -> str:
    """An unstructured header, with its encoded-words (RFC 2047); adjacent ones are joined before they are decoded.

    Some senders split a character over two words, and put words inside quotes; both are read.
    """
    if not value.isascii():
        defects.add(Defect.RAW_OCTETS)
    pieces: list[str] = []
    pending, pending_charset = b"", ""
    at = 0
    for match in _WORD.finditer(value):
        between = value[at : match.start()]
        charset = match[1].split(b"*")[0].decode("ascii", "replace").lower()
        joined = pending_charset and not between.strip()
        if pending_charset and not (joined and charset == pending_charset):
            pieces.append(decode_octets(pending, pending_charset, defects))
            pending = b""
        if not joined:
            pieces.append(decode_octets(between, None, defects))
        pending, pending_charset = pending + _word(match[2], match[3], defects), charset
        at = match.end()
    if pending_charset:
        pieces.append(decode_octets(pending, pending_charset, defects))
    pieces.append(decode_octets(value[at:], None, defects))
    return "".join(pieces).strip()


def _word(kind: bytes, octets: bytes, defects: set[Defect]) -> bytes:
    if kind in b"qQ":
        return a2b_qp(octets, header=True)
    decoder = Base64()
    decoded = decoder.feed(octets) + decoder.close()
    defects |= decoder.defects
    return decoded


def clean(text: str) -> str:
    """Without control characters and lone surrogates; line ends and tabs become blanks."""
    return text.translate({**_CONTROLS, **_KEPT_BLANK}) if not text.isprintable() else text


class Utf8Text:
    """A body's octets as UTF-8, in any pieces."""

    def __init__(self, charset: str | None) -> None:
        self.defects: set[Defect] = set()
        name = known_charset(charset) if charset else "utf-8"
        if name is None:
            self.defects.add(Defect.UNKNOWN_CHARSET)
        self._guessing = name in (None, "ascii") or not charset
        self._name = "utf-8" if self._guessing else str(name)
        self._decoder = codecs.getincrementaldecoder(self._name)("strict")

    def feed(self, data: bytes) -> bytes:
        """What is whole so far."""
        return self._decode(data, final=False)

    def close(self) -> bytes:
        """The rest."""
        return self._decode(b"", final=True)

    def _decode(self, data: bytes, *, final: bool) -> bytes:
        state = self._decoder.getstate()
        try:
            text = self._decoder.decode(data, final)
        except (UnicodeDecodeError, ValueError):
            # Once a guess has failed, the rest is read by the next one; octets that were held back go first.
            data = state[0] + data
            name = "cp1252" if self._guessing else self._name
            if not self._guessing:
                self.defects.add(Defect.BAD_CHARSET)
            self._guessing = False
            self._decoder = codecs.getincrementaldecoder(name)("replace")
            text = self._decoder.decode(data, final)
        return text.encode("utf-8", "replace")
