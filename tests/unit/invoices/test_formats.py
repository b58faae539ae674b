"""Every format is recognised, and its fields are read, in whatever encoding and behind whatever prolog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ingest.invoices.recognise import recognise
from tests.unit.invoices.samples import BASE, SAMPLES, Sample
from tests.unit.invoices.samples_more import OTHER_SAMPLES, XML_SAMPLES

if TYPE_CHECKING:
    from ingest.domain.invoice import Invoice


XML = (*SAMPLES, *XML_SAMPLES)
ALL = (*XML, *OTHER_SAMPLES)


def read(content: bytes, size: int = 65_536, filename: str = "") -> Invoice:
    found = recognise([content[at : at + size] for at in range(0, len(content), size)], filename)
    assert found.invoice is not None
    assert found.defect is None
    return found.invoice


def expected_fields(sample: Sample) -> dict[str, Any]:
    nothing = {"name": None, "vat_id": None, "country": None}
    wanted = BASE | dict(sample.differs)
    return wanted | {role: wanted[role] or nothing for role in ("seller", "buyer")}


@pytest.mark.parametrize("sample", ALL, ids=lambda sample: sample.name)
def test_each_format_is_certain_and_has_its_fields(sample: Sample) -> None:
    invoice = read(sample.content.encode())
    assert (invoice.format, invoice.profile) == (sample.format, sample.profile)
    assert (invoice.confidence, invoice.count) == ("certain", sample.invoices)
    assert invoice.fields is not None
    assert invoice.fields.model_dump() == expected_fields(sample)


MINIMAL = {
    '<Invoice xmlns="http://www.ebinterface.at/schema/5p0/"/>': ("ebinterface", "5.0"),
    '<Faktura xmlns="http://crd.gov.pl/wzor/2023/06/29/12648/"/>': ("ksef", "FA(2)"),
    '<Faktura xmlns="http://crd.gov.pl/wzor/2025/06/25/13775/"/>': ("ksef", "FA(3)"),
    '<Faktura xmlns="http://crd.gov.pl/wzor/2030/01/01/99999/"/>': ("ksef", None),
    '<InvoiceData xmlns="http://schemas.nav.gov.hu/OSA/3.0/data"/>': ("nav", "3.0"),
    '<Invoice xmlns="urn:eslog:2.00"/>': ("eslog", "2.0"),
    "<IzdaniRacunEnostavni><Racun/></IzdaniRacunEnostavni>": ("eslog", "1.6"),
    '<INVOICE xmlns="http://www.opentrans.org/XMLSchema/2.1" version="2.1"/>': ("opentrans", "2.1"),
    "<INVOICE><INVOICE_HEADER><INVOICE_INFO><INVOICE_ID>1</INVOICE_ID></INVOICE_INFO></INVOICE_HEADER></INVOICE>": (
        "opentrans",
        None,
    ),
    '<Envelope type="string"><Header/><Body><Bill/></Body></Envelope>': ("yellowbill", None),
    "<Envelope><Body><DeliveryInfo/></Body></Envelope>": ("yellowbill", None),
    '<i:invoiceMessage xmlns:i="urn:gs1:ecom:invoice:xsd:3"/>': ("gs1", "3"),
    '<s:StandardBusinessDocument xmlns:s="s"><e:message xmlns:e="urn:ean.ucc:2">'
    '<p:invoice xmlns:p="urn:ean.ucc:pay:2"/></e:message></s:StandardBusinessDocument>': ("gs1", "2"),
    '<Invoice xmlns="urn:x-commerceone:document:com:commerceone:XCBL35:Invoice.sox$1.0"/>': ("xcbl", "3"),
    "<Invoice><InvoiceHeader/></Invoice>": ("xcbl", "3"),
    "<INVOIC02><IDOC/></INVOIC02>": ("idoc", None),
    '<Comprobante xmlns="http://www.sat.gob.mx/cfd/3"/>': ("cfdi", "3"),
    '<NFe xmlns="http://www.portalfiscal.inf.br/nfe"/>': ("nfe", None),
    '<CompNfse xmlns="http://www.abrasf.org.br/nfse.xsd"/>': ("nfse", "abrasf"),
    '<NFSe xmlns="http://www.sped.fazenda.gov.br/nfse"/>': ("nfse", "1.00"),
    '<DTE xmlns="http://www.sii.cl/SiiDte"/>': ("dte_cl", "1.0"),
    '<factura id="comprobante" version="1.0.0"/>': ("sri_ec", "1.0.0"),
    '<TiqueteElectronico xmlns="https://tribunet.hacienda.go.cr/docs/esquemas/2017/v4.2/tiqueteElectronico"/>': (
        "fe_cr",
        "4.2",
    ),
    '<Facturae xmlns="http://www.facturae.es/Facturae/2014/v3.2.1/Facturae"/>': ("facturae", "3.2.1"),
    '<d:Signature xmlns:d="http://www.w3.org/2000/09/xmldsig#"><d:Object><f:Facturae '
    'xmlns:f="http://www.facturae.es/Facturae/2009/v3.2/Facturae"/></d:Object></d:Signature>': ("facturae", "3.2"),
    '{"Version":"1.1","Irn":"ab","DocDtls":{"No":"1"}}': ("gst_in", "signed"),
    '{"Irn":"ab","SignedQRCode":"eyJ.eyJ.x"}': ("gst_in", "signed"),
    "ISA*00**00**ZZ*S*ZZ*R*260302*0815*U*00401*1*0*P*>~ST*810*0001~BIG*20260302*1~": ("x12", None),
    "from=S UNB+UNOC:3+S+R+260302:0815+1'UNH+1+INVOIC:D:96A:UN'BGM+380+1'": ("edifact", "D96A"),
    "STX=ANA:1+S+R+260302:0815+1'MHD=1+CREHDR:9'": ("tradacoms", "CREHDR9"),
}


@pytest.mark.parametrize("content", MINIMAL)
def test_marks_of_a_format_suffice(content: str) -> None:
    invoice = read(content.encode())
    assert (invoice.format, invoice.profile) == MINIMAL[content]


@pytest.mark.parametrize(
    "content",
    [
        "<Invoice/>",
        '<Invoice xmlns="urn:something:else"/>',
        '<Faktura xmlns="http://example.org/"/>',
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><Bill/></s:Body></s:Envelope>',
        "<Envelope><Body><Letter/></Body></Envelope>",
        "<cXML><Request><OrderRequest/></Request></cXML>",
        "<factura><total/></factura>",
        "<ORDERS05><IDOC/></ORDERS05>",
        "<CompNfse><Nfse/></CompNfse>",
        '<NFe xmlns="http://www.portalfiscal.inf.br/cte"/>',
        '{"DocDtls":1,"Irn":2}',
        '{"invoice":{"number":1}}',
        "ISA*00**00**ZZ*S*ZZ*R*260302*0815*U*00401*1*0*P*>~ST*850*0001~SE*1*0001~",
        "STX=ANA:1+S+R+260302:0815+1'MHD=1+ORDHDR:9'",
        "A text that mentions UNH and INVOIC, UNB or ISA.",
    ],
)
def test_other_documents_are_no_invoices(content: str) -> None:
    assert recognise([content.encode()]).invoice is None
