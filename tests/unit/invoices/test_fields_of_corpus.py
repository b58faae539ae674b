"""Fields of real invoices, compared with what lxml reads by XPath. The paths here were written independently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ingest.domain.invoice import InvoiceFields, InvoiceParty
from ingest.invoices.recognise import recognise

etree: Any = pytest.importorskip("lxml.etree")
pypdf: Any = pytest.importorskip("pypdf")

CORPUS = Path(__file__).parents[4] / "shared" / "corpus" / "einvoices"
KINDS = {
    **dict.fromkeys(("380", "387", "575", "TD01"), "invoice"),
    **dict.fromkeys(("204", "326", "875", "877"), "partial_invoice"),
    "381": "credit_note",
    "384": "corrected_invoice",
    "389": "self_billed_invoice",
}

UBL = {
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
}
CII = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}
ZUGFERD1 = {
    "rsm": "urn:ferd:CrossIndustryDocument:invoice:1p0",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:12",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:15",
}


class Document:
    """One document, with its namespaces."""

    def __init__(self, content: bytes, namespaces: dict[str, str]) -> None:
        self.tree = etree.fromstring(content)
        self.namespaces = namespaces

    def all(self, path: str) -> list[str]:
        found = self.tree.xpath(path, namespaces=self.namespaces)
        return [" ".join(getattr(each, "text", each).split()) for each in found if getattr(each, "text", each)]

    def one(self, *paths: str) -> str | None:
        return next((found for path in paths for found in self.all(path) if found), None)


def iso(date: str | None) -> str | None:
    """CII writes dates without hyphens."""
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}" if date and "-" not in date else date and date[:10]


def account(written: str | None) -> str | None:
    return written.replace(" ", "") if written else None


def of_ubl(content: bytes) -> InvoiceFields:
    document = Document(content, UBL)
    one = document.one
    currency = one("cbc:DocumentCurrencyCode")
    total = "cac:LegalMonetaryTotal/cbc:"

    def party(role: str) -> InvoiceParty:
        base = f"cac:Accounting{role}Party/cac:Party"
        return InvoiceParty(
            name=one(f"{base}/cac:PartyLegalEntity/cbc:RegistrationName", f"{base}/cac:PartyName/cbc:Name"),
            vat_id=one(f"{base}/cac:PartyTaxScheme[cac:TaxScheme/cbc:ID='VAT']/cbc:CompanyID"),
            country=one(f"{base}/cac:PostalAddress/cac:Country/cbc:IdentificationCode"),
        )

    return InvoiceFields(
        number=one("cbc:ID"),
        issue_date=one("cbc:IssueDate"),
        due_date=one("cbc:DueDate", "cac:PaymentMeans/cbc:PaymentDueDate"),
        kind=KINDS[one("cbc:InvoiceTypeCode", "cbc:CreditNoteTypeCode") or "380"],
        currency=currency,
        net=one(f"{total}TaxExclusiveAmount"),
        tax=one(f"cac:TaxTotal[cac:TaxSubtotal]/cbc:TaxAmount[@currencyID='{currency}']"),
        gross=one(f"{total}TaxInclusiveAmount"),
        payable=one(f"{total}PayableAmount"),
        seller=party("Supplier"),
        buyer=party("Customer"),
        order_reference=one("cac:OrderReference/cbc:ID"),
        payment_reference=one("cac:PaymentMeans/cbc:PaymentID"),
        iban=account(one("cac:PaymentMeans/cac:PayeeFinancialAccount/cbc:ID")),
    )


def of_cii(content: bytes) -> InvoiceFields:
    is_old = b"CrossIndustryDocument" in content
    document = Document(content, ZUGFERD1 if is_old else CII)
    one = document.one
    head = f"rsm:{'Header' if is_old else ''}ExchangedDocument"
    prefix = "SupplyChain" if is_old else "Header"
    agreement, settlement = (f"//ram:Applicable{prefix}Trade{part}" for part in ("Agreement", "Settlement"))
    total = f"{settlement}/ram:SpecifiedTradeSettlement{'' if is_old else 'Header'}MonetarySummation/ram:"
    currency = one(f"{settlement}/ram:InvoiceCurrencyCode")

    def party(role: str) -> InvoiceParty:
        base = f"{agreement}/ram:{role}TradeParty"
        return InvoiceParty(
            name=one(f"{base}/ram:Name"),
            vat_id=one(f"{base}/ram:SpecifiedTaxRegistration/ram:ID[@schemeID='VA']"),
            country=one(f"{base}/ram:PostalTradeAddress/ram:CountryID"),
        )

    return InvoiceFields(
        number=one(f"{head}/ram:ID"),
        issue_date=iso(one(f"{head}/ram:IssueDateTime/udt:DateTimeString")),
        due_date=iso(one(f"{settlement}/ram:SpecifiedTradePaymentTerms/ram:DueDateDateTime/udt:DateTimeString")),
        kind=KINDS[one(f"{head}/ram:TypeCode") or "380"],
        currency=currency,
        net=one(f"{total}TaxBasisTotalAmount"),
        tax=one(f"{total}TaxTotalAmount[@currencyID='{currency}']", f"{total}TaxTotalAmount"),
        gross=one(f"{total}GrandTotalAmount"),
        payable=one(f"{total}DuePayableAmount"),
        seller=party("Seller"),
        buyer=party("Buyer"),
        order_reference=one(
            f"{agreement}/ram:BuyerOrderReferencedDocument/ram:{'ID' if is_old else 'IssuerAssignedID'}"
        ),
        payment_reference=one(f"{settlement}/ram:PaymentReference"),
        iban=account(one(f"{settlement}//ram:PayeePartyCreditorFinancialAccount/ram:IBANID")),
    )


def of_fattura(content: bytes) -> InvoiceFields:
    document = Document(content, {})
    one = document.one
    general = "FatturaElettronicaBody[1]/DatiGenerali/DatiGeneraliDocumento"
    paid = "FatturaElettronicaBody[1]/DatiPagamento/DettaglioPagamento"
    summary = "FatturaElettronicaBody[1]/DatiBeniServizi/DatiRiepilogo"

    def only(path: str) -> str | None:
        found = document.all(path)
        return found[0] if len(found) == 1 else None

    def party(role: str) -> InvoiceParty:
        base = f"FatturaElettronicaHeader/{role}"
        return InvoiceParty(
            name=one(f"{base}/DatiAnagrafici/Anagrafica/Denominazione"),
            vat_id=one(f"{base}/DatiAnagrafici/IdFiscaleIVA/IdCodice"),
            country=one(f"{base}/Sede/Nazione"),
        )

    return InvoiceFields(
        number=one(f"{general}/Numero"),
        issue_date=one(f"{general}/Data"),
        due_date=one(f"{paid}/DataScadenzaPagamento"),
        kind=KINDS[one(f"{general}/TipoDocumento") or ""],
        currency=one(f"{general}/Divisa"),
        net=only(f"{summary}/ImponibileImporto"),
        tax=only(f"{summary}/Imposta"),
        gross=one(f"{general}/ImportoTotaleDocumento"),
        payable=only(f"{paid}/ImportoPagamento"),
        seller=party("CedentePrestatore"),
        buyer=party("CessionarioCommittente"),
        order_reference=one("FatturaElettronicaBody[1]/DatiGenerali/DatiOrdineAcquisto/IdDocumento"),
        payment_reference=one(f"{paid}/CodicePagamento"),
        iban=one(f"{paid}/IBAN"),
    )


READERS = {"UBL": of_ubl, "CII": of_cii, "valid": of_fattura}


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not here")
def test_fields_of_every_corpus_invoice_are_those_that_lxml_reads() -> None:
    paths = sorted(CORPUS.glob("**/*.xml"))
    assert len(paths) > 50
    for path in paths:
        content = path.read_bytes()
        found = recognise([content[at : at + 1000] for at in range(0, len(content), 1000)])
        assert found.invoice is not None, path.name
        assert found.defect is None, path.name
        assert found.invoice.fields == READERS[path.parent.name](content), path.name
        bodies = len(etree.fromstring(content).findall("FatturaElettronicaBody"))
        assert found.invoice.count == (bodies or 1), path.name


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not here")
def test_fields_of_every_hybrid_pdf_are_those_that_lxml_reads() -> None:
    paths = sorted(CORPUS.glob("**/*.pdf"))
    assert len(paths) > 5
    for path in paths:
        files = pypdf.PdfReader(path).attachments
        (content,) = [found for name, (found,) in files.items() if name.endswith(".xml")]
        invoice = recognise([content]).invoice
        assert invoice is not None, path.name
        assert invoice.fields == of_cii(content), path.name
