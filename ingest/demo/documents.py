"""The files that are attached to business mail: invoices as PDF, UBL, CSV and ZIP, and a picture."""

from __future__ import annotations

import html
import io
import struct
import zipfile
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

from ingest.demo.trade import Seed, money

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ingest.demo.trade import Company, Invoice, Line

# --- PDF (ISO 32000-1) -------------------------------------------------------------------------------------------

_LOGO_WIDTH = 320
_RESOURCES = b"<< /Font << /F1 5 0 R /F2 6 0 R >> /XObject << /Im1 7 0 R >> >>"
# Advance widths of Helvetica in thousandths of the font size, for right-aligned numbers.
_DIGIT_WIDTH, _POINT_WIDTH = 556, 278


def invoice_pdf(invoice: Invoice) -> bytes:
    """An invoice as a PDF 1.4 file of one A4 page, 30 to 80 KB, most of it the seller's letterhead picture."""
    width, height, pixels = _letterhead(invoice.seller)
    page = zlib.compress(_page(invoice, height / width))
    return _pdf_file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources %b >>" % _RESOURCES,
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(page), page),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
            b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8"
            b" /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (width, height, len(pixels), pixels),
            b"<< /Title (Invoice %b) /CreationDate (D:%b) >>"
            % (invoice.number.encode(), invoice.issued.strftime("%Y%m%d").encode()),
        ]
    )


def _pdf_file(objects: Sequence[bytes]) -> bytes:
    """Objects 1 to n with cross-reference table; the first is the catalog, the last the document information."""
    file = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    start, size = len(file), len(objects) + 1
    file += b"xref\n0 %d\n0000000000 65535 f \n" % size
    file += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    file += b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, size - 1, start)
    return bytes(file)


def _page(invoice: Invoice, aspect: float) -> bytes:
    """The content stream; the origin is the lower left corner, the unit 1/72 inch."""
    seller, buyer = invoice.seller, invoice.buyer
    rows = [
        b"q 150 0 0 %.2f 395 %.2f cm /Im1 Do Q" % (150 * aspect, 802 - 150 * aspect),
        _show(50, 780, seller.name, bold=True, size=14),
        _show(50, 764, f"{seller.street}, {seller.city}, {seller.country}"),
        _show(50, 750, f"VAT {seller.vat_id}"),
        *(_show(50, 690 - 14 * row, text) for row, text in enumerate((buyer.name, buyer.street, buyer.city))),
        _show(50, 610, f"Invoice {invoice.number}", bold=True, size=16),
        _show(50, 590, f"Date {invoice.issued.isoformat()}   Due {invoice.due.isoformat()}   Order {invoice.order}"),
        b"0.5 w 50 572 m 545 572 l S",
    ]
    for row, line in enumerate(invoice.lines):
        rows += _line(556 - 18 * row, line)
    bottom = 548 - 18 * len(invoice.lines)
    rows.append(b"50 %d m 545 %d l S" % (bottom, bottom))
    totals = (
        ("Net", invoice.net_cents),
        (f"VAT {invoice.tax_percent} %", invoice.tax_cents),
        ("Total EUR", invoice.gross_cents),
    )
    for row, (label, cents) in enumerate(totals, 1):
        rows += [_show(380, bottom - 18 * row, label, bold=True), _show_right(545, bottom - 18 * row, money(cents))]
    return b"\n".join(rows)


def _line(y: int, line: Line) -> list[bytes]:
    return [
        _show(50, y, line.article),
        _show(115, y, line.text),
        _show_right(400, y, str(line.quantity)),
        _show_right(470, y, money(line.unit_cents)),
        _show_right(545, y, money(line.cents)),
    ]


def _show(x: float, y: float, text: str, *, bold: bool = False, size: int = 10) -> bytes:
    escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    font = b"F2" if bold else b"F1"
    return b"BT /%b %d Tf %.2f %.2f Td (%b) Tj ET" % (font, size, x, y, escaped.encode("cp1252", "replace"))


def _show_right(x: float, y: float, number: str) -> bytes:
    width = sum(_DIGIT_WIDTH if char.isdigit() else _POINT_WIDTH for char in number) / 100
    return _show(x - width, y, number)


@lru_cache(maxsize=16)
def _letterhead(company: Company) -> tuple[int, int, bytes]:
    """Width, height and deflated pixels of a grey shade with grain, as a scanned letterhead has it."""
    seed = Seed(company.name)
    height = seed.number("letterhead", 150, 300)
    rows = []
    for y in range(height):
        light = 160 + 80 * y // height
        grain = bytes(light - 16 + value % 32 for value in range(256))
        rows.append(seed.noise(f"row {y}", _LOGO_WIDTH).translate(grain))
    return _LOGO_WIDTH, height, zlib.compress(b"".join(rows))


# --- the others --------------------------------------------------------------------------------------------------


def picture_png(seed: Seed, width: int = 120, height: int = 40) -> bytes:
    """A small grey picture (ISO/IEC 15948), another one for each seed."""
    rows = b"".join(b"\0" + seed.noise(f"row {y}", width) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in chunks)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def invoices_csv(invoices: Iterable[Invoice]) -> bytes:
    """Every line of the invoices as CSV: UTF-8, semicolons, CRLF after each row (RFC 4180)."""
    rows = ["invoice;date;seller;article;text;quantity;unit;total"]
    rows += [
        f"{invoice.number};{invoice.issued};{invoice.seller.name};{line.article};{line.text};{line.quantity};"
        f"{money(line.unit_cents)};{money(line.cents)}"
        for invoice in invoices
        for line in invoice.lines
    ]
    return "".join(f"{row}\r\n" for row in rows).encode()


def zip_file(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Named files as ZIP; each bears the same date, so that the same files give the same bytes."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return memory.getvalue()


def invoice_xml(invoice: Invoice) -> bytes:
    """An invoice in UBL 2.1 with the identifiers of XRechnung 3.0 (EN 16931); UTF-8, with an XML declaration."""
    lines = "".join(_ubl_line(number, line, invoice.tax_percent) for number, line in enumerate(invoice.lines, 1))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"
 xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
 xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">
 <cbc:CustomizationID>urn:cen.eu:en16931:2017#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0</cbc:CustomizationID>
 <cbc:ProfileID>urn:fdc:peppol.eu:2017:poacc:billing:01:1.0</cbc:ProfileID>
 <cbc:ID>{invoice.number}</cbc:ID>
 <cbc:IssueDate>{invoice.issued}</cbc:IssueDate>
 <cbc:DueDate>{invoice.due}</cbc:DueDate>
 <cbc:InvoiceTypeCode>380</cbc:InvoiceTypeCode>
 <cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode>
 <cbc:BuyerReference>{invoice.order}</cbc:BuyerReference>
 <cac:AccountingSupplierParty>{_ubl_party(invoice.seller)}</cac:AccountingSupplierParty>
 <cac:AccountingCustomerParty>{_ubl_party(invoice.buyer)}</cac:AccountingCustomerParty>
 <cac:TaxTotal>{_amount("TaxAmount", invoice.tax_cents)}</cac:TaxTotal>
 <cac:LegalMonetaryTotal>
  {_amount("LineExtensionAmount", invoice.net_cents)}{_amount("TaxExclusiveAmount", invoice.net_cents)}
  {_amount("TaxInclusiveAmount", invoice.gross_cents)}{_amount("PayableAmount", invoice.gross_cents)}
 </cac:LegalMonetaryTotal>{lines}
</Invoice>
""".encode()


def _amount(name: str, cents: int) -> str:
    return f'<cbc:{name} currencyID="EUR">{money(cents)}</cbc:{name}>'


def _ubl_party(company: Company) -> str:
    name, street, city = (html.escape(text, quote=False) for text in (company.name, company.street, company.city))
    return f"""<cac:Party>
  <cac:PostalAddress><cbc:StreetName>{street}</cbc:StreetName><cbc:CityName>{city}</cbc:CityName>
   <cac:Country><cbc:IdentificationCode>{company.country}</cbc:IdentificationCode></cac:Country></cac:PostalAddress>
  <cac:PartyTaxScheme><cbc:CompanyID>{company.vat_id}</cbc:CompanyID>
   <cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:PartyTaxScheme>
  <cac:PartyLegalEntity><cbc:RegistrationName>{name}</cbc:RegistrationName></cac:PartyLegalEntity>
 </cac:Party>"""


def _ubl_line(number: int, line: Line, tax_percent: int) -> str:
    return f"""
 <cac:InvoiceLine>
  <cbc:ID>{number}</cbc:ID>
  <cbc:InvoicedQuantity unitCode="C62">{line.quantity}</cbc:InvoicedQuantity>
  {_amount("LineExtensionAmount", line.cents)}
  <cac:Item><cbc:Name>{html.escape(line.text, quote=False)}</cbc:Name>
   <cac:SellersItemIdentification><cbc:ID>{line.article}</cbc:ID></cac:SellersItemIdentification>
   <cac:ClassifiedTaxCategory><cbc:ID>S</cbc:ID><cbc:Percent>{tax_percent}</cbc:Percent>
    <cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:ClassifiedTaxCategory></cac:Item>
  <cac:Price>{_amount("PriceAmount", line.unit_cents)}</cac:Price>
 </cac:InvoiceLine>"""
