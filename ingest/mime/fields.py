"""Split a header into fields, and parse structured fields with parameters, in time linear in their size."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from ingest.mime.defects import Defect
from ingest.mime.text import clean, decode_bytes, decode_header, has_encoded_word, without_escapes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.mime.limits import MimeLimits

_FIELD: Final = re.compile(rb"^([!-9;-~]{1,76}+)[ \t]*+:(.*+(?:\n[ \t].*+)*+)", re.MULTILINE)
# RFC 2231: `name*0*`. Some gateways write each asterisk as an underscore.
_SEGMENT: Final = re.compile(r"(.*?)(?:\*(\d{1,5}))?(\*)?", re.DOTALL)
_UNDERSCORED: Final = re.compile(r"((?:file)?name)_(\d{1,5})(_?)")
_COMMENT: Final = re.compile(r"\([^()]*\)")
# A value as nearly all software writes it: nothing in it is encoded, escaped or commented. Possessive, so that a
# mismatch is found in one pass.
_PLAIN: Final = re.compile(
    r'[\w./+-]++[ \t]*+(?:;[ \t]*+[\w-]++=(?:"(?:[^"\\=]++|=(?!\?))*+"|(?:[^\s"\\=;()]++|=(?!\?))++)[ \t]*+)*+;?',
    re.ASCII,
)
_PLAIN_PARAMETER: Final = re.compile(r';[ \t]*([\w-]+)=(?:"([^"]*)"|([^\s";]+))', re.ASCII)
_PLAIN_BYTES: Final = 1000  # a longer one may have more parameters than are read
_PARAMETERS: Final = 100
_NAMES: Final = frozenset({"filename", "name"})
# A value that lacks the semicolon before its first parameter, or the part before it.
_LOST_SEMICOLON: Final = re.compile(rb"\s*+(?:([\w.+/-]++)[\s,]++)?([\w*-]++\s*+=.*)", re.DOTALL)
_BLANKS: Final = b" \t\r"


class Field(NamedTuple):
    """One field: its name in lower case and its unfolded value."""

    name: str
    value: bytes


class Fields:
    """The fields of one header, in order. Names are in lower case; values are unfolded on access."""

    __slots__ = ("_first", "_names", "_values")

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        names, values = zip(*pairs, strict=True) if pairs else ((), ())
        self._names: list[bytes] = list(map(bytes.lower, names))
        self._values: tuple[bytes, ...] = values
        self._first = dict(zip(reversed(self._names), reversed(self._values), strict=True))

    def __len__(self) -> int:
        return len(self._names)

    @property
    def line_bytes(self) -> int:
        """The bytes of the fields' lines if no blank precedes a colon and each line ends with LF."""
        return len(b"".join(self._names)) + len(b"".join(self._values)) + 2 * len(self._names)

    def __iter__(self) -> Iterator[Field]:
        pairs = zip(self._names, self._values, strict=True)
        return (Field(name.decode("ascii"), _unfolded(value)) for name, value in pairs)

    def end_of(self, name: bytes, number: int, most: int) -> int:
        """Return how many fields there are from the top to one of a name; 0 if there are not so many.

        Args:
            name: in lower case.
            number: which of that name; 1 for the first.
            most: how many fields are looked at.
        """
        end = 0
        for _ in range(number):
            if name not in self._names[end:most]:
                return 0
            end = self._names.index(name, end) + 1
        return end

    def among(self, names: frozenset[bytes], most: int) -> list[tuple[bytes, bytes]]:
        """Return name and value of those of the first `most` fields that have one of these names."""
        top = zip(self._names[:most], self._values[:most], strict=True)
        return [(name, _unfolded(value)) for name, value in top if name in names]

    def first(self, name: bytes) -> bytes | None:
        """Return the value of the first field of this name, or None."""
        value = self._first.get(name)
        return None if value is None else _unfolded(value)

    def firsts(self, names: tuple[bytes, ...]) -> list[bytes | None]:
        """Return the value of the first field of each name."""
        get = self._first.get
        return [
            None if (value := get(name)) is None else value.strip(_BLANKS) if b"\n" not in value else _unfolded(value)
            for name in names
        ]

    def every(self, name: bytes) -> list[bytes]:
        """Return the values of all fields of this name."""
        if self._names.count(name) <= 1:
            return [_unfolded(self._first[name])] if name in self._first else []
        return [_unfolded(value) for other, value in zip(self._names, self._values, strict=True) if other == name]

    def count(self, name: bytes) -> int:
        """Return how many fields have this name."""
        return self._names.count(name)

    def has_any(self, names: frozenset[bytes]) -> bool:
        """Return whether there is a field of one of these names."""
        return not names.isdisjoint(self._first)


def split_fields(head: bytes, limits: MimeLimits, defects: set[Defect]) -> Fields:
    """Split a header into fields; lines that belong to none are skipped.

    Args:
        head: the bytes up to the blank line.
        limits: fields beyond the limit are dropped.
        defects: grows.
    """
    # The patterns take a CR before LF as a blank.
    if has_bare_cr(head):
        head = head.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    most = limits.header_fields
    if head.count(b"\n") < most:
        return Fields(_FIELD.findall(head))
    pairs = [(match[1], match[2]) for match in islice(_FIELD.finditer(head), most + 1)]
    if len(pairs) > most:
        defects.add(Defect.HEADER_CAPPED)
    return Fields(pairs[:most])


def first_value(head: bytes, name: bytes, limits: MimeLimits) -> bytes | None:
    """Return what `split_fields` and `first` would, without splitting the fields behind it; `name` in lower case."""
    if has_bare_cr(head):
        return split_fields(head, limits, set()).first(name)
    for match in islice(_FIELD.finditer(head), limits.header_fields):
        if match[1].lower() == name:
            return _unfolded(match[2])
    return None


def has_bare_cr(head: bytes) -> bool:
    """Return whether there are more CRs than lines: then a lone CR ends a line, too."""
    return head.count(b"\r") > head.count(b"\n")


def _unfolded(value: bytes) -> bytes:
    first, _, rest = value.partition(b"\n")
    if b"\n" not in rest:  # one fold at most, as in most fields
        first, rest = first.strip(_BLANKS), rest.strip(_BLANKS)
        return first + b" " + rest if first and rest else first or rest
    return b" ".join(filter(None, [line.strip(_BLANKS) for line in value.split(b"\n")]))


# The fields of a header that describe its content, unfolded: whether there is any field at all, the values of all
# Content-Type fields, then the first Content-Transfer-Encoding, Content-Disposition, Content-ID, Content-Location and
# Content-Description. A named tuple would take as long to create as two of the fields to find.
MimeFields = tuple[bool, list[bytes], bytes | None, bytes | None, bytes | None, bytes | None, bytes | None]
_MIME_NAMES: Final = (
    *(b"content-transfer-encoding", b"content-disposition", b"content-id"),
    *(b"content-location", b"content-description"),
)
_MIME_FIELD: Final = re.compile(
    rb"content-(type|transfer-encoding|disposition|id|location|description)[ \t]*+:(.*+(?:\n[ \t].*+)*+)"
)
_CONTENT: Final = b"content-"
_CONTENT_LINE: Final = b"\ncontent-"


def mime_fields(fields: Fields) -> MimeFields:
    """Return the fields that describe the content."""
    encoding, disposition, content_id, location, description = fields.firsts(_MIME_NAMES)
    types = fields.every(b"content-type")
    return len(fields) > 0, types, encoding, disposition, content_id, location, description


def find_mime_fields(head: bytes) -> MimeFields:
    """Find the fields that describe the content in a header of which each line belongs to a field.

    The other fields are not split, which takes longer than all the rest for a message of one part.
    """
    types: list[bytes] = []
    first: dict[bytes, bytes] = {}
    lower = head.lower()
    at = 0 if lower.startswith(_CONTENT) else lower.find(_CONTENT_LINE) + 1 or -1
    while at >= 0:
        found = _MIME_FIELD.match(lower, at)
        if found is not None:
            begin, at = found.span(2)
            value, kind = head[begin:at], found[1]
            stripped = value.strip(_BLANKS) if b"\n" not in value else _unfolded(value)
            if kind == b"type":
                types.append(stripped)
            elif kind not in first:
                first[kind] = stripped
        at = lower.find(_CONTENT_LINE, at) + 1 or -1
    get = first.get
    return (
        *(bool(head), types, get(b"transfer-encoding"), get(b"disposition")),
        *(get(b"id"), get(b"location"), get(b"description")),
    )


class Structured(NamedTuple):
    """A value such as `text/plain; charset=utf-8`: the part before the first semicolon, and the parameters.

    `value` is lower case and without comments; `parameters` are decoded, not cleaned, the first of each name;
    `boundaries` are the raw bytes of all parameters of that name.
    """

    value: str
    parameters: dict[str, str]
    boundaries: list[bytes]


NOTHING: Final = Structured("", {}, [])
# Frequent values, looked up as they are.
_USUAL: Final = {
    value.encode(): Structured(value, {}, [])
    for value in ("attachment", "inline", "text/plain", "text/html", "message/rfc822", "application/octet-stream")
}


def parse_structured(field: bytes, defects: set[Defect]) -> Structured:
    """Parse a value with parameters, including RFC 2231 continuations and charsets (mixed and in any order)."""
    usual = _USUAL.get(field)
    if usual is not None:
        return usual
    if len(field) <= _PLAIN_BYTES and field.isascii() and b"\x1b" not in field:
        text = field.decode("ascii")
        if _PLAIN.fullmatch(text) and "name_" not in text and "='" not in text:
            return _plain(text)
    head, *items = _split_at_semicolons(without_escapes(field, defects))
    if b"=" in head and (lost := _LOST_SEMICOLON.fullmatch(head)) is not None:
        head, items = lost[1] or b"", [lost[2], *items]
    if len(items) > _PARAMETERS:
        defects.add(Defect.HEADER_CAPPED)
    data: dict[str, list[bytes]] = {}
    segments: dict[str, dict[int, tuple[bytes, bool]]] = {}
    for item in items[:_PARAMETERS]:
        name, equals, value = item.partition(b"=")
        if not equals:
            continue
        written = name.strip().decode("ascii", "replace").lower()
        match = _UNDERSCORED.fullmatch(written) or _SEGMENT.fullmatch(written)
        assert match is not None  # the second pattern takes anything
        value = _unquoted(value.strip(), is_name=match[1] in _NAMES)
        if match[2] is None and not match[3]:
            data.setdefault(match[1], []).append(value)
        else:
            segments.setdefault(match[1], {}).setdefault(int(match[2] or 0), (value, bool(match[3])))
    parameters = {name: decode_header(values[0], defects) for name, values in data.items()}
    parameters |= {name: _joined(parts, defects) for name, parts in segments.items()}
    boundaries = data.get("boundary") or [parameters.get("boundary", "").encode("utf-8", "replace")]
    return Structured(_token(head), parameters, boundaries)


def _plain(text: str) -> Structured:
    parameters: dict[str, str] = {}
    boundaries: list[bytes] = []
    if ";" in text:
        for name, quoted, bare in _PLAIN_PARAMETER.findall(text):
            key, value = name.lower(), quoted or bare
            if key == "boundary":
                boundaries.append(value.encode("ascii"))
            parameters.setdefault(key, value.strip())
        text = text.partition(";")[0]
    return Structured(text.rstrip().lower(), parameters, boundaries)


def _joined(parts: dict[int, tuple[bytes, bool]], defects: set[Defect]) -> str:
    """Join RFC 2231 segments; the first extended one begins with charset'language'.

    Some senders cut a value in pieces and leave encoded-words in it, also in extended segments.
    """
    if not any(extended for _, extended in parts.values()):
        return decode_header(b"".join(data for _, (data, _) in sorted(parts.items())), defects)
    charset: str | None = None
    joined = []
    first = min(parts)
    for number, (data, extended) in sorted(parts.items()):
        if extended and number == first and data.count(b"'") >= 2:  # noqa: PLR2004 - around the language
            name, _, text = data.split(b"'", 2)
            charset = name.decode("ascii", "replace") or None
        else:
            text = data
        joined.append(unquote_to_bytes(text) if extended else text)
    data = b"".join(joined)
    return decode_header(data, defects) if has_encoded_word(data) else decode_bytes(data, charset, defects)


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


def _unquoted(value: bytes, *, is_name: bool) -> bytes:
    """Remove the quotes around a value; around a file name also single ones, as Chrome does."""
    if len(value) > 1 and value[:1] == b'"':
        end = value.rfind(b'"')
        # A backslash before anything but a quote or a backslash belongs to a Windows path.
        return re.sub(rb'\\(["\\])', rb"\1", value[1 : end if end > 0 else None])
    if is_name and len(value) > 2 and value[:1] == value[-1:] == b"'":  # noqa: PLR2004 - two quotes and a name
        return value[1:-1]
    return value


def _token(value: bytes) -> str:
    text = clean(value.decode("ascii", "replace"))
    return _COMMENT.sub(" ", text).strip("\"' ").lower()
