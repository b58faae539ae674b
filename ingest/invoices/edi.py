"""EDI: invoices in EDIFACT, X12 and TRADACOMS interchanges, read as a stream of segments.

A segment is a tag and elements, an element is components; the three syntaxes differ in their separators. Each has one
table that says which element of which segment is which field.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from ingest.domain.invoice import Invoice
from ingest.invoices.edi_tables import (
    EDIFACT,
    TRADACOMS,
    TRADACOMS_HEADERS,
    TRADACOMS_INVOICES,
    X12,
    X12_KINDS,
    Rule,
    Segment,
)
from ingest.invoices.paths import Store, Value, add
from ingest.invoices.values import UNTDID_1001, fields_of, implied_decimals
from ingest.mime.defects import Defect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ingest.domain.invoice import InvoiceFormat

_HEAD_BYTES = 4096  # before the interchange: lines of a transport
_SEGMENT_BYTES = 65_536
_SEGMENTS = 1_000_000  # fifteen for each of 60,000 lines, and some seconds
_TEXT_CHARACTERS = 2000
_LEADING = 1000  # segments before the first invoice
_BLANKS = b" \t\r\n"
_BREAKS = b"\r\n"
# An interchange begins the file, or a line behind lines of a transport (AS2, FTP, mailbox systems).
_BEGIN = re.compile(
    rb"(?:\A|[\r\n])[ \t]*(UNA[^\r\n]{6}|UNB[^A-Za-z0-9\s]|UNH[^A-Za-z0-9\s]|ISA[^A-Za-z0-9\s]|STX=)"
    rb"|(UNB\+UN[A-Z]{2}:[0-9])"  # even within a line
)
_RECORD = 32  # characters of the shortest record into which an interchange is divided
_ISA_BYTES = 200  # 106 by the standard
_CODE = re.compile(r"[A-Z0-9]{1,6}")
_VERSION = re.compile(r"[A-Z0-9]{3,12}")
_X12_INVOICES = ("810", "880")
# EDIFACT's formats of dates (code list 2379) that do not begin with the year: where year, month and day are.
_DAY_FIRST = {
    "2": (slice(4, 6), slice(2, 4), slice(0, 2)),
    "3": (slice(4, 6), slice(0, 2), slice(2, 4)),
    "4": (slice(4, 8), slice(2, 4), slice(0, 2)),
    "5": (slice(4, 8), slice(2, 4), slice(0, 2)),
}


class Syntax(NamedTuple):
    """The separators of an interchange; `release` is empty if there is none."""

    name: Literal["edifact", "x12", "tradacoms"]
    tag: bytes
    element: bytes
    component: bytes
    end: bytes
    release: bytes = b""


@dataclass
class _Interchange:
    """The content of an interchange, as far as it was read."""

    format: InvoiceFormat
    rules: Mapping[str, tuple[Rule, ...]]
    kinds: Mapping[str, str]
    kind: str = "invoice"
    profile: str | None = None
    guideline: str | None = None
    in_interchange: bool = False
    count: int = 0
    found: Store = field(default_factory=dict)
    party: str = ""
    is_open: bool = False  # whether segments are those of the first invoice, or of a header of all
    has_details: bool = False  # lines have begun, whose amounts and references are no totals

    def begin(self, *, is_invoice: bool) -> None:
        """Begin a message; only the first invoice is read."""
        self.count += is_invoice
        self.is_open = is_invoice and self.count == 1
        self.has_details, self.party = False, ""

    def take(self, segment: Segment) -> None:
        """Take the values in a segment."""
        if not self.is_open or self.has_details:
            return
        for rule in self.rules.get(segment.tag, ()):
            if rule.codes and segment.at(*rule.code_at) not in rule.codes:
                continue
            if rule.within and self.party not in rule.within:
                continue
            text = segment.at(rule.element, rule.component)[:_TEXT_CHARACTERS]
            if rule.decimals:
                text = implied_decimals(text, rule.decimals) or ""
            if text:
                add(self.found, rule.slot, Value(rule.rank, text))


def _by_tag(rules: Iterable[Rule]) -> dict[str, tuple[Rule, ...]]:
    tags = {rule.tag for rule in rules}
    return {tag: tuple(rule for rule in rules if rule.tag == tag) for tag in tags}


_TABLES = {name: _by_tag(rules) for name, rules in (("edifact", EDIFACT), ("x12", X12), ("tradacoms", TRADACOMS))}


def begins(head: bytes) -> int | None:
    """Return the offset at which an interchange begins; None if none begins near the start of the file."""
    head = head[:_HEAD_BYTES]
    # Much faster than the pattern, and half as fast in a loop.
    if not (b"UNB" in head or b"UNA" in head or b"UNH" in head or b"ISA" in head or b"STX=" in head):
        return None
    at = 3 if head.startswith(codecs.BOM_UTF8) else 0
    found = _BEGIN.search(head[at:])
    if found is None:
        return None
    begin = at + found.start(found.lastindex or 0)
    is_text = all(byte > 31 or 9 <= byte <= 13 for byte in head[:begin])  # noqa: PLR2004 - no control characters
    return begin if is_text else None


def read(chunks: Iterable[bytes], *, fields: bool) -> tuple[Invoice | None, Defect | None]:
    """Recognise an interchange of invoices, and read the first one.

    Args:
        chunks: the file from the beginning of the interchange; the first chunk has its separators.
        fields: whether to report the fields.

    Returns:
        The invoice, and why it was not read to its end.
    """
    reader = iter(chunks)
    first = next(reader, b"")
    syntax = _syntax(first)
    if syntax is None:
        return None, None
    if _is_wrapped(first) and syntax.end not in _BREAKS:
        first, reader = first.translate(None, _BREAKS), (chunk.translate(None, _BREAKS) for chunk in reader)
    known: _Interchange | None = None
    defect: Defect | None = None
    leading: list[Segment] = []
    for number, segment in enumerate(_segments(syntax, first, reader)):
        if number >= _SEGMENTS:
            defect = Defect.INVOICE_LIMIT
            break
        if segment is None:
            defect = Defect.INVOICE_BROKEN if known is not None else None
            break
        if known is not None:
            _HANDLERS[syntax.name](known, segment)
            continue
        known = _BEGINNERS[syntax.name](segment, leading)
        leading.append(segment)
        if known is None and len(leading) > _LEADING:
            break
    return (None if known is None else _invoice(known, complete=defect is None, fields=fields)), defect


def _invoice(known: _Interchange, *, complete: bool, fields: bool) -> Invoice:
    return Invoice(
        format=known.format,
        profile=known.profile,
        guideline=known.guideline,
        confidence="certain" if known.in_interchange else "likely",
        count=known.count if complete else None,
        fields=fields_of(known.found, known.kinds, known.kind, {"tax"}) if fields else None,
    )


def _syntax(first: bytes) -> Syntax | None:
    """Return the separators: declared by UNA (ISO 9735-1 section 8) and ISA, fixed in TRADACOMS."""
    if first.startswith(b"STX="):
        return Syntax("tradacoms", b"=", b"+", b":", b"'", b"?")
    if first.startswith(b"ISA"):
        # The last of 16 elements is the component separator; by the standard it is the 105th byte.
        element, elements = first[3:4], first[:_ISA_BYTES].split(first[3:4], 16)
        component, end = elements[-1][:1], elements[-1][1:2]
        if len(elements) < 17 or len({element, component, end, b""}) < 4 or end.isalnum():  # noqa: PLR2004
            return None
        return Syntax("x12", element, element, component, end)
    marks = first[3:9] if first.startswith(b"UNA") else b":+.? '"
    different = marks.replace(b" ", b"")
    if len(marks) < 6 or len(set(different)) < len(different):  # noqa: PLR2004 - six marks
        return None
    return Syntax("edifact", marks[1:2], marks[1:2], marks[0:1], marks[5:6], marks[3:4].strip())


def _is_wrapped(first: bytes) -> bool:
    """Return whether lines have one length, as networks with records of 80 bytes divide an interchange."""
    lines = [_text(line.rstrip(b"\r")) for line in first.split(b"\n")[:-1]]
    return bool(lines) and len(lines[0]) >= _RECORD and len({len(line) for line in lines}) == 1


def _segments(syntax: Syntax, first: bytes, rest: Iterator[bytes]) -> Iterator[Segment | None]:
    """Yield the segments, then None if the last one is cut or overlong."""
    if first.startswith(b"UNA"):
        first = first[9:]
    separator = re.compile(rb"(?<!%b)%b" % (re.escape(syntax.release or b"\0"), re.escape(syntax.end)))
    held = first
    while True:
        pieces = _split(held, syntax, separator)
        held = pieces.pop()
        for piece in pieces:
            stripped = piece.strip(_BLANKS)
            if stripped:
                yield _segment(stripped, syntax)
        if len(held) > _SEGMENT_BYTES:
            yield None
            return
        chunk = next(rest, b"")
        if not chunk:
            break
        held += chunk
    if last := held.strip(_BLANKS + b"\0\x1a"):
        segment = _segment(last, syntax)  # the terminator of the trailer is often missing
        yield segment if segment.tag in {"UNZ", "IEA", "END"} else None


def _split(data: bytes, syntax: Syntax, separator: re.Pattern[bytes]) -> list[bytes]:
    """Split at terminators that are not escaped by the release character, which may itself be escaped."""
    if not syntax.release or syntax.release not in data:
        return data.split(syntax.end)
    marked = data.replace(syntax.release * 2, b"\0\1")  # keeps the length
    at, pieces = 0, []
    for found in separator.finditer(marked):
        pieces.append(data[at : found.start()])
        at = found.end()
    return [*pieces, data[at:]]


def _segment(piece: bytes, syntax: Syntax) -> Segment:
    tag, _, content = piece.partition(syntax.tag)
    elements = [_parts(element, syntax.component, syntax.release) for element in _raw(content, syntax)]
    return Segment(_text(tag)[:8], elements)


def _raw(content: bytes, syntax: Syntax) -> list[bytes]:
    return _split_released(content, syntax.element, syntax.release)


def _parts(element: bytes, component: bytes, release: bytes) -> list[str]:
    parts = _split_released(element, component, release)
    if not release or release not in element:
        return [_text(part) for part in parts]
    return [_text(re.sub(re.escape(release) + b"(.)", rb"\1", part, flags=re.DOTALL)) for part in parts]


def _split_released(data: bytes, separator: bytes, release: bytes) -> list[bytes]:
    if not release or release not in data:
        return data.split(separator)
    found = re.findall(
        # It matches at every position, so that the search is linear.
        rb"((?:%b.?|[^%b])*+)(?:%b|\Z)" % (re.escape(release), re.escape(release + separator), re.escape(separator)),
        data,
        re.DOTALL,
    )
    return found[:-1] if len(found) > 1 and found[-1] == b"" and not data.endswith(separator) else found


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _begin_edifact(segment: Segment, leading: list[Segment]) -> _Interchange | None:
    if segment.tag != "UNH" or segment.at(2) != "INVOIC":
        return None
    known = _Interchange("edifact", _TABLES["edifact"], UNTDID_1001, in_interchange=bool(leading))
    written = segment.elements[1][1:5]
    valid = [code for code in written if _CODE.fullmatch(code)]
    known.profile = valid[0] + valid[1] if len(valid) == len(written) and len(valid) > 1 else None
    known.guideline = ":".join(["INVOIC", *valid])
    _edifact(known, segment)
    return known


def _edifact(known: _Interchange, segment: Segment) -> None:
    if segment.tag == "UNH":
        known.begin(is_invoice=segment.at(2) == "INVOIC")
    elif segment.tag == "UNT":
        known.is_open = False
    elif segment.tag in {"LIN", "UNS"}:
        known.has_details, known.party = segment.tag == "LIN", ""
    else:
        if segment.tag == "NAD":
            known.party = segment.at(1)
        known.take(_with_date(segment) if segment.tag == "DTM" else segment)


def _with_date(segment: Segment) -> Segment:
    """Return a DTM segment with its date as year, month and day, whichever format (code list 2379) it is in."""
    order = _DAY_FIRST.get(segment.at(1, 2))
    date = segment.at(1, 1)
    if order is None or not date.isdigit():
        return segment
    return Segment(segment.tag, [[segment.at(1), "".join(date[part] for part in order)]])


def _begin_x12(segment: Segment, leading: list[Segment]) -> _Interchange | None:
    if segment.tag != "ST" or segment.at(1) not in _X12_INVOICES:
        return None
    known = _Interchange("x12", _TABLES["x12"], X12_KINDS, in_interchange=True)
    version = next((group.at(8) for group in reversed(leading) if group.tag == "GS"), "")
    known.profile = version if _VERSION.fullmatch(version) else None
    known.guideline = f"{segment.at(1)}:{known.profile}" if known.profile else segment.at(1)
    _x12(known, segment)
    return known


def _x12(known: _Interchange, segment: Segment) -> None:
    if segment.tag == "ST":
        known.begin(is_invoice=segment.at(1) in _X12_INVOICES)
    elif segment.tag == "SE":
        known.is_open = False
    elif segment.tag in {"IT1", "TDS"}:
        known.has_details, known.party = segment.tag == "IT1", ""
        known.take(segment)
    else:
        if segment.tag == "N1":
            known.party = segment.at(1)
        known.take(segment)


def _begin_tradacoms(segment: Segment, leading: list[Segment]) -> _Interchange | None:
    message, version = segment.at(2), segment.at(2, 1)
    kind = TRADACOMS_HEADERS.get(message) or TRADACOMS_INVOICES.get(message)
    if segment.tag != "MHD" or kind is None:
        return None
    known = _Interchange("tradacoms", _TABLES["tradacoms"], {}, kind=kind, in_interchange=bool(leading))
    known.profile = f"{message}{version}" if _CODE.fullmatch(version) else message
    known.guideline = f"{message}:{version}" if _CODE.fullmatch(version) else message
    _tradacoms(known, segment)
    return known


def _tradacoms(known: _Interchange, segment: Segment) -> None:
    if segment.tag != "MHD":
        known.take(segment)
        return
    message = segment.at(2)
    if message in TRADACOMS_HEADERS:  # its parties are those of all invoices
        known.is_open = not known.count
    else:
        known.begin(is_invoice=message in TRADACOMS_INVOICES)


_BEGINNERS = {"edifact": _begin_edifact, "x12": _begin_x12, "tradacoms": _begin_tradacoms}
_HANDLERS = {"edifact": _edifact, "x12": _x12, "tradacoms": _tradacoms}
