"""All XML formats, by document element."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.invoices import americas, business, cii, europe, fatturapa, networks, ubl

if TYPE_CHECKING:
    from ingest.invoices.rules import XmlFormat

# The first whose namespace matches is taken, so the looser form of a format comes after all strict ones.
FORMATS: tuple[XmlFormat, ...] = (
    ubl.UBL,
    ubl.OIOXML,
    ubl.SVEFAKTURA,
    ubl.ISDOC,
    cii.CII,
    cii.ZUGFERD1,
    cii.ORDER_X,
    fatturapa.FATTURAPA,
    fatturapa.FATTURAPA_SIMPLE,
    europe.FACTURAE,
    europe.EBINTERFACE,
    europe.KSEF_2,
    europe.KSEF_3,
    europe.KSEF,
    europe.NAV,
    europe.ESLOG,
    europe.ESLOG_1,
    europe.FINVOICE,
    americas.CFDI,
    americas.NFE,
    americas.NFSE,
    americas.NFSE_ABRASF,
    americas.NFSE_ABRASF_NEAR,
    americas.NFSE_SAO_PAULO,
    americas.DTE,
    americas.DTE_PLAIN,
    americas.SRI,
    americas.COSTA_RICA,
    business.OPENTRANS,
    business.OPENTRANS_1,
    business.YELLOWBILL,
    business.XCBL,
    business.XCBL_3,
    networks.CXML,
    business.GS1,
    business.GS1_2,
    networks.IDOC,
    ubl.UBL_NEAR,
    ubl.UBL_BY_GUIDELINE,
    business.XCBL_PLAIN,
    cii.CII_NEAR,
    cii.ZUGFERD1_NEAR,
    fatturapa.FATTURAPA_NEAR,
    fatturapa.FATTURAPA_SIMPLE_NEAR,
)


def _by_root() -> dict[str, tuple[XmlFormat, ...]]:
    roots = {root for known in FORMATS for root in known.roots}
    return {root: tuple(known for known in FORMATS if root in known.roots) for root in roots}


BY_ROOT = _by_root()

# Documents that hold others as elements: SBDH, SOAP, lists, XML signatures around their object.
WRAPPERS = frozenset(
    {
        "StandardBusinessDocument",
        "Envelope",
        "eSlogExport",
        "Signature",
        "ObjectEnvelope",
        "ArrayOfInvoice",
        "Invoices",
        "INVOICE_LIST",
        "xmlInvoices",
    }
)
# Documents that hold others as text, and the elements with that text: DIAN's container, the SRI's authorisation.
EMBEDDING = {
    "AttachedDocument": frozenset({"Description"}),
    "autorizacion": frozenset({"comprobante"}),
    "autorizaciones": frozenset({"comprobante"}),
    "Autorizacion": frozenset({"comprobante", "Comprobante"}),
    "RespuestaAutorizacion": frozenset({"comprobante"}),
    "RespuestaAutorizacionComprobante": frozenset({"comprobante"}),
}
# The same in base64: what is sent to Hungary's tax office, and what it answers; the object of an XML signature.
EMBEDDING_BASE64 = {
    "ManageInvoiceRequest": frozenset({"invoiceData"}),
    "QueryInvoiceDataResponse": frozenset({"invoiceData"}),
    "AttachedDocument": frozenset({"EmbeddedDocumentBinaryObject"}),
    "Signature": frozenset({"Object"}),
}
