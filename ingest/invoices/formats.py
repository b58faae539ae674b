"""All XML formats, by document element."""

from __future__ import annotations

import re
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

# SAP names the document element like the basic type, an extension of it, or with the message type before.
_IDOC_ROOT = re.compile(r"INVOICE?0[12]")


def root_of(local: str) -> str:
    """Return the document element in the tables for one that is written otherwise."""
    if local not in BY_ROOT and (found := _IDOC_ROOT.search(local)) is not None:
        return found[0]
    return local


# Documents that hold others as elements: SBDH, XHE, SOAP, lists, XML signatures around their object.
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
        "InvoiceList",
        "InvoiceBatch",
        "XHE",
        "xmlInvoices",
    }
)
# Documents that hold others as text, and the elements with that text: DIAN's container, the SRI's authorisation, what
# Peppol puts into an SBDH that cannot be an element.
EMBEDDING = {
    "AttachedDocument": frozenset({"Description"}),
    "autorizacion": frozenset({"comprobante"}),
    "autorizaciones": frozenset({"comprobante"}),
    "Autorizacion": frozenset({"comprobante", "Comprobante"}),
    "StandardBusinessDocument": frozenset({"TextContent"}),
    "RespuestaAutorizacion": frozenset({"comprobante"}),
    "RespuestaAutorizacionComprobante": frozenset({"comprobante"}),
}
# The same in base64: what is sent to Hungary's tax office, and what it answers; the object of an XML signature.
EMBEDDING_BASE64 = {
    "ManageInvoiceRequest": frozenset({"invoiceData"}),
    "QueryInvoiceDataResponse": frozenset({"invoiceData"}),
    "AttachedDocument": frozenset({"EmbeddedDocumentBinaryObject"}),
    "Signature": frozenset({"Object"}),
    "StandardBusinessDocument": frozenset({"BinaryContent"}),
}
