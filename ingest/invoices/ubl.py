"""UBL, its national profiles, and older dialects of it."""

from __future__ import annotations

from dataclasses import replace

from ingest.invoices.rules import XmlFormat, parties
from ingest.invoices.values import UNTDID_1001

_UBL = r"urn:oasis:names:specification:ubl:schema:xsd:"
_TAXES = "VAT|GST|IVA|MVA|MOMS|63|01|ZZ|ZA"  # the names of VAT in EN 16931, Singapore, Spain, Norway, OIOUBL, DIAN
_ISSUERS = "VKN|TCKN|VKN_TCKN"  # Turkey's ids of taxpayers are ids of the party


def _party(role: str, path: str) -> dict[str, str | tuple[str, ...]]:
    return {
        f"{role}.name": (
            f"{path}/PartyLegalEntity/RegistrationName",
            f"{path}/PartyName/Name",
            f"{path}/PartyTaxScheme/RegistrationName",
            f"{path}/Person/FamilyName",
        ),
        f"{role}.vat_id": (
            f"{path}/PartyTaxScheme[TaxScheme/ID={_TAXES}]/CompanyID",
            f"{path}/PartyTaxScheme[TaxScheme/Name=VAT|IVA|MOMS]/CompanyID",
            f"{path}/PartyIdentification/ID[@schemeID={_ISSUERS}]",
            f"{path}/PartyTaxScheme[TaxScheme/TaxTypeCode]/CompanyID",
        ),
        f"{role}.country": (
            f"{path}/PostalAddress/Country/IdentificationCode",
            f"{path}/PhysicalLocation/Address/Country/IdentificationCode",
            f"{path}/PartyTaxScheme/RegistrationAddress/Country/IdentificationCode",
        ),
    }


_PATHS: dict[str, str | tuple[str, ...]] = {
    "guideline": "CustomizationID",
    "profile": ("UBLExtensions/UBLExtension/ExtensionContent/DianExtensions->dian", "UBLVersionID"),
    "number": "ID",
    "issue_date": "IssueDate",
    "due_date": (
        "DueDate",
        "PaymentMeans/PaymentDueDate",
        "PaymentTerms/PaymentDueDate",
        "PaymentTerms/SettlementPeriod/EndDate",
    ),
    "kind": ("InvoiceTypeCode", "CreditNoteTypeCode"),
    "currency": ("DocumentCurrencyCode", "InvoiceCurrencyCode"),
    **{
        slot: (f"LegalMonetaryTotal/{name}", f"RequestedMonetaryTotal/{name}")
        for slot, name in {
            "net": "TaxExclusiveAmount",
            "gross": "TaxInclusiveAmount",
            "payable": "PayableAmount",
        }.items()
    },
    "lines": "LegalMonetaryTotal/LineExtensionAmount",
    # The total in the currency of the tax office has no subtotals (EN 16931, BT-111).
    "tax": ("TaxTotal[TaxSubtotal]/TaxAmount!", "TaxTotal/TaxAmount!"),
    **_party("seller", "AccountingSupplierParty/Party"),
    **_party("buyer", "AccountingCustomerParty/Party"),
    "order_reference": "OrderReference/ID",
    "payment_reference": ("PaymentMeans/PaymentID", "PaymentMeans/InstructionID"),
    "iban": "PaymentMeans/PayeeFinancialAccount/ID",
}

# The first match wins: a profile is written after the one that it restricts or extends.
GUIDELINES: tuple[tuple[str, str], ...] = (
    (r"kosit:(?:standard:|extension:)?xrechnung", "xrechnung"),
    (r"efactura\.mfinante\.ro:CIUS-RO", "cius_ro"),
    (r"(?i)urn:UBL\.BE:|e-fff\.be", "ubl_be"),
    (r"fdc:difi\.no:|anskaffelser\.no:2019:ehf|www\.difi\.no:ehf", "ehf"),
    (r"urn:peppol:pint:", "peppol_pint"),
    (r"peppol\.eu:2017:poacc:(?:self)?billing:|www\.peppol\.eu:bis:peppol", "peppol_bis"),
    (r"(?i)^OIOUBL-", "oioubl"),
    (r"^TR1\.[0-9]", "ubl_tr"),
    (r"(?:factur-x\.eu|zugferd\.de)[:#][12]p[0-9]:minimum$", "minimum"),
    (r"(?:factur-x\.eu|zugferd\.de)[:#][12]p[0-9]:basicwl$", "basic_wl"),
    (r"(?:factur-x\.eu|zugferd\.de)[:#][12]p[0-9]:basic$", "basic"),
    (r"(?:factur-x\.eu|zugferd\.de)[:#][12]p[0-9]:extended$", "extended"),
    (r"urn[.:]cpro\.gouv\.fr:1p0:extended-ctc-fr", "extended_ctc_fr"),
    (r"urn:cen\.eu:en16931:2017(?:$|#?compliant#|:compliant:)", "en16931"),
    (r"urn:cen\.eu:en16931:2017[#:]conformant[#:]", "en16931_extension"),
)

UBL = XmlFormat(
    "ubl",
    "OASIS UBL 2.1 to 2.4, http://docs.oasis-open.org/ubl/UBL-2.4.html; EN 16931-3-2; "
    "docs.peppol.eu/poacc/billing/3.0; OIOUBL 2.1; UBL-TR 1.2; CIUS-RO 1.0.1; DIAN, Anexo técnico 1.9",
    {
        "Invoice": "",
        "CreditNote": "",
        "DebitNote": "",
        "SelfBilledInvoice": "",
        "SelfBilledCreditNote": "",
        "FreightInvoice": "",
    },
    _UBL + r"(?:Invoice|CreditNote|DebitNote|SelfBilledInvoice|SelfBilledCreditNote|FreightInvoice)-2",
    _PATHS,
    kind={
        "Invoice": "invoice",
        "CreditNote": "credit_note",
        "DebitNote": "debit_note",
        "SelfBilledInvoice": "self_billed_invoice",
        "SelfBilledCreditNote": "self_billed_credit_note",
        "FreightInvoice": "invoice",
    },
    kinds={
        **UNTDID_1001,
        "SATIS": "invoice",
        "IADE": "credit_note",
        "TEVKIFAT": "invoice",
        "ISTISNA": "invoice",
        "01": "invoice",
        "91": "credit_note",
        "92": "debit_note",
    },
    profiles=GUIDELINES,
    profile="2",
    # OIOUBL 2 defines TaxExclusiveAmount as the sum of the taxes.
    nets_by_lines=frozenset({"oioubl"}),
)
_ANY_ROOT = {"Invoice": "", "CreditNote": ""}
UBL_NEAR = replace(UBL, roots=_ANY_ROOT, namespace=_UBL + ".*", likely=True, profile=None)
# The root name alone is too common.
UBL_BY_GUIDELINE = replace(UBL, roots=_ANY_ROOT, namespace=".*", likely=True, needs_profile=True)

OIOXML = replace(
    UBL,
    source="OIOXML elektronisk faktura 0.71, http://rep.oio.dk/ubl/xml/schemas/0p71",
    roots=_ANY_ROOT,
    namespace=r"http://rep\.oio\.dk/ubl/xml/schemas/0p71/(?:pie|pcm|pcp|pip)/",
    profile="oioxml",
    paths={
        "number": "ID",
        "issue_date": "IssueDate",
        "kind": "TypeCode",
        "currency": "InvoiceCurrencyCode",
        "due_date": "PaymentMeans/PaymentDueDate",
        "net": "LegalTotals/LineExtensionTotalAmount",
        "payable": "LegalTotals/ToBePaidTotalAmount",
        "tax": "TaxTotal/TaxAmounts/TaxAmount!",
        "seller.name": "SellerParty/PartyName/Name",
        "seller.vat_id": "SellerParty/PartyTaxScheme/CompanyTaxID",
        "seller.country": "SellerParty/Address/Country/Code",
        "buyer.name": "BuyerParty/PartyName/Name",
        "order_reference": "ReferencedOrder/BuyersOrderID",
        "payment_reference": "PaymentMeans/PaymentID",
        "iban": "PaymentMeans/PayeeFinancialAccount/ID",
    },
    kinds={"PIE": "invoice", "PIP": "invoice", "PCM": "credit_note", "PCP": "credit_note"},
    profiles=(),
)

SVEFAKTURA = XmlFormat(
    "svefaktura",
    "Svefaktura 1.0, SFTI, urn:sfti:documents:BasicInvoice:1:0 (UBL 1.0)",
    {"Invoice": ""},
    r"urn:sfti:documents:BasicInvoice:1:0",
    {
        "number": "ID",
        "issue_date": "IssueDate",
        "due_date": ("PaymentMeans/DuePaymentDate", "PaymentTerms/DueDate"),
        "kind": "InvoiceTypeCode",
        "currency": "InvoiceCurrencyCode",
        "net": "LegalTotal/TaxExclusiveTotalAmount",
        "tax": "TaxTotal/TotalTaxAmount!",
        "gross": "LegalTotal/TaxInclusiveTotalAmount",
        # The inclusive total, rounded, is what is paid; there is no element of its own.
        **parties(
            {"seller": "SellerParty/Party", "buyer": "BuyerParty/Party"},
            {
                "name": "{}/PartyName/Name",
                "vat_id": "{}/PartyTaxScheme[TaxScheme/ID=VAT]/CompanyID",
                "country": "{}/Address/Country/IdentificationCode",
            },
        ),
        "order_reference": ("InvoiceLine/OrderLineReference/OrderReference/BuyersID", "OrderReference/BuyersID"),
        "payment_reference": "PaymentMeans/PayeeFinancialAccount/PaymentInstructionID",
        "iban": "PaymentMeans/PayeeFinancialAccount/ID",
    },
    kind={"Invoice": "invoice"},
    kinds=UNTDID_1001,
    profile="1.0",
)

ISDOC = XmlFormat(
    "isdoc",
    "ISDOC 6.0.2, https://isdoc.cz/6.0.2/doc-cs/isdoc-6.0.2.html; 5.x the same paths",
    {"Invoice": "", "CreditNote": ""},
    r"http://isdoc\.cz/namespace/(?:2013|invoice)",
    {
        "profile": "@version",
        "number": "ID",
        "issue_date": "IssueDate",
        "due_date": (
            "PaymentMeans/Payment/Details/PaymentDueDate",
            "PaymentMeans/AlternateBankAccounts/PaymentDueDate",
        ),
        "kind": "DocumentType",
        "currency": ("ForeignCurrencyCode", "LocalCurrencyCode"),
        "net": ("LegalMonetaryTotal/TaxExclusiveAmountCurr", "LegalMonetaryTotal/TaxExclusiveAmount"),
        "tax": ("TaxTotal/TaxAmountCurr", "TaxTotal/TaxAmount"),
        "gross": ("LegalMonetaryTotal/TaxInclusiveAmountCurr", "LegalMonetaryTotal/TaxInclusiveAmount"),
        "payable": ("LegalMonetaryTotal/PayableAmountCurr", "LegalMonetaryTotal/PayableAmount"),
        **parties(
            {
                "seller": "AccountingSupplierParty/Party",
                "buyer": "AccountingCustomerParty/Party",
            },
            {
                "name": "{}/PartyName/Name",
                "vat_id": ("{}/PartyTaxScheme[TaxScheme=VAT]/CompanyID", "{}/PartyTaxScheme/CompanyID"),
                "country": "{}/PostalAddress/Country/IdentificationCode",
            },
        ),
        "order_reference": (
            "OrderReferences/OrderReference/ExternalOrderID",
            "OrderReferences/OrderReference/SalesOrderID",
        ),
        "payment_reference": "PaymentMeans/Payment/Details/VariableSymbol",
        "iban": "PaymentMeans/Payment/Details/IBAN",
    },
    kind={"Invoice": "invoice", "CreditNote": "credit_note"},
    kinds={
        "1": "invoice",
        "2": "credit_note",
        "3": "debit_note",
        "4": "proforma_invoice",
        "5": "prepayment_invoice",
        "6": "prepayment_credit_note",
        "7": "invoice",
    },
)
