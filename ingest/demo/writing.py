"""Writes MIME by hand, so that every byte is determined here and does not change with the Python version.

Line ends are CRLF. Header lines are given as text and written in ISO 8859-1: what is not ASCII goes out as raw 8-bit
bytes, as old mailers send it; who wants it right uses `encoded_words`.
"""

from __future__ import annotations

import base64
import quopri
from dataclasses import dataclass
from urllib.parse import quote

CRLF = b"\r\n"
# RFC 2047 section 2: an encoded-word is at most 75 characters long.
_WORD_CHARS = 14
# RFC 2231 section 3: long values go out in segments; a character is never cut in two.
_SEGMENT_CHARS = 16


@dataclass(frozen=True, slots=True)
class Part:
    """Header lines (without line ends; folded ones hold CRLF and a blank) and an encoded body."""

    headers: tuple[str, ...]
    body: bytes

    def render(self) -> bytes:
        """Header, empty line, body."""
        return b"".join(line.encode("latin-1") + CRLF for line in self.headers) + CRLF + self.body


def text_part(text: str, subtype: str = "plain", charset: str = "utf-8") -> Part:
    """A body in quoted-printable. `text` has LF line ends."""
    headers = (f"Content-Type: text/{subtype}; charset={charset}", "Content-Transfer-Encoding: quoted-printable")
    return Part(headers, _quoted_printable(text.encode(charset)))


def file_part(content: bytes, content_type: str, disposition: str, *more: str, encoding: str = "base64") -> Part:
    """A file in base64, or in quoted-printable where its lines end in CRLF.

    Args:
        content: the bytes.
        content_type: value of Content-Type, with its parameters.
        disposition: value of Content-Disposition.
        more: further header lines.
        encoding: value of Content-Transfer-Encoding; whatever begins otherwise than `quoted` means base64.
    """
    body = _quoted_printable(content) if encoding.startswith("quoted") else _base64(content)
    headers = (
        f"Content-Type: {content_type}",
        f"Content-Transfer-Encoding: {encoding}",
        f"Content-Disposition: {disposition}",
    )
    return Part((*headers, *more), body)


def multipart(subtype: str, boundary: str, *parts: Part, closed: bool = True) -> Part:
    """Parts in a row (RFC 2046 section 5.1); `subtype` may bring parameters, `closed` writes the final boundary."""
    body = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part.render()) for part in parts)
    end = b"--%b--\r\n" % boundary.encode() if closed else b""
    return Part((f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"',), body + end)


def encoded_words(text: str) -> str:
    """Text as encoded-words (RFC 2047) in UTF-8 and base64, one on each line."""
    chunks = [text[at : at + _WORD_CHARS] for at in range(0, len(text), _WORD_CHARS)]
    return "\r\n ".join(f"=?UTF-8?B?{base64.b64encode(chunk.encode()).decode()}?=" for chunk in chunks)


def encoded_name(text: str) -> str:
    """A short text as one encoded-word in ISO 8859-1 and Q encoding (RFC 2047 section 4.2)."""
    escaped = quote(text, safe=" ", encoding="latin-1").replace("%", "=").replace("_", "=5F")
    return f"=?iso-8859-1?Q?{escaped.replace(' ', '_')}?="


def extended_parameter(name: str, value: str) -> str:
    """A parameter as RFC 2231 wants it: percent-encoded UTF-8, in numbered segments, one on each line."""
    cuts = [quote(value[at : at + _SEGMENT_CHARS], safe="") for at in range(0, len(value), _SEGMENT_CHARS)]
    cuts[0] = f"UTF-8''{cuts[0]}"
    return ";\r\n ".join(f"{name}*{number}*={cut}" for number, cut in enumerate(cuts))


def _base64(content: bytes) -> bytes:
    return base64.encodebytes(content).rstrip(b"\n").replace(b"\n", CRLF)


def _quoted_printable(content: bytes) -> bytes:
    return quopri.encodestring(content.replace(CRLF, b"\n")).replace(b"\n", CRLF)
