"""SAP IDocs as a flat file: records of fixed positions, one a line or one right behind the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ingest.domain.invoice import Invoice
from ingest.invoices.networks import IDOC
from ingest.invoices.paths import Store, Value, add
from ingest.invoices.values import fields_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CONTROL = b"EDI_DC40"  # the name of the record that an IDoc begins with
_CONTROL_BYTES = 524  # of that record (structure EDI_DC40)
_DATA_BYTES = 1063  # of every other record (structure EDI_DD40)
_LINE_BYTES = 65_536  # a longer line is none of an IDoc
_SEGMENT = slice(63, None)  # of a data record, behind names and numbers
_TYPE = slice(39, 69)  # IDOCTYP in the control record
_TYPES = ("INVOIC02", "INVOIC01")


class _Field(NamedTuple):
    """The position of a slot in a segment; `codes` are those that the segment may begin with, best first."""

    slot: str
    segment: str
    start: int
    size: int
    codes: tuple[str, ...] = ()
    rank: int = 0


# SAP IDoc INVOIC02, segments E1EDK01 to E1EDS01 (transaction WE60): the same fields as in its XML.
_FIELDS: tuple[_Field, ...] = (
    _Field("currency", "EDK01", 4, 3),
    _Field("buyer.vat_id", "EDK01", 39, 20),
    _Field("seller.vat_id", "EDK01", 59, 20),
    _Field("kind", "EDK01", 79, 4),
    _Field("number", "EDK01", 83, 35, rank=1),
    *(
        _Field(f"{role}.{slot}", "EDKA1", start, size, codes)
        for role, codes in (("seller", ("RS", "BK", "LF")), ("buyer", ("RE", "RG", "AG")))
        for slot, start, size in (("name", 37, 35), ("country", 344, 3))
    ),
    _Field("order_reference", "EDK02", 3, 35, ("001",)),
    _Field("number", "EDK02", 3, 35, ("009",)),
    _Field("issue_date", "EDK03", 3, 8, ("026", "012")),
    _Field("issue_date", "EDK02", 44, 8, ("009",), rank=2),
    _Field("due_date", "EDK03", 3, 8, ("017",)),
    _Field("net", "EDS01", 3, 18, ("010",)),
    _Field("tax", "EDS01", 3, 18, ("005",)),
    _Field("gross", "EDS01", 3, 18, ("011",)),
    _Field("currency", "EDS01", 24, 3, ("011",), rank=1),
)


def read(chunks: Iterable[bytes], *, fields: bool) -> Invoice | None:
    """Recognise invoices among IDocs, and read the first one; None if the first IDoc is of another type.

    Args:
        chunks: the file, from its first control record.
        fields: whether to report the fields.
    """
    found: Store = {}
    known, count = "", 0
    for record in _records(chunks):
        if record.startswith(CONTROL):
            # A name elsewhere in the record is that of an extension, or of a message type.
            exact = _text(record)[_TYPE].strip()
            named = next((name for name in _TYPES if name.encode() in record), "")
            if not known:
                if not named:
                    return None
                known, certain = named, exact in _TYPES
            count += bool(named)
        elif count == 1:
            _take(found, record)
    if not known:
        return None
    return Invoice(
        format="idoc",
        profile=known,
        confidence="certain" if certain else "likely",
        count=count,
        fields=fields_of(found, IDOC.kinds, "invoice", ()) if fields else None,
    )


def _take(found: Store, record: bytes) -> None:
    content = _text(record)
    name, content = content[2:7], content[_SEGMENT]
    code = content[:3].strip()
    for field in _FIELDS:
        if field.segment != name or (field.codes and code not in field.codes):
            continue
        if text := content[field.start : field.start + field.size].strip():
            add(found, field.slot, Value(field.rank + (field.codes.index(code) if field.codes else 0), text))


def _records(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the records: lines or, if the first one does not end where its line should, pieces of fixed lengths."""
    held, lines = b"", True
    for chunk in chunks:
        held += chunk
        lines = lines and b"\n" in held[: _CONTROL_BYTES + _DATA_BYTES]
        *whole, held = held.split(b"\n") if lines else _pieces(held)
        yield from whole
        if len(held) > _LINE_BYTES:
            return
    yield held


def _pieces(held: bytes) -> list[bytes]:
    """Divide what has no line ends; the last piece is incomplete."""
    start, pieces = 0, []
    while True:
        end = start + (_CONTROL_BYTES if held.startswith(CONTROL, start) else _DATA_BYTES)
        pieces.append(held[start:end])
        if end > len(held):
            return pieces
        start = end


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
