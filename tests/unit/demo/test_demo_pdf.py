"""The PDF invoices are sound: the structure that every reader relies on, and the text where a reader is at hand."""

from __future__ import annotations

import re
import zlib
from datetime import date

import pytest

from ingest.demo.documents import invoice_pdf
from ingest.demo.trade import Invoice, Seed, make_invoice, money


def _invoice(number: int) -> Invoice:
    return make_invoice(Seed(f"invoice {number}"), date(2026, 2, 3))


def _texts(invoice: Invoice) -> list[str]:
    rows = [line.article for line in invoice.lines] + [money(line.cents) for line in invoice.lines]
    return [f"Invoice {invoice.number}", invoice.buyer.name, money(invoice.gross_cents), *rows]


@pytest.mark.parametrize("number", range(6))
def test_every_offset_in_the_cross_reference_table_leads_to_its_object(number: int) -> None:
    pdf = invoice_pdf(_invoice(number))
    assert pdf.startswith(b"%PDF-1.4\n")
    start = re.search(rb"startxref\n(\d+)\n%%EOF\n\Z", pdf)
    assert start is not None
    table = pdf[int(start[1]) :]
    header = re.match(rb"xref\n0 (\d+)\n", table)
    assert header is not None
    entries = [table[header.end() + 20 * row :][:20] for row in range(int(header[1]))]
    assert entries[0] == b"0000000000 65535 f \n"
    for obj, entry in enumerate(entries[1:], 1):
        assert re.fullmatch(rb"\d{10} 00000 n \n", entry)
        assert pdf[int(entry[:10]) :].startswith(b"%d 0 obj\n" % obj)
    assert b"trailer\n<< /Size %d /Root 1 0 R" % len(entries) in table


def test_every_stream_is_as_long_as_it_says_and_holds_what_it_says() -> None:
    pdf = invoice_pdf(_invoice(0))
    streams = []
    for match in re.finditer(rb"/Length (\d+) /Filter /FlateDecode >>\nstream\n", pdf):
        end = match.end() + int(match[1])
        assert pdf[end:].startswith(b"\nendstream\nendobj\n")
        streams.append(zlib.decompress(pdf[match.end() : end]))
    page, picture = streams
    size = re.search(rb"/Width (\d+) /Height (\d+) ", pdf)
    assert size is not None
    assert len(picture) == int(size[1]) * int(size[2])
    for text in _texts(_invoice(0)):
        assert f"({text})".encode("cp1252") in page
