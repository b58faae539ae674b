"""Address lists (RFC 5322 section 3.4), read once from left to right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ingest.domain.mail import Address
from ingest.mime.text import clean, decode_header, without_escapes

if TYPE_CHECKING:
    from ingest.mime.defects import Defect

# Possessive, so that matching never backtracks.
_TOKEN: Final = re.compile(
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

# One address with or without a name, as most fields hold it; nothing in it is escaped or commented.
_USUAL: Final = re.compile(
    rb"""
      (?: "([^"\\=\x00-\x1f\x7f-\xff]*)"[ ]* | ([\w .&+-]*) | (=\?[^?\s]+\?[BbQq]\?[^?\s]*\?=)[ ]* )
      <([!\#-'*+./-9?A-Z^-~-]+@[\w.-]+)>
    | ([!\#-'*+./-9?A-Z^-~-]+@[\w.-]+)
    """,
    re.ASCII | re.VERBOSE,
)
_USUAL_BYTES: Final = 320
_COMMAS: Final = 3  # in a name without quotes: `Doe, Jane, M.A.`


def parse_addresses(value: bytes, most: int, defects: set[Defect]) -> list[Address]:
    """Return the first addresses of a list; groups are flattened, a comment is the name if there is no other.

    A comma inside an unquoted name (`Doe, Jane <j@example.com>`) does not end the entry.

    Args:
        value: the unfolded field.
        most: limit on the number of addresses.
        defects: grows.
    """
    usual = _USUAL.fullmatch(value) if len(value) <= _USUAL_BYTES else None
    if usual is not None and most:
        quoted, plain, word, angle, address = usual.groups()
        name = clean(decode_header(word, defects)) if word else (quoted or plain or b"").decode("ascii").strip()
        return [Address(name=name, address=(angle or address).decode("ascii"))]
    value = without_escapes(value, defects)
    found = _parse_list(value, most, defects)
    if b"=?" in value and not any("@" in address.address for address in found):
        # Some senders encode the whole field, addresses included.
        decoded = decode_header(value, set()).encode("utf-8", "replace")
        again = _parse_list(decoded, most, set())
        if any("@" in address.address for address in again):
            return again
    return found


def _parse_list(value: bytes, most: int, defects: set[Defect]) -> list[Address]:
    found: list[Address] = []
    entry = _Entry()
    for match in _TOKEN.finditer(value):
        kind, token = match.lastgroup, match[0]
        if kind == "end":
            if token != b"," or not entry.is_name:
                entry.add_to(found, defects)
                entry = _Entry()
            else:
                entry.keep_name(found, defects)
            if len(found) >= most:
                return found[:most]
        elif kind == "angle":
            entry.angle = token.strip(b"<> \t")
        elif kind == "comment":
            entry.comment = token.strip(b"()")
        elif kind == "group":
            entry = _Entry()
        elif kind == "quoted":
            entry.words.append(re.sub(rb"\\(.)", rb"\1", token.strip(b'"')))
            entry.quoted = token if value[match.end() : match.end() + 1] == b"@" else b""
        elif entry.quoted:
            entry.angle, entry.quoted = entry.quoted + token.strip(), b""
            entry.words.pop()
        else:
            entry.words.append(token.strip())
    entry.add_to(found, defects)
    return found[:most]


class _Entry:
    """One entry of a list, and the texts before it that may be the beginning of a name that lacks its quotes."""

    def __init__(self) -> None:
        self.words: list[bytes] = []
        self.comment = b""
        self.quoted = b""  # the local part of an address, with its quotes
        self.angle: bytes | None = None
        self._names: list[bytes] = []

    @property
    def is_name(self) -> bool:
        """Whether it is text without an address so far."""
        bare = self.angle is None and not self.comment
        return bare and any(self.words) and not any(b"@" in word for word in self.words)

    def keep_name(self, found: list[Address], defects: set[Defect]) -> None:
        """Keep the text before a comma for the next entry."""
        self._names.append(b" ".join(filter(None, self.words)))
        self.words = []
        if len(self._names) > _COMMAS:
            _add(found, [self._names.pop(0)], b"", None, defects)

    def add_to(self, found: list[Address], defects: set[Defect]) -> None:
        """Add it to a list; without an address in angle brackets, the texts before it are entries of their own."""
        words = self.words
        if self.angle is None:
            for name in self._names:
                _add(found, [name], b"", None, defects)
        elif self._names:
            words = [b", ".join(self._names) + b",", *words]
        _add(found, words, self.comment, self.angle, defects)


def _add(found: list[Address], words: list[bytes], comment: bytes, angle: bytes | None, defects: set[Defect]) -> None:
    text = b" ".join(filter(None, words))
    if angle is None and b"@" in text:
        before, _, last = text.rpartition(b" ")
        # The last word is the address, unless there are blanks around its @.
        whole = b"@" in last.strip(b"@") and not last.startswith(b"@") and b"@" not in before
        angle, text = (last, before) if whole else (text.replace(b" ", b""), comment)
    elif angle is not None and b'"' not in angle:
        angle = angle.replace(b" ", b"").removeprefix(b"mailto:")
        # A route (RFC 5322 section 4.4): `@relay.example,@other.example:local@domain.example`.
        angle = angle.rpartition(b":")[2] if angle.startswith(b"@") else angle
    if angle or text:
        name = clean(decode_header(text or comment, defects))
        found.append(Address(name=name[:320], address=clean((angle or b"").decode("utf-8", "replace"))[:320]))
