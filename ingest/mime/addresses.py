"""Address lists (RFC 5322 section 3.4), read once from left to right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.domain.manifest import Address
from ingest.mime.text import clean, decode_header

if TYPE_CHECKING:
    from ingest.mime.defects import Defect

# Possessive: what is taken is never tried again, so that nothing has to be remembered of it.
_TOKEN = re.compile(
    rb"""
      (?P<quoted>"(?:[^"\\]++|\\.)*+"?)
    | (?P<comment>\((?:[^()\\]++|\\.)*+\)?)
    | (?P<angle><[^>]*>?)
    | (?P<end>[,;])
    | (?P<group>:)
    | (?P<text>[^",;:<(]+)
    """,
    re.VERBOSE | re.DOTALL,
)

# One address with a name, or none, as most fields hold it; nothing in it is escaped or commented.
_USUAL = re.compile(
    rb"""
      (?: "([^"\\=\x00-\x1f\x7f-\xff]*)"[ ]* | ([\w .&+-]*) | (=\?[^?\s]+\?[BbQq]\?[^?\s]*\?=)[ ]* )
      <([!\#-'*+./-9?A-Z^-~-]+@[\w.-]+)>
    | ([!\#-'*+./-9?A-Z^-~-]+@[\w.-]+)
    """,
    re.ASCII | re.VERBOSE,
)
_USUAL_BYTES = 320


def parse_addresses(value: bytes, most: int, defects: set[Defect]) -> list[Address]:
    """The first addresses of a list; groups are opened, comments serve as names where there is no other.

    Args:
        value: unfolded.
        most: how many to read.
        defects: grows.
    """
    usual = _USUAL.fullmatch(value) if len(value) <= _USUAL_BYTES else None
    if usual is not None and most:
        quoted, plain, word, angle, address = usual.groups()
        name = clean(decode_header(word, defects)) if word else (quoted or plain or b"").decode("ascii").strip()
        return [Address(name=name, address=(angle or address).decode("ascii"))]
    found: list[Address] = []
    words: list[bytes] = []
    comment, angle = b"", None
    for match in _TOKEN.finditer(value):
        kind, token = match.lastgroup, match[0]
        if kind == "end":
            _add(found, words, comment, angle, defects)
            if len(found) >= most:
                return found
            words, comment, angle = [], b"", None
        elif kind == "angle":
            angle = token.strip(b"<> \t")
        elif kind == "comment":
            comment = token.strip(b"()")
        elif kind == "group":
            words, comment = [], b""
        elif kind == "quoted":
            words.append(re.sub(rb"\\(.)", rb"\1", token.strip(b'"')))
        else:
            words.append(token.strip())
    _add(found, words, comment, angle, defects)
    return found


def _add(found: list[Address], words: list[bytes], comment: bytes, angle: bytes | None, defects: set[Defect]) -> None:
    text = b" ".join(filter(None, words))
    if angle is None and b"@" in text:
        angle, text = text.replace(b" ", b""), comment
    if angle or text:
        name = clean(decode_header(text or comment, defects))
        found.append(Address(name=name[:320], address=clean((angle or b"").decode("utf-8", "replace"))[:320]))
