"""Recognise e-invoices by the first 64 KiB of a file. No amounts, account numbers or tax ids are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ingest.containers import xmlroot
from ingest.containers.edifact import first_message
from ingest.domain.manifest import Invoice
from ingest.mime.defects import Defect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.domain.manifest import InvoiceFormat

# The guideline is within the first elements, but the samples of the standard begin with a licence of ten thousand
# characters.
HEAD_BYTES = 65_536

# File names that Factur-X and ZUGFeRD prescribe; ZUGFeRD 1 spells its own with capitals.
_NAMES: dict[str, InvoiceFormat] = {"factur-x.xml": "cii", "zugferd-invoice.xml": "cii", "xrechnung.xml": "cii"}
_NAME_OF_ZUGFERD1 = "ZUGFeRD-invoice.xml"

_UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
_CII = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
_ZUGFERD1 = "urn:ferd:CrossIndustryDocument:invoice:1p0"
_FATTURA = re.compile(
    r"http://(?:ivaservizi\.agenziaentrate\.gov\.it/docs/xsd/fatture|www\.fatturapa\.gov\.it/sdi/fatturapa)/v1\.[0-9]"
)
_FATTURA_VERSION = re.compile(r"F(?:PA|PR|SM)[0-9]{2}|[0-9]\.[0-9]")

_GUIDELINE = ("GuidelineSpecifiedDocumentContextParameter", "ID")
_PATHS: dict[InvoiceFormat, tuple[str, ...]] = {
    "ubl": ("CustomizationID",),
    "cii": ("ExchangedDocumentContext", *_GUIDELINE),
    "zugferd1": ("SpecifiedExchangedDocumentContext", *_GUIDELINE),
}
# Ids are printable; anything else that a sender wrote there must not reach an event.
_ID = re.compile(r"[!-~]{1,200}")
# The first match wins: a profile is written after the one that it restricts or extends.
_PROFILES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"kosit:(?:standard:|extension:)?xrechnung"), "xrechnung"),
    (re.compile(r"peppol\.eu:2017:poacc:(?:self)?billing:"), "peppol_bis"),
    (re.compile(r"(?:factur-x\.eu|zugferd\.de):[12]p[0-9]:minimum$"), "minimum"),
    (re.compile(r"(?:factur-x\.eu|zugferd\.de):[12]p[0-9]:basicwl$"), "basic_wl"),
    (re.compile(r"(?:factur-x\.eu|zugferd\.de):[12]p[0-9]:basic$"), "basic"),
    (re.compile(r"(?:factur-x\.eu|zugferd\.de):[12]p[0-9]:extended$"), "extended"),
    (re.compile(r"urn:cen\.eu:en16931:2017(?:$|#compliant#)"), "en16931"),
    (re.compile(r"urn:ferd:CrossIndustryDocument:invoice:1p0:basic$"), "basic"),
    (re.compile(r"urn:ferd:CrossIndustryDocument:invoice:1p0:comfort$"), "comfort"),
    (re.compile(r"urn:ferd:CrossIndustryDocument:invoice:1p0:extended$"), "extended"),
)


class Finding(NamedTuple):
    """The result for one file; `defect` says why it was not examined."""

    invoice: Invoice | None = None
    defect: Defect | None = None


def recognise(head: bytes, filename: str = "") -> Finding:
    """Recognise an e-invoice by its content. Never raises, whatever the bytes.

    Args:
        head: the first `HEAD_BYTES` of the file; the rest is ignored.
        filename: XML with a name that the hybrid formats prescribe is likely an invoice.
    """
    head = head[:HEAD_BYTES]
    text = xmlroot.decoded(head)
    if text is None:
        return Finding(_edifact(head))
    tokens = xmlroot.tokens(text)
    token = next((token for token in tokens if token.kind != "text"), None)
    if token is None:
        return Finding(_named(filename))
    if token.kind == "doctype":
        return Finding(_named(filename), None if token.name else Defect.DOCTYPE)
    return Finding(_xml(xmlroot.root_of(token), tokens) or _named(filename))


def _xml(root: xmlroot.Root, rest: Iterator[xmlroot.Token]) -> Invoice | None:
    namespace = root.namespace or ""
    if root.name in {"FatturaElettronica", "FatturaElettronicaSemplificata"}:
        return _fattura(root, certain=_FATTURA.match(namespace) is not None)
    if root.name in {"Invoice", "CreditNote"}:
        found = _with_guideline("ubl", rest, certain=namespace == f"{_UBL}{root.name}-2")
        # The root name alone is too common.
        return found if found.confidence == "certain" or found.profile or namespace.startswith(_UBL) else None
    if root.name == "CrossIndustryInvoice":
        return _with_guideline("cii", rest, certain=namespace == _CII)
    if root.name == "CrossIndustryDocument":
        return _with_guideline("zugferd1", rest, certain=namespace == _ZUGFERD1)
    return None


def _with_guideline(kind: InvoiceFormat, rest: Iterator[xmlroot.Token], *, certain: bool) -> Invoice:
    found = xmlroot.text_at(_PATHS[kind], rest) or ""
    guideline = found if _ID.fullmatch(found) else None
    return Invoice(
        format=kind,
        profile=_profile(guideline) if guideline else None,
        guideline=guideline,
        confidence="certain" if certain else "likely",
    )


def _profile(guideline: str) -> str | None:
    # Early Factur-X ids have colons instead of number signs and lack the second `urn`.
    plain = re.sub(r"(?<=2017):(compliant|conformant):", r"#\1#", guideline)
    return next((profile for pattern, profile in _PROFILES if pattern.search(plain)), None)


def _fattura(root: xmlroot.Root, *, certain: bool) -> Invoice:
    version = root.attributes.get("versione", "")
    known = _FATTURA_VERSION.fullmatch(version) is not None
    return Invoice(
        format="fatturapa",
        profile=version if known else None,
        guideline=version if known else None,
        confidence="certain" if certain and known else "likely",
    )


def _edifact(head: bytes) -> Invoice | None:
    message = first_message(head)
    if message is None or message.type != "INVOIC":
        return None
    return Invoice(
        format="edifact",
        profile=message.directory,
        guideline=message.identifier,
        confidence="certain" if message.in_interchange else "likely",
    )


def _named(filename: str) -> Invoice | None:
    """Recognise XML by its prescribed file name when its content did not settle it."""
    if filename == _NAME_OF_ZUGFERD1:
        return Invoice(format="zugferd1", confidence="likely")
    kind = _NAMES.get(filename.lower())
    return None if kind is None else Invoice(format=kind, confidence="likely")
