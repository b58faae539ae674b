"""DKIM canonicalization of header fields and bodies (RFC 6376 section 3.4), in linear time."""

from __future__ import annotations

import hashlib
import re
from typing import Literal, NamedTuple

Form = Literal["simple", "relaxed"]

_FIELD = re.compile(rb"^([!-9;-~]++)([ \t]*+):(.*+(?:\n[ \t].*+)*+)", re.MULTILINE)
_BLANKS = re.compile(rb"[ \t]++")


class RawField(NamedTuple):
    """A raw field with LF line ends: its name, the blanks before the colon, its folded value."""

    name: bytes
    gap: bytes
    value: bytes

    def canonical(self, form: Form) -> bytes:
        """Return the canonical field with its line end."""
        if form == "simple":
            return b"%s%s:%s\r\n" % (self.name, self.gap, self.value.replace(b"\n", b"\r\n"))
        value = _BLANKS.sub(b" ", self.value.replace(b"\n", b"")).strip(b" ")
        return b"%s:%s\r\n" % (self.name.lower(), value)


def raw_fields(head: bytes) -> list[RawField]:
    """Return the fields of a header; lines outside of fields are skipped."""
    return [RawField(*match.groups()) for match in _FIELD.finditer(head.replace(b"\r\n", b"\n"))]


class BodyHash:
    """SHA-256 and length of the canonical form of a body that is fed in pieces of any size.

    Empty lines at the end do not count, so line ends are held back until content follows them; so are a CR and a
    blank before it, since they may end a line.
    """

    def __init__(self, form: Form) -> None:
        self._form = form
        self._sha256 = hashlib.sha256()
        self._held = b""
        self._line_ends = 0
        self.length = 0

    def feed(self, data: bytes) -> None:
        """Hash the next bytes of the body."""
        data = (self._held + data).replace(b"\r\n", b"\n")
        if self._form == "relaxed":
            data = _BLANKS.sub(b" ", data).replace(b" \n", b"\n")
        open_end = len(data) - data.endswith(b"\r")
        if self._form == "relaxed" and data.endswith(b" ", 0, open_end):
            open_end -= 1
        self._held = data[open_end:]
        self._add(data[:open_end])

    def digest(self) -> bytes:
        """Return the hash at the end of the body."""
        held = self._held.rstrip(b" ") if self._form == "relaxed" else self._held
        self._held = b""
        self._add(held)
        self._line_ends = 0
        if self.length or self._form == "simple":
            self._hash(b"\r\n")
        return self._sha256.digest()

    def _add(self, data: bytes) -> None:
        content = data.rstrip(b"\n")
        if content:
            self._hash(b"\r\n" * self._line_ends + content.replace(b"\n", b"\r\n"))
            self._line_ends = 0
        self._line_ends += len(data) - len(content)

    def _hash(self, data: bytes) -> None:
        self._sha256.update(data)
        self.length += len(data)
