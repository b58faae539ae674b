"""UN/CEFACT's Cross Industry documents: Factur-X, ZUGFeRD, XRechnung, Order-X."""

from __future__ import annotations

from dataclasses import replace

from ingest.invoices.rules import XmlFormat
from ingest.invoices.ubl import GUIDELINES
from ingest.invoices.values import UNTDID_1001


def _party(role: str, path: str) -> dict[str, str | tuple[str, ...]]:
    return {
        f"{role}.name": f"{path}/Name",
        f"{role}.vat_id": f"{path}/SpecifiedTaxRegistration/ID[@schemeID=VA]",
        f"{role}.country": f"{path}/PostalTradeAddress/CountryID",
    }


def _paths(document: str, transaction: str, prefix: str) -> dict[str, str | tuple[str, ...]]:
    """Return the paths; the three schemas differ in the names of their largest elements."""
    agreement = f"{transaction}/Applicable{prefix}TradeAgreement"
    settlement = f"{transaction}/Applicable{prefix}TradeSettlement"
    totals = (
        f"{settlement}/SpecifiedTradeSettlementHeaderMonetarySummation",
        f"{settlement}/SpecifiedTradeSettlementMonetarySummation",
    )
    return {
        "number": f"{document}/ID",
        "issue_date": f"{document}/IssueDateTime/DateTimeString",
        "due_date": f"{settlement}/SpecifiedTradePaymentTerms/DueDateDateTime/DateTimeString",
        "kind": f"{document}/TypeCode",
        "currency": (f"{settlement}/InvoiceCurrencyCode", f"{settlement}/OrderCurrencyCode"),
        **{
            slot: tuple(f"{total}/{name}" for total in totals)
            for slot, name in {
                "net": "TaxBasisTotalAmount",
                "tax": "TaxTotalAmount!",
                "gross": "GrandTotalAmount",
                "payable": "DuePayableAmount",
            }.items()
        },
        **_party("seller", f"{agreement}/SellerTradeParty"),
        **_party("buyer", f"{agreement}/BuyerTradeParty"),
        "order_reference": (
            f"{agreement}/BuyerOrderReferencedDocument/IssuerAssignedID",
            f"{agreement}/BuyerOrderReferencedDocument/ID",
        ),
        "payment_reference": f"{settlement}/PaymentReference",
        "iban": (
            f"{settlement}/SpecifiedTradeSettlementPaymentMeans/PayeePartyCreditorFinancialAccount/IBANID",
            f"{settlement}/SpecifiedTradeSettlementPaymentMeans/PayeePartyCreditorFinancialAccount/ProprietaryID",
        ),
    }


_CONTEXT = "GuidelineSpecifiedDocumentContextParameter/ID"

CII = XmlFormat(
    "cii",
    "UN/CEFACT CII D16B, EN 16931-3-3; Factur-X 1.07 (fnfe-mpe.org), ZUGFeRD 2.3 (ferd-net.de), XRechnung 3.0",
    {"CrossIndustryInvoice": ""},
    r"urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    {
        "guideline": f"ExchangedDocumentContext/{_CONTEXT}",
        **_paths("ExchangedDocument", "SupplyChainTradeTransaction", "Header"),
    },
    kind={"CrossIndustryInvoice": "invoice"},
    kinds=UNTDID_1001,
    profiles=GUIDELINES,
    profile="d16b",
)
CII_NEAR = replace(CII, namespace=".*", likely=True, profile=None)

ZUGFERD1 = XmlFormat(
    "zugferd1",
    "ZUGFeRD 1.0, FeRD (ferd-net.de)",
    {"CrossIndustryDocument": ""},
    r"urn:ferd:CrossIndustryDocument:invoice:1p0",
    {
        "guideline": f"SpecifiedExchangedDocumentContext/{_CONTEXT}",
        **_paths("HeaderExchangedDocument", "SpecifiedSupplyChainTradeTransaction", "SupplyChain"),
    },
    kind={"CrossIndustryDocument": "invoice"},
    kinds=UNTDID_1001,
    profiles=tuple(
        (rf"urn:ferd:CrossIndustryDocument:invoice:1p0:{name}$", name) for name in ("basic", "comfort", "extended")
    ),
)
ZUGFERD1_NEAR = replace(ZUGFERD1, namespace=".*", likely=True)

ORDER_X = XmlFormat(
    "orderx",
    "Order-X 1.0, FNFE-MPE and FeRD (fnfe-mpe.org/factur-x/order-x); UN/CEFACT SCRDM CIO D20B",
    {"SCRDMCCBDACIOMessageStructure": ""},
    r"urn:un:unece:uncefact:data:SCRDMCCBDACIOMessageStructure:100",
    {
        "guideline": f"ExchangedDocumentContext/{_CONTEXT}",
        **_paths("ExchangedDocument", "SupplyChainTradeTransaction", "Header"),
        # An order is itself what invoices refer to.
        "order_reference": "SupplyChainTradeTransaction/ApplicableHeaderTradeAgreement/BuyerOrderReferencedDocument"
        "/IssuerAssignedID",
    },
    kind={"SCRDMCCBDACIOMessageStructure": "order"},
    kinds=UNTDID_1001,
    profiles=tuple((rf"urn:order-x\.eu:1p0:{name}$", name) for name in ("basic", "comfort", "extended")),
    profile="1.0",
)
