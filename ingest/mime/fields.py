"""Header fields: where they begin and end, and the parameters of structured ones. Linear in their size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes

from ingest.mime.defects import Defect
from ingest.mime.text import clean, decode_header, decode_octets

if TYPE_CHECKING:
    from ingest.mime.limits import MimeLimits

_NAME = re.compile(rb"([!-9;-~]{1,76})[ \t]*:")
_SEGMENT = re.compile(r"(.*?)(?:\*(\d{1,5}))?(\*)?", re.DOTALL)
_COMMENT = re.compile(r"\([^()]*\)")
_PARAMETERS = 100


class Field(NamedTuple):
    """One field: its name in lower case, its value unfolded."""

    name: str
    value: bytes


def split_fields(head: bytes, limits: MimeLimits, defects: set[Defect]) -> list[Field]:
    """The fields of a header, unfolded; lines that belong to none are passed over.

    Args:
        head: the octets up to the blank line.
        limits: fields beyond the limit are not read.
        defects: grows.
    """
    fields: list[Field] = []
    name, lines = "", list[bytes]()
    for line in head.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            lines.append(line)
            continue
        if name:
            fields.append(Field(name, _unfolded(lines)))
            name = ""
        match = _NAME.match(line)
        if match is not None:
            if len(fields) >= limits.header_fields:
                defects.add(Defect.HEADER_CAPPED)
                return fields
            name, lines = match[1].decode("ascii").lower(), [line[match.end() :]]
    if name:
        fields.append(Field(name, _unfolded(lines)))
    return fields


def _unfolded(lines: list[bytes]) -> bytes:
    return b" ".join(filter(None, (line.strip(b" \t") for line in lines)))


def first(fields: list[Field], name: str) -> bytes | None:
    """The value of the first field of this name."""
    return next((field.value for field in fields if field.name == name), None)


class Structured(NamedTuple):
    """A value such as `text/plain; charset=utf-8`: what stands before the first semicolon, and parameters.

    `value` is lower case and without comments; `parameters` are decoded, not cleaned; `octets` are those that came
    in one piece, as they came.
    """

    value: str
    parameters: dict[str, str]
    octets: dict[str, bytes]


def parse_structured(field: bytes, defects: set[Defect]) -> Structured:
    """Read a value with parameters, RFC 2231's continuations and charsets included (also mixed and out of order)."""
    head, *items = _split_at_semicolons(field)
    if len(items) > _PARAMETERS:
        defects.add(Defect.HEADER_CAPPED)
    plain: dict[str, bytes] = {}
    segments: dict[str, dict[int, tuple[bytes, bool]]] = {}
    for item in items[:_PARAMETERS]:
        name, equals, value = item.partition(b"=")
        if not equals:
            continue
        match = _SEGMENT.fullmatch(name.strip().decode("ascii", "replace").lower())
        assert match is not None  # the pattern takes anything
        octets = _unquoted(value.strip())
        if match[2] is None and match[3] is None:
            plain.setdefault(match[1], octets)
        else:
            segments.setdefault(match[1], {}).setdefault(int(match[2] or 0), (octets, match[3] is not None))
    parameters = {name: decode_header(octets, defects) for name, octets in plain.items()}
    parameters |= {name: _joined(parts, defects) for name, parts in segments.items()}
    return Structured(_token(head), parameters, plain)


def _joined(parts: dict[int, tuple[bytes, bool]], defects: set[Defect]) -> str:
    """RFC 2231: the first extended segment begins with charset'language'.

    Some senders only cut a value in pieces and leave encoded-words in it.
    """
    if not any(extended for _, extended in parts.values()):
        return decode_header(b"".join(octets for _, (octets, _) in sorted(parts.items())), defects)
    charset: str | None = None
    joined = []
    for number, (octets, extended) in sorted(parts.items()):
        if extended and number == min(parts) and octets.count(b"'") >= 2:  # noqa: PLR2004 - around the language
            name, _, text = octets.split(b"'", 2)
            charset = name.decode("ascii", "replace") or None
        else:
            text = octets
        joined.append(unquote_to_bytes(text) if extended else text)
    return decode_octets(b"".join(joined), charset, defects)


def _split_at_semicolons(field: bytes) -> list[bytes]:
    """Split at semicolons outside quotes."""
    pieces, begin, quoted = [], 0, False
    for match in re.finditer(rb'\\.|[";]', field):
        if match[0] == b'"':
            quoted = not quoted
        elif match[0] == b";" and not quoted:
            pieces.append(field[begin : match.start()])
            begin = match.end()
    if quoted and not pieces:
        return field.split(b";")
    return [*pieces, field[begin:]]


def _unquoted(value: bytes) -> bytes:
    if len(value) > 1 and value[:1] == b'"':
        end = value.rfind(b'"')
        # A backslash before anything but a quote or itself is a Windows path, not an escape.
        return re.sub(rb'\\(["\\])', rb"\1", value[1 : end if end > 0 else None])
    return value


def _token(value: bytes) -> str:
    text = clean(value.decode("ascii", "replace"))
    return _COMMENT.sub(" ", text).strip("\"' ").lower()
