"""Formats of branches, networks and vendors."""

from __future__ import annotations

from dataclasses import replace

from ingest.invoices.rules import XmlFormat, party_paths
from ingest.invoices.values import UNTDID_1001

_INFO = "INVOICE_HEADER/INVOICE_INFO"


def _opentrans_party(role: str, roles: str) -> dict[str, str | tuple[str, ...]]:
    party = f"{_INFO}/PARTIES/PARTY[PARTY_ROLE={roles}]/ADDRESS"
    return party_paths(
        role,
        {
            "name": f"{party}/NAME",
            "vat_id": f"{party}/VAT_ID",
            "country": (f"{party}/COUNTRY_CODED", f"{party}/COUNTRY"),
        },
    )


OPENTRANS = XmlFormat(
    "opentrans",
    "openTRANS 2.1, BME/Fraunhofer IAO, http://www.opentrans.de, opentrans_2_1.xsd",
    {"INVOICE": ""},
    r"http://www\.opentrans\.org/XMLSchema/(?P<version>[0-9]\.[0-9])(?:fd)?",
    {
        "profile": "@version",
        "number": f"{_INFO}/INVOICE_ID",
        "issue_date": f"{_INFO}/INVOICE_DATE",
        "due_date": f"{_INFO}/PAYMENT/PAYMENT_TERMS/TIME_FOR_PAYMENT/PAYMENT_DATE",
        "kind": "@type",
        "currency": (f"{_INFO}/CURRENCY", "INVOICE_SUMMARY/TOTAL_AMOUNT/@currency"),
        "net": ("INVOICE_SUMMARY/NET_VALUE_GOODS", "INVOICE_SUMMARY/TOTAL_AMOUNT_NET"),
        "tax": (
            "INVOICE_SUMMARY/TOTAL_TAX/TAX_DETAILS_FIX/TAX_AMOUNT!",
            "INVOICE_SUMMARY/TOTAL_TAX/TAX_DETAILS_FIX/AMOUNT!",
        ),
        "gross": "INVOICE_SUMMARY/TOTAL_AMOUNT",
        **_opentrans_party("seller", "invoice_issuer|supplier"),
        **_opentrans_party("buyer", "invoice_recipient|buyer"),
        "order_reference": (
            "INVOICE_ITEM_LIST/INVOICE_ITEM/ORDER_REFERENCE/ORDER_ID",
            "INVOICE_HEADER/ORDER_HISTORY/ORDER_ID",
        ),
        "iban": (
            f"{_INFO}/PARTIES/PARTY[PARTY_ROLE=invoice_issuer|supplier]/ACCOUNT/BANK_ACCOUNT",
            f"{_INFO}/PAYMENT/ACCOUNT/BANK_ACCOUNT",
        ),
    },
    kind={"INVOICE": "invoice"},
    kinds={"CREDIT_NOTE": "credit_note", "CREDITNOTE": "credit_note"},
)
OPENTRANS_1 = replace(
    OPENTRANS,
    source="openTRANS 1.0, http://www.opentrans.de",
    namespace=r"(?:http.*)?",
    proof=True,
    paths={**OPENTRANS.paths, "proof": f"{_INFO}/INVOICE_ID"},
)

_BILL = "Header"


def _yellowbill_party(role: str, party: str) -> dict[str, str | tuple[str, ...]]:
    base = f"{_BILL}/{party}/PartyType"
    return party_paths(
        role,
        {
            "name": (f"{base}/Address/CompanyName", f"{base}/Address/FamilyName"),
            "vat_id": (f"{base}/TaxID", f"{_BILL}/{party}/TaxID"),
            "country": f"{base}/Address/Country",
        },
    )


YELLOWBILL = XmlFormat(
    "yellowbill",
    "yellowbill 2.0, PostFinance, ybInvoice_V2.0.4.xsd; 1.2 the same paths",
    {"Envelope": "Body/Bill"},
    r"(?!http://(?:schemas\.xmlsoap|www\.w3)\.org/).*",
    {
        "proof": ("/Body/DeliveryInfo->there", "/Body/Bill->there"),
        "profile": "/Header/Version",
        "number": f"{_BILL}/DocumentID",
        "issue_date": f"{_BILL}/DocumentDate",
        "due_date": f"{_BILL}/PaymentInformation/PaymentDueDate",
        "kind": f"{_BILL}/DocumentType",
        "currency": f"{_BILL}/Currency",
        "net": "Summary/TotalAmountExclusiveTax",
        "tax": "Summary/Tax/TotalTax",
        "gross": "Summary/TotalAmountInclusiveTax",
        "payable": "Summary/TotalAmountDue",
        **_yellowbill_party("seller", "SenderParty"),
        **_yellowbill_party("buyer", "ReceiverParty"),
        "order_reference": f"{_BILL}/AccountAssignment/OrderReference/ReferenceValue",
        "payment_reference": (
            f"{_BILL}/PaymentInformation/IBAN/CreditorReference",
            f"{_BILL}/PaymentInformation/ESR/ESRReferenceNumber",
        ),
        "iban": f"{_BILL}/PaymentInformation/IBAN/IBAN",
    },
    kind={"Envelope": "invoice"},
    kinds={
        "BILL": "invoice",
        "EFD": "invoice",
        "CREDITADVICE": "credit_note",
        "EGS": "credit_note",
        "REMINDER": "reminder",
    },
    proof=True,
)

_XCBL_HEAD = "InvoiceHeader"


def _xcbl_party(role: str, *parties: str) -> dict[str, str | tuple[str, ...]]:
    found = [f"{_XCBL_HEAD}/InvoiceParty/{party}" for party in parties]
    found += [f"{party}/Party" for party in found]
    return party_paths(
        role,
        {
            "name": tuple(f"{party}/NameAddress/Name1" for party in found),
            "vat_id": (
                *(f"{party}/PartyTaxInformation/TaxIdentifier/Identifier/Ident" for party in found),
                *(f"{party}/PartyTaxInformation/TaxIdentifier/Ident" for party in found),
            ),
            "country": tuple(f"{party}/NameAddress/Country/CountryCoded" for party in found),
        },
    )


def _xcbl_amount(name: str) -> tuple[str, ...]:
    totals = ("InvoiceSummary/InvoiceTotals", "InvoiceSummary/InvoiceTotal")
    return tuple(
        f"{total}/{name}/{value}" for total in totals for value in ("MonetaryValue/MonetaryAmount", "MonetaryAmount")
    )


XCBL = XmlFormat(
    "xcbl",
    "xCBL 4.0, http://www.xcbl.org/xcbl40, financial.xsd, Invoice",
    {"Invoice": ""},
    r"rrn:org\.xcbl:schemas/xcbl/v(?P<version>[0-9]_[0-9])/financial/v1_0/financial\.xsd",
    {
        "proof": "InvoiceHeader->there",
        "number": (
            f"{_XCBL_HEAD}/InvoiceNumber",
            f"{_XCBL_HEAD}/InvoiceNumber/Reference/RefNum",
            f"{_XCBL_HEAD}/InvoiceNumber/RefNum",
        ),
        "issue_date": f"{_XCBL_HEAD}/InvoiceIssueDate",
        "due_date": (f"{_XCBL_HEAD}/InvoiceDates/InvoiceDueDate", f"{_XCBL_HEAD}/InvoiceDates/PaymentDueDate"),
        "kind": f"{_XCBL_HEAD}/InvoiceType/InvoiceTypeCoded",
        "currency": (
            f"{_XCBL_HEAD}/InvoiceCurrency/CurrencyCoded",
            f"{_XCBL_HEAD}/InvoiceCurrency/Currency/CurrencyCoded",
        ),
        "net": _xcbl_amount("NetValue") + _xcbl_amount("TaxableValue"),
        "tax": _xcbl_amount("TotalTaxAmount") + _xcbl_amount("TotalTax"),
        "gross": _xcbl_amount("GrossValue") + _xcbl_amount("InvoiceTotal"),
        "payable": _xcbl_amount("TotalAmountPayable") + _xcbl_amount("AmountDue"),
        **_xcbl_party("seller", "SellerParty", "BillFromParty", "RemitToParty"),
        **_xcbl_party("buyer", "BuyerParty", "BillToParty"),
        "order_reference": tuple(
            f"{_XCBL_HEAD}/InvoiceReferences/PurchaseOrderReference/{path}"
            for path in (
                "BuyerOrderNumber",
                "PurchaseOrderNumber/Reference/RefNum",
                "PurchaseOrderNumber/RefNum",
                "PurchaseOrderNumber",
            )
        ),
    },
    kind={"Invoice": "invoice"},
    kinds={
        "COMMERCIALINVOICE": "invoice",
        "CREDITINVOICE": "credit_note",
        "CREDITNOTEGOODSANDSERVICES": "credit_note",
        "CREDITMEMO": "credit_note",
        "DEBITINVOICE": "debit_note",
        "DEBITMEMO": "debit_note",
        "DEBITNOTEGOODSANDSERVICES": "debit_note",
        "SELFBILLEDINVOICE": "self_billed_invoice",
        "PROFORMAINVOICE": "proforma_invoice",
        "CORRECTEDINVOICE": "corrected_invoice",
    },
)
XCBL_3 = replace(
    XCBL,
    source="xCBL 3.0 and 3.5, http://www.xcbl.org/xcbl35",
    namespace=r"urn:x-commerceone:.*|http://www\.xcbl\.org/.*",
    profile="3",
)
# Most documents leave the namespace of the SOX schema out.
XCBL_PLAIN = replace(XCBL_3, namespace="", proof=True)


def _gs1_party(role: str, *names: str) -> dict[str, str | tuple[str, ...]]:
    return party_paths(
        role,
        {
            "name": tuple(
                f"{name}/{path}"
                for name in names
                for path in ("organisationDetails/organisationName", "address/name", "nameAndAddress/name")
            ),
            "vat_id": tuple(
                f"{name}/{path}"
                for name in names
                for path in (
                    "dutyFeeTaxRegistration/dutyFeeTaxRegistrationID",
                    "organisationDetails/legalRegistration/legalRegistrationNumber",
                    "extension/vATRegistrationNumber",
                )
            ),
            "country": tuple(
                f"{name}/{path}"
                for name in names
                for path in ("address/countryCode", "nameAndAddress/countryISOCode/countryISOCode")
            ),
        },
    )


def _gs1_total(*names: str) -> tuple[str, ...]:
    return tuple(f"invoiceTotals/{name}" for name in names) + tuple(f"invoiceTotals/{name}/amount" for name in names)


_GS1_PATHS: dict[str, str | tuple[str, ...]] = {
    "profile": ("documentStructureVersion", "StandardBusinessDocumentHeader/DocumentIdentification/TypeVersion"),
    "number": (
        "invoiceIdentification/entityIdentification",
        "InvoiceIdentification/entityIdentification",
        "invoiceIdentification/uniqueCreatorIdentification",
    ),
    "issue_date": ("invoiceDate", "creationDateTime", "@creationDateTime"),
    "due_date": ("paymentTerms/paymentTermsEventTime/date", "paymentTerms/dueDate", "invoiceDueDate"),
    "kind": "invoiceType",
    "currency": ("invoiceCurrencyCode", "invoiceCurrency/currencyISOCode"),
    "net": _gs1_total("totalTaxBasisAmount", "taxableAmount", "totalLineAmountInclusiveAllowancesCharges"),
    "tax": _gs1_total("totalTaxAmount", "totalVATAmount"),
    "gross": _gs1_total("totalInvoiceAmount"),
    "payable": _gs1_total("totalInvoiceAmountPayable"),
    **_gs1_party("seller", "seller", "supplier"),
    **_gs1_party("buyer", "buyer", "billTo"),
    "order_reference": ("purchaseOrder/entityIdentification", "orderIdentification/uniqueCreatorIdentification"),
    "payment_reference": "paymentReference",
    "iban": ("financialInstitutionInformation/financialAccount/financialAccountNumber",),
}

GS1 = XmlFormat(
    "gs1",
    "GS1 XML 3.x, Business Message Standard Invoice, https://www.gs1.org/standards/gs1-xml",
    {"invoiceMessage": "invoice"},
    r"urn:gs1:ecom:(?:invoice|gs1_?xml[a-z_]*):xsd:(?P<version>[0-9])",
    _GS1_PATHS,
    kind={"invoiceMessage": "invoice"},
    kinds={
        "INVOICE": "invoice",
        "CREDIT_NOTE": "credit_note",
        "CREDIT": "credit_note",
        "DEBIT_NOTE": "debit_note",
        "DEBIT": "debit_note",
        "SELF_BILLING": "self_billed_invoice",
        "PREPAYMENT_INVOICE": "prepayment_invoice",
        "CORRECTED_INVOICE": "corrected_invoice",
        **{code: kind for code, kind in UNTDID_1001.items() if code.startswith("38")},
    },
)
# GS1 XML 2: the invoice stands somewhere in a StandardBusinessDocument.
GS1_2 = replace(
    GS1,
    source="GS1 XML 2.x (EAN.UCC), pay:invoice",
    roots={"invoice": "", "invoiceMessage": "invoice"},
    namespace=r"urn:ean\.ucc:pay:(?P<version>[0-9])",
    kind={"invoice": "invoice", "invoiceMessage": "invoice"},
)
