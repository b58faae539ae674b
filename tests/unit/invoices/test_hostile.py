"""Hostile files cost no more than their size, and bounded memory; nothing in them is expanded or loaded."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from ingest.invoices import edi, xml
from ingest.invoices.gst import MAX_BYTES as JSON_BYTES
from ingest.invoices.recognise import Finding, recognise
from ingest.mime.defects import Defect
from tests.unit.invoices.samples import ubl
from tests.unit.invoices.samples_more import FACTURA

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 65_536
MEMORY = 32 * 2**20
BEGIN, END = ubl()[: ubl().index("<cac:InvoiceLine>")], "</Invoice>"
NAMESPACE = "urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"


def stream(*parts: str | bytes | tuple[bytes, int]) -> Iterator[bytes]:
    """Yield parts in chunks; a pair is bytes and how often they are repeated, which are never held as a whole."""
    for part in parts:
        content, times = part if isinstance(part, tuple) else (part.encode() if isinstance(part, str) else part, 1)
        each = max(1, CHUNK // max(1, len(content)))
        for at in range(0, times, each):
            whole = content * min(each, times - at)
            for begin in range(0, len(whole), CHUNK):
                yield whole[begin : begin + CHUNK]


def measured(*parts: str | bytes | tuple[bytes, int]) -> Finding:
    """The finding, made within the memory that is allowed."""
    gc.collect()
    tracemalloc.start()
    try:
        found = recognise(stream(*parts))
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    return found


LAUGHS = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))


@pytest.mark.parametrize(
    "subset",
    [
        f'<!ENTITY l0 "lol">{LAUGHS}',
        '<!ENTITY l9 SYSTEM "file:///etc/passwd">',
        '<!ENTITY % p SYSTEM "http://example.org/p.dtd"> %p;',
        '<!ENTITY l9 "harmless">',
    ],
)
def test_xml_that_declares_entities_is_not_read(subset: str) -> None:
    content = f'<!DOCTYPE Invoice [{subset}]><Invoice xmlns="{NAMESPACE}"><ID>&l9;</ID></Invoice>'
    assert measured(content) == Finding(None, Defect.DOCTYPE, len(content))
    inner = f"<![CDATA[<!DOCTYPE factura [{subset}]>{FACTURA}]]>"
    embedded = f"<autorizacion><comprobante>{inner}</comprobante></autorizacion>"
    assert measured(embedded).invoice is None


def test_external_dtd_is_not_loaded_and_its_entities_are_empty() -> None:
    """No file of that name exists; an attempt to open it would raise."""
    found = measured(
        f'<!DOCTYPE Invoice SYSTEM "file:///nowhere/x.dtd"><Invoice xmlns="{NAMESPACE}"><ID>a&l9;b</ID></Invoice>'
    )
    assert found.invoice is not None
    assert found.invoice.fields is not None
    assert found.invoice.fields.number == "ab"


@pytest.mark.parametrize(
    ("parts", "defect"),
    [
        ((BEGIN, (b"<a>", 1_000_000)), Defect.INVOICE_LIMIT),
        ((BEGIN, "<a ", (b'b="" ', 1_000_000)), Defect.INVOICE_LIMIT),
        ((BEGIN, '<a b="', (b"x", 4_000_000), '"/>', END), Defect.INVOICE_LIMIT),
        ((BEGIN, "<", (b"a", 4_000_000)), Defect.INVOICE_LIMIT),
        ((BEGIN, "<!--", (b"x", 4_000_000), "-->", END), Defect.INVOICE_LIMIT),
        ((BEGIN, "<ID>", (b"x", 8_000_000), "</ID>", END), None),
        ((BEGIN, (b"<ID>x</ID>", 50_000), END), None),
        ((BEGIN, (b"<cac:PaymentMeans><cbc:PaymentID>x</cbc:PaymentID></cac:PaymentMeans>", 20_000), END), None),
        ((BEGIN, (b"<![CDATA[x]]>", 300_000), END), None),
        ((BEGIN, (b"&amp;", 1_000_000), END), None),
        ((BEGIN, "<a b='1' b='2'/>", END), Defect.INVOICE_BROKEN),
        ((BEGIN, "& co", END), Defect.INVOICE_BROKEN),
        ((BEGIN,), Defect.INVOICE_BROKEN),
    ],
    ids=range(13),
)
def test_an_invoice_stays_one_whatever_follows(
    parts: tuple[str | bytes | tuple[bytes, int], ...], defect: Defect | None
) -> None:
    found = measured(*parts)
    assert found.invoice is not None
    assert (found.invoice.profile, found.defect) == ("en16931", defect)
    assert found.invoice.fields is not None
    assert (found.invoice.fields.number, found.invoice.fields.payable) == ("R-17", "109.00")
    assert found.invoice.count == (1 if defect is None else None)


def test_bytes_and_elements_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = BEGIN, (b"<x/>", 100_000), END
    found = recognise(stream(*parts), max_bytes=CHUNK + 1)
    assert (found.size, found.defect) == (CHUNK + 1, Defect.INVOICE_LIMIT)
    monkeypatch.setattr(xml, "_ELEMENTS", 10_000)
    found = recognise(stream(*parts))
    assert found.invoice is not None
    assert (found.invoice.profile, found.defect) == ("en16931", Defect.INVOICE_LIMIT)
    assert found.size < 3 * CHUNK


def test_distinct_names_are_limited() -> None:
    names = "".join(f"<n{number}/>" for number in range(100_000))
    found = measured(BEGIN, names, END)
    assert found.invoice is not None
    assert found.defect is Defect.INVOICE_LIMIT


@pytest.mark.parametrize(
    "prolog",
    [
        (b" ", 5_000_000),
        (b"\n", 200_001),
        (b"<!-- <Invoice> --> ", 50_000),
        (b"<?p <a>?>\r\n", 50_000),
    ],
)
def test_a_long_prolog_hides_nothing(prolog: tuple[bytes, int]) -> None:
    found = measured(prolog, BEGIN, END)
    assert found.invoice is not None
    assert (found.defect, found.invoice.count) == (None, 1)


def test_one_long_comment_hides_nothing() -> None:
    found = measured(b'<?xml version="1.0"?><!--', (b"- ", 4_000_000), "-->", BEGIN, END)
    assert found.invoice is not None
    assert found.defect is None


def test_thousands_of_invoices_are_counted() -> None:
    found = measured('<SetDTE xmlns="http://www.sii.cl/SiiDte">', (b"<DTE><x/></DTE>", 20_000), "</SetDTE>")
    assert found.invoice is not None
    assert found.invoice.count == 20_000


@pytest.mark.parametrize(
    "parts",
    [
        ("<a>", (b"<b>", 1_000_000)),
        ("<html>", (b"<Invoice/>", 1_000_000)),
        ("<StandardBusinessDocument>", (b"<a>", 1_000_000)),
        ("<StandardBusinessDocument>", (b"<a/>", 50_000)),
        ("<AttachedDocument><Description>", (b"&lt;a", 1_000_000), "</Description></AttachedDocument>"),
        ((b"<a/>", 1_000_000),),
        ("<!--", (b"x", 5_000_000)),
        ("<", (b"a", 5_000_000)),
        ("<a b='", (b'"', 5_000_000)),
        ("UNB+", (b"?", 5_000_000), "'UNH+1+INVOIC:D:96A"),
        ("UNA:+.? '", (b"UNH'", 1_000_000)),
        ("UNB+a'", (b"x", 5_000_000)),
        ("STX=", (b"'", 5_000_000)),
        (f"ISA*{'*'.join('x' * 15)}*>~", (b"ST*850~", 1_000_000)),
        ("[", (b"[", 3_000_000)),
        ("{", (b'"DocDtls":{', 300_000)),
        ('{"DocDtls":', (b"9", 3_000_000), "}"),
        ('{"SignedInvoice":"', (b"x", JSON_BYTES)),
        ("eyJ", (b"e.", 1_000_000)),
    ],
    ids=range(19),
)
def test_what_only_looks_like_one_is_none(parts: tuple[str | bytes | tuple[bytes, int], ...]) -> None:
    found = measured(*parts)
    assert (found.invoice, found.defect) == (None, None)


def test_a_file_that_is_none_is_left_after_its_first_chunk() -> None:
    for begin in (b"%PDF-1.7", b"<html>", b"\x89PNG", b"plain text"):
        assert recognise(stream(begin + b"\n" * CHUNK, (b"x", 10 * CHUNK))).size <= 2 * CHUNK


@pytest.mark.parametrize(
    ("segment", "times"),
    [pytest.param("RFF+ON:12345678'", 300_000, marks=pytest.mark.slow), ("RFF" + "+" * 60_000 + "'", 3)],
)
def test_segments_that_repeat_cost_no_memory(segment: str, times: int) -> None:
    found = measured("UNB+UNOC:3+1'UNH+1+INVOIC:D:96A:UN'BGM+380+R-17'", (segment.encode(), times), "UNT+1+1'")
    assert found.invoice is not None
    assert (found.defect, found.invoice.count) == (None, 1)


def test_segments_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edi, "_SEGMENTS", 1000)
    found = recognise(stream("UNB+UNOC:3+1'UNH+1+INVOIC:D:96A:UN'BGM+380+R-17'", (b"A'", 100_000)))
    assert found.invoice is not None
    assert (found.defect, found.invoice.count) == (Defect.INVOICE_LIMIT, None)


def test_edifact_that_is_cut_or_has_a_segment_without_end_is_broken() -> None:
    begin = "UNB+UNOC:3+1'UNH+1+INVOIC:D:96A:UN'BGM+380+R-17'"
    for rest in ("MOA+77:1", "x" * 200_000):
        found = measured(begin + rest)
        assert found.invoice is not None
        assert (found.defect, found.invoice.count) == (Defect.INVOICE_BROKEN, None)
        assert found.invoice.fields is not None
        assert found.invoice.fields.number == "R-17"


def test_a_token_that_cannot_be_read_has_no_fields() -> None:
    for token in ("x", "a.b.c", "e30.e30.e30", "é.é.é", "a." + "A" * 99 + ".c"):
        found = recognise([json.dumps({"SignedInvoice": token}).encode()])
        assert found.invoice is not None
        assert found.invoice.fields is not None
        assert found.invoice.fields.number is None
