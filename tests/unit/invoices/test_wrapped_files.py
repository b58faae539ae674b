"""Invoices inside of other encodings: SAP's flat file, and the base64 of Hungary's tax office."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest

from ingest.invoices import embedded
from ingest.invoices.recognise import recognise
from ingest.mime.defects import Defect
from tests.unit.invoices.samples import BASE, SAMPLES

# Lengths of the fields, as WE60 lists them, up to the last one that is read.
LENGTHS = {
    "EDK01": "ACTION 3 KZABS 1 CURCY 3 HWAER 3 WKURS 12 ZTERM 17 KUNDEUINR 20 EIGENUINR 20 BSART 4 BELNR 35",
    "EDKA1": "PARVW 3 PARTN 17 LIFNR 17 NAME1 35 NAME2 35 NAME3 35 NAME4 35 STRAS 35 STRS2 35 PFACH 35 ORT01 35"
    " COUNC 9 PSTLZ 9 PSTL2 9 LAND1 3",
    "EDK02": "QUALF 3 BELNR 35 POSNR 6 DATUM 8",
    "EDK03": "IDDAT 3 DATUM 8",
    "EDS01": "SUMID 3 SUMME 18 SUNIT 3 WAERQ 3",
}


def record(segment: str, **values: str) -> str:
    words = LENGTHS[segment[2:7]].split()
    content = "".join(
        values.pop(name, "").ljust(int(size)) for name, size in zip(words[::2], words[1::2], strict=True)
    )
    assert not values
    return f"{segment:30}{'800':3}{'17':>16}{'1':>6}{'0':>6}{'02':2}{content:1000}"


def control(basic_type: str = "INVOIC02") -> str:
    return f"{'EDI_DC40':10}{'800':3}{'17':>16}{'740':4}{'30':2}1   {basic_type:30}{'':30}{'INVOIC':30}".ljust(524)


IDOC = [
    control(),
    record("E2EDK01005", CURCY="EUR", KUNDEUINR="AT98765432", EIGENUINR="DE123456789", BSART="CRME", BELNR="inner"),
    record("E2EDKA1003", PARVW="LF", NAME1="Seller Müller", LAND1="DE"),
    record("E2EDKA1003", PARVW="AG", NAME1="Orderer", LAND1="CH"),
    record("E2EDKA1003", PARVW="RE", NAME1="Buyer AG", LAND1="AT"),
    record("E2EDK02000", QUALF="009", BELNR="R-17", DATUM="20260301"),
    record("E2EDK02000", QUALF="001", BELNR="PO-4"),
    record("E2EDK03000", IDDAT="026", DATUM="20260302"),
    record("E2EDK03000", IDDAT="017", DATUM="20260330"),
    record("E2EDS01000", SUMID="010", SUMME="100.00"),
    record("E2EDS01000", SUMID="005", SUMME="19.00"),
    record("E2EDS01000", SUMID="011", SUMME="119.00", WAERQ="EUR"),
]
EXPECTED: dict[str, Any] = BASE | {
    "kind": "credit_note",
    "payable": None,
    "payment_reference": None,
    "iban": None,
    "seller": {"name": "Seller Müller", "vat_id": "DE123456789", "country": "DE"},
}


@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
@pytest.mark.parametrize("size", [100, 5000, 65_536])
@pytest.mark.parametrize("join", ["\n", "\r\n", ""])
def test_flat_idoc_has_the_fields_of_its_first_invoice(join: str, size: int, charset: str) -> None:
    records = IDOC if not join else [each.rstrip() for each in IDOC]
    if charset == "utf-8" and not join:
        records = [each.replace("Müller", "Muller") for each in IDOC]  # lengths are those of characters
    second = [control(), *IDOC[5:6], record("E2EDKA1003", PARVW="RS", NAME1="Another seller", LAND1="FR")]
    content = join.join([*records, *second]).encode(charset)
    found = recognise([content[at : at + size] for at in range(0, len(content), size)])
    assert found.invoice is not None
    assert (found.invoice.format, found.invoice.profile, found.invoice.confidence) == ("idoc", "INVOIC02", "certain")
    assert found.invoice.count == 2
    assert found.invoice.fields is not None
    named = EXPECTED["seller"] | ({"name": "Seller Muller"} if records[2].count("Muller") else {})
    assert found.invoice.fields.model_dump() == EXPECTED | {"seller": named}


def test_flat_idoc_of_another_type_is_no_invoice() -> None:
    assert recognise([control("ORDERS05").encode()]).invoice is None
    assert recognise([b"EDI_DC40"]).invoice is None


def test_flat_idoc_of_an_extended_type_is_likely_an_invoice() -> None:
    found = recognise([control("ZINVOIC02").encode()]).invoice
    assert found is not None
    assert (found.confidence, found.profile) == ("likely", "INVOIC02")


NAV = next(sample for sample in SAMPLES if sample.name == "nav")


def envelope(*files: bytes, root: str = "ManageInvoiceRequest") -> bytes:
    operations = "".join(
        f"<invoiceOperation><index>{number}</index><invoiceOperation>CREATE</invoiceOperation><invoiceData>"
        f"{base64.encodebytes(file).decode()}</invoiceData></invoiceOperation>"
        for number, file in enumerate(files, 1)
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><{root} xmlns="http://schemas.nav.gov.hu/OSA/3.0/api" '
        'xmlns:common="http://schemas.nav.gov.hu/NTCA/1.0/common"><common:header/><invoiceOperations>'
        f"<compressedContent>false</compressedContent>{operations}</invoiceOperations></{root}>"
    ).encode()


@pytest.mark.parametrize("root", ["ManageInvoiceRequest", "QueryInvoiceDataResponse"])
@pytest.mark.parametrize("size", [100, 65_536])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_nav_invoices_in_base64_are_read_and_counted(pack: Any, size: int, root: str) -> None:
    content = envelope(pack(NAV.content.encode()), pack(NAV.content.encode()), root=root)
    found = recognise([content[at : at + size] for at in range(0, len(content), size)])
    assert found.defect is None
    assert found.invoice is not None
    assert (found.invoice.format, found.invoice.profile, found.invoice.count) == ("nav", "3.0", 2 * NAV.invoices)
    assert found.invoice.fields is not None
    assert found.invoice.fields.number == "R-17"
    assert found.invoice.fields.gross == "119.00"


@pytest.mark.parametrize(
    "file", [b"", b"\xff\xff", b"<other/>", gzip.compress(b"<other/>", mtime=0)[:-9], b"\x1f\x8b\x08 no gzip"]
)
def test_nav_envelope_without_an_invoice_is_none(file: bytes) -> None:
    assert recognise([envelope(file)]).invoice is None


def test_bomb_in_a_nav_envelope_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MAX_BYTES", 100_000)
    bomb = gzip.compress(NAV.content.encode().replace(b"<invoiceMain>", b"<invoiceMain>" + b" " * 10**7))
    found = recognise([envelope(bomb)])
    assert found.defect is Defect.INVOICE_LIMIT
