"""What real producers send beside the usual forms of their formats."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import pytest

from ingest.invoices.recognise import recognise
from tests.unit.invoices.samples_more import EDI, OTHER_SAMPLES

if TYPE_CHECKING:
    from tests.unit.invoices.samples import Sample

CFDI = '<Comprobante xmlns="http://www.sat.gob.mx/cfd/4" Version="4.0" Folio="17"/>'


def encoded(content: str) -> str:
    return base64.encodebytes(content.encode()).decode()


def oioubl(*, exclusive: str) -> str:
    return (
        '<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2">'
        "<CustomizationID>OIOUBL-2.02</CustomizationID><TaxTotal><TaxAmount>25.00</TaxAmount></TaxTotal>"
        "<LegalMonetaryTotal><LineExtensionAmount>100.00</LineExtensionAmount>"
        f"<TaxExclusiveAmount>{exclusive}</TaxExclusiveAmount></LegalMonetaryTotal></Invoice>"
    )


# Forms that real producers send, by what is special about them: content, format, profile, and fields.
REAL: dict[str, tuple[str, str, str | None, dict[str, str | None]]] = {
    "an answer of Ecuador's tax office with several receipts": (
        (
            "<autorizaciones><autorizacion><comprobante>&lt;factura id='comprobante' version='1.1.0'>"
            "&lt;infoTributaria>&lt;secuencial>17&lt;/secuencial>&lt;/infoTributaria>&lt;/factura></comprobante></autorizacion></autorizaciones>"
        ),
        "sri_ec",
        "1.1.0",
        {"number": "17"},
    ),
    "a signed object in base64": (
        (
            '<d:Signature xmlns:d="http://www.w3.org/2000/09/xmldsig#"><d:Object '
            f'Encoding="http://www.w3.org/2000/09/xmldsig#base64">{encoded(CFDI)}</d:Object></d:Signature>'
        ),
        "cfdi",
        "4.0",
        {"number": "17"},
    ),
    "an attached document with the invoice as an object": (
        (
            '<AttachedDocument xmlns="urn:oasis:names:specification:ubl:schema:xsd:AttachedDocument-2"><Attachment>'
            f"<EmbeddedDocumentBinaryObject>{encoded(CFDI)}</EmbeddedDocumentBinaryObject></Attachment></AttachedDocument>"
        ),
        "cfdi",
        "4.0",
        {"number": "17"},
    ),
    "an SBDH with the invoice as binary content": (
        (
            '<StandardBusinessDocument xmlns="http://www.unece.org/cefact/namespaces/StandardBusinessDocumentHeader">'
            f"<StandardBusinessDocumentHeader/><BinaryContent>{encoded(CFDI)}</BinaryContent></StandardBusinessDocument>"
        ),
        "cfdi",
        "4.0",
        {"number": "17"},
    ),
    "an exchange header envelope": (
        f"<XHE><Payloads><Payload><PayloadContent>{CFDI}</PayloadContent></Payload></Payloads></XHE>",
        "cfdi",
        "4.0",
        {"number": "17"},
    ),
    "an IDoc that is named by its message type and extension": (
        (
            "<INVOIC.INVOIC02.ZINV><IDOC><EDI_DC40><IDOCTYP>INVOIC02</IDOCTYP><MESTYP>INVOIC</MESTYP></EDI_DC40>"
            "<E1EDK01><BELNR>17</BELNR></E1EDK01></IDOC></INVOIC.INVOIC02.ZINV>"
        ),
        "idoc",
        "INVOIC02",
        {"number": "17"},
    ),
    "a service invoice in a town's own namespace": (
        '<CompNfse xmlns="http://www.town.example/iss"><Nfse><InfNfse><Numero>17</Numero></InfNfse></Nfse></CompNfse>',
        "nfse",
        "abrasf",
        {"number": "17"},
    ),
    "a service invoice of São Paulo": (
        (
            '<RetornoConsulta xmlns="http://www.prefeitura.sp.gov.br/nfe"><NFe><ChaveNFe><NumeroNFe>17</NumeroNFe>'
            "</ChaveNFe><ValorServicos>100.00</ValorServicos><ValorISS>5.00</ValorISS></NFe></RetornoConsulta>"
        ),
        "nfse",
        "sao_paulo",
        {"number": "17", "gross": "100.00", "tax": "5.00"},
    ),
    "OIOUBL, which has the tax as the exclusive amount": (
        oioubl(exclusive="25.00"),
        "ubl",
        "oioubl",
        {"net": "100.00", "tax": "25.00"},
    ),
    "OIOUBL with a net total of its own": (
        oioubl(exclusive="90.00"),
        "ubl",
        "oioubl",
        {"net": "90.00", "tax": "25.00"},
    ),
    "a credit note of TRADACOMS": (
        (
            "STX=ANA:1+S+R+260302:0815+1'MHD=1+CREHDR:9'MHD=2+CREDIT:9'CRF=17+260302'"
            "CTR=1+10000+++10000++10000+2000++12000'END=2'"
        ),
        "tradacoms",
        "CREHDR9",
        {"number": "17", "issue_date": "2026-03-02", "net": "100.00", "tax": "20.00", "payable": "120.00"},
    ),
    "EDIFACT with dates of other formats": (
        "UNB+UNOC:3+S+R+260302:0815+1'UNH+1+INVOIC:D:96A:UN'BGM+380+17'DTM+137:020326:2'DTM+13:01042026:4'UNT+4+1'UNZ+1+1'",
        "edifact",
        "D96A",
        {"issue_date": "2026-03-02", "due_date": "2026-04-01"},
    ),
    "EDIFACT behind a line in braces": (
        "{1:route}\nUNB+UNOC:3+S+R+260302:0815+1'UNH+1+INVOIC:D:96A:UN'BGM+380+17'UNT+3+1'UNZ+1+1'",
        "edifact",
        "D96A",
        {"number": "17"},
    ),
    "JSON around a transaction": (
        '[{"transaction":{"Version":"1.1","TranDtls":{"SupTyp":"B2B"},"DocDtls":{"No":"17"}}}]',
        "gst_in",
        "inv-01",
        {"number": "17"},
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_forms_of_real_producers_are_read(name: str) -> None:
    content, format_, profile, fields = REAL[name]
    found = recognise([content.encode()])
    assert found.defect is None
    assert found.invoice is not None
    assert (found.invoice.format, found.invoice.profile, found.invoice.count) == (format_, profile, 1)
    assert found.invoice.fields is not None
    assert found.invoice.fields.model_dump(include=set(fields)) == fields


@pytest.mark.parametrize("sample", EDI, ids=lambda sample: sample.name)
@pytest.mark.parametrize("record", [80, 64])
def test_edi_in_records_of_one_length_is_joined(sample: Sample, record: int) -> None:
    whole = re.sub(r"[\r\n]", "", sample.content[re.search("UNB|ISA|STX", sample.content).start() :])  # type: ignore[union-attr]
    content = "\r\n".join(whole[at : at + record] for at in range(0, len(whole), record)).encode()
    found = recognise([content[at : at + 5000] for at in range(0, len(content), 5000)])
    assert found.defect is None
    assert found.invoice == recognise([whole.encode()]).invoice


@pytest.mark.parametrize("sample", OTHER_SAMPLES, ids=lambda sample: sample.name)
def test_edi_and_json_may_be_in_utf_16(sample: Sample) -> None:
    assert recognise([sample.content.encode("utf-16")]).invoice == recognise([sample.content.encode()]).invoice
