"""Recognise e-invoices by their content: XML, EDI or JSON, in whatever encoding and behind whatever prolog."""

from __future__ import annotations

import codecs
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from ingest.domain.invoice import Invoice
from ingest.invoices import edi, gst, idoc
from ingest.invoices.text import BLANK_BYTES, decoded, encoding_of, is_markup
from ingest.invoices.xml import XmlReader, invoice_of
from ingest.mime.defects import Defect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ingest.domain.invoice import InvoiceFormat

MAX_BYTES = 32 * 2**20  # of one file; an invoice of 20,000 lines has 30 MB, and takes a second or two

# File names that Factur-X and ZUGFeRD prescribe; ZUGFeRD 1 spells its own with capitals.
_NAMES: dict[str, InvoiceFormat] = {
    "factur-x.xml": "cii",
    "zugferd-invoice.xml": "cii",
    "xrechnung.xml": "cii",
    "order-x.xml": "orderx",
}
_NAME_OF_ZUGFERD1 = "ZUGFeRD-invoice.xml"
_HEAD_BYTES = 4096  # lines of a transport may precede EDI


class Finding(NamedTuple):
    """The result for one file; `defect` is the reason if it was not read, or not to its end."""

    invoice: Invoice | None = None
    defect: Defect | None = None
    size: int = 0  # bytes that were read


def recognise(
    chunks: Iterable[bytes], filename: str = "", *, fields: bool = True, max_bytes: int = MAX_BYTES
) -> Finding:
    """Recognise an e-invoice by its content, and read its fields. Never raises, whatever the content.

    Args:
        chunks: the file, read only as far as it may be an invoice.
        filename: XML with a name that the hybrid formats prescribe is likely an invoice.
        fields: whether to report the fields.
        max_bytes: how much of the file is read at most.
    """
    source = _Limited(chunks, max_bytes)
    head = _head(source)
    encoding = encoding_of(head)
    if encoding is not None and is_markup(head, encoding):
        invoice, defect = _xml(chain([head], source), encoding, source, fields=fields)
        return Finding(invoice or _named(filename), defect, source.size)
    rest: Iterator[bytes] = source
    if encoding is not None:  # EDI or JSON, as some programs on Windows save it
        rest = (text.encode("utf-8", "replace") for text in decoded(chain([head], source), encoding))
        head = _head(rest)
    invoice, defect = _plain(head, rest, fields=fields)
    return Finding(invoice, Defect.INVOICE_LIMIT if invoice and source.is_cut else defect, source.size)


def _plain(head: bytes, rest: Iterator[bytes], *, fields: bool) -> tuple[Invoice | None, Defect | None]:
    """Recognise an invoice that is no XML."""
    head = head.removeprefix(codecs.BOM_UTF8)
    if head.startswith(idoc.CONTROL):
        return idoc.read(chain([head], rest), fields=fields), None
    if (at := edi.begins(head)) is not None:
        return edi.read(chain([head[at:]], rest), fields=fields)
    if head.lstrip().startswith((b"{", b"[", b'"', gst.TOKEN)):
        return gst.read(chain([head], rest), fields=fields), None
    return None, None


def _head(source: Iterator[bytes]) -> bytes:
    """Return the first bytes that are not blank, at least as many as are needed to recognise the format."""
    head = b""
    for chunk in source:
        if head or chunk.strip(BLANK_BYTES):
            head += chunk
        if len(head) >= _HEAD_BYTES:
            break
    return head


class _Limited:
    """Chunks up to a number of bytes.

    Attributes:
        size: bytes that were taken.
        is_cut: whether there were more.
    """

    def __init__(self, chunks: Iterable[bytes], max_bytes: int) -> None:
        self._chunks = iter(chunks)
        self._max_bytes = max_bytes
        self.size = 0
        self.is_cut = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self.is_cut = self.size + len(chunk) > self._max_bytes
        chunk = chunk[: self._max_bytes - self.size]
        self.size += len(chunk)
        if not chunk:
            raise StopIteration
        return chunk


def _xml(
    chunks: Iterable[bytes], encoding: str, source: _Limited, *, fields: bool
) -> tuple[Invoice | None, Defect | None]:
    reader = XmlReader()
    for text in decoded(chunks, encoding):
        reader.feed(text)
        if reader.ended:
            break
    if source.is_cut:
        reader.stop()
    reader.close()
    invoice = invoice_of(reader, fields=fields)
    examined = invoice is not None or reader.defect is Defect.DOCTYPE
    return invoice, reader.defect if examined else None


def _named(filename: str) -> Invoice | None:
    """Recognise XML by its prescribed file name when its content did not settle it."""
    if filename == _NAME_OF_ZUGFERD1:
        return Invoice(format="zugferd1", confidence="likely")
    kind = _NAMES.get(filename.lower())
    return None if kind is None else Invoice(format=kind, confidence="likely")
