"""Formats of vendors and their networks: cXML, SAP's IDoc."""

from __future__ import annotations

from ingest.invoices.rules import XmlFormat, party_paths

_CXML = "Request/InvoiceDetailRequest"
_CXML_HEAD = f"{_CXML}/InvoiceDetailRequestHeader"
_CXML_SUM = f"{_CXML}/InvoiceDetailSummary"
_CXML_SELLERS = ("from", "issuerOfInvoice", "billFrom", "remitTo")
_CXML_BUYERS = ("soldTo", "billTo")


def _cxml_party(role: str, roles: tuple[str, ...]) -> dict[str, str | tuple[str, ...]]:
    partners = [f"{_CXML_HEAD}/InvoicePartner[Contact/@role={name}]" for name in roles]
    return party_paths(
        role,
        {
            "name": tuple(f"{partner}/Contact/Name" for partner in partners),
            "vat_id": (
                *(
                    f"{partner}/IdReference[@domain=vatID|supplierTaxID|taxID|gstTaxID|buyerTaxID]/@identifier"
                    for partner in partners
                ),
                # Where Ariba's and Coupa's suppliers write it.
                f"{_CXML_HEAD}/Extrinsic[@name={'supplier' if role == 'seller' else 'buyer'}VatID]",
            ),
            "country": tuple(f"{partner}/Contact/PostalAddress/Country/@isoCountryCode" for partner in partners),
        },
    )


CXML = XmlFormat(
    "cxml",
    "cXML 1.2, http://xml.cxml.org/schemas/cXML/1.2.060/InvoiceDetail.dtd",
    {"cXML": ""},
    ".*",
    {
        "proof": (f"{_CXML}->there", "Request/InvoiceRequest->there"),
        "profile": "@version",
        "number": f"{_CXML_HEAD}/@invoiceID",
        "issue_date": f"{_CXML_HEAD}/@invoiceDate",
        "due_date": f"{_CXML_HEAD}/PaymentTerm/@dueDate",
        "kind": f"{_CXML_HEAD}/@purpose",
        "currency": (
            f"{_CXML_SUM}/NetAmount/Money/@currency",
            f"{_CXML_SUM}/GrossAmount/Money/@currency",
            f"{_CXML_SUM}/SubtotalAmount/Money/@currency",
        ),
        "net": (f"{_CXML_SUM}/TotalAmountWithoutTax/Money", f"{_CXML_SUM}/SubtotalAmount/Money"),
        "tax": f"{_CXML_SUM}/Tax/Money",
        "gross": (f"{_CXML_SUM}/GrossAmount/Money", f"{_CXML_SUM}/NetAmount/Money"),
        "payable": (f"{_CXML_SUM}/DueAmount/Money", f"{_CXML_SUM}/NetAmount/Money"),
        **_cxml_party("seller", _CXML_SELLERS),
        **_cxml_party("buyer", _CXML_BUYERS),
        "order_reference": tuple(
            f"{_CXML}/{order}/{path}"
            for order in (
                "InvoiceDetailOrder/InvoiceDetailOrderInfo",
                "InvoiceDetailHeaderOrder/InvoiceDetailOrderInfo",
            )
            for path in ("OrderReference/@orderID", "OrderIDInfo/@orderID")
        ),
        "iban": f"{_CXML_HEAD}/InvoicePartner/IdReference[@domain=ibanID|accountID]/@identifier",
    },
    kind={"cXML": "invoice"},
    kinds={
        "STANDARD": "invoice",
        "CREDITMEMO": "credit_note",
        "LINELEVELCREDITMEMO": "credit_note",
        "DEBITMEMO": "debit_note",
        "LINELEVELDEBITMEMO": "debit_note",
        "INFORMATIONONLY": "other",
    },
    profile="1.2",
    proof=True,
)


_IDOC_ROOTS = ("INVOIC01", "INVOIC02", "INVOICE01", "INVOICE02")


def _idoc_party(role: str, *codes: str) -> dict[str, str | tuple[str, ...]]:
    parties = [f"E1EDKA1[PARVW={code}]" for code in codes]
    number = "EIGENUINR" if role == "seller" else "KUNDEUINR"
    return party_paths(
        role,
        {
            "name": tuple(f"{party}/NAME1" for party in parties),
            "vat_id": (f"E1EDK01/{number}",),
            "country": tuple(f"{party}/LAND1" for party in parties),
        },
    )


def _idoc_sum(code: str) -> str:
    return f"E1EDS01[SUMID={code}]/SUMME"


IDOC = XmlFormat(
    "idoc",
    "SAP IDoc INVOIC02, segments E1EDK01 to E1EDS01 (transaction WE60)",
    dict.fromkeys(_IDOC_ROOTS, "IDOC"),
    ".*",
    {
        "proof": "EDI_DC40/MESTYP",
        "profile": "EDI_DC40/IDOCTYP",
        "number": ("E1EDK02[QUALF=009]/BELNR", "E1EDK01/BELNR"),
        "issue_date": ("E1EDK03[IDDAT=026]/DATUM", "E1EDK03[IDDAT=012]/DATUM", "E1EDK02[QUALF=009]/DATUM"),
        "due_date": ("E1EDK03[IDDAT=017]/DATUM",),
        "kind": "E1EDK01/BSART",
        "currency": ("E1EDK01/CURCY", "E1EDS01[SUMID=011]/WAERQ"),
        "net": _idoc_sum("010"),
        "tax": _idoc_sum("005"),
        "gross": _idoc_sum("011"),
        **_idoc_party("seller", "RS", "BK", "LF"),
        **_idoc_party("buyer", "RE", "RG", "AG"),
        "order_reference": "E1EDK02[QUALF=001]/BELNR",
        "iban": ("E1EDK28/IBAN", "E1EDK28/ACNUM"),
    },
    kind=dict.fromkeys(_IDOC_ROOTS, "invoice"),
    kinds={
        "INVO": "invoice",
        "CRME": "credit_note",
        "SBIN": "self_billed_invoice",
        "SBCR": "self_billed_credit_note",
    },
)
