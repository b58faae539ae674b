"""What the manifest says of an e-invoice."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ingest.domain.record import Record

InvoiceFormat = Literal[
    "ubl",
    "cii",  # also Factur-X, ZUGFeRD 2
    "zugferd1",
    "fatturapa",
    "edifact",
    "facturae",
    "ebinterface",
    "isdoc",
    "ksef",
    "nav",
    "eslog",
    "finvoice",
    "svefaktura",
    "opentrans",
    "yellowbill",
    "xcbl",
    "cxml",
    "gs1",
    "idoc",
    "orderx",
    "cfdi",
    "nfe",
    "nfse",
    "dte_cl",
    "sri_ec",
    "fe_cr",
    "gst_in",
    "x12",
    "tradacoms",
]


class InvoiceParty(Record):
    """A party to an invoice."""

    name: str | None = Field(default=None, description="As written there")
    vat_id: str | None = Field(default=None, description="VAT id, or what the country identifies taxpayers by")
    country: str | None = Field(default=None, description="As written there, mostly ISO 3166-1 of two letters")


class InvoiceFields(Record):
    """What an e-invoice says: amounts as decimal strings, nothing computed; null where it says nothing."""

    number: str | None = Field(default=None, description="The number of the invoice")
    issue_date: str | None = Field(
        default=None, description="YYYY-MM-DD; as written where the order of its parts is in doubt"
    )
    due_date: str | None = Field(default=None, description="Like issue_date; of several the first")
    kind: str | None = Field(
        default=None,
        description="invoice, credit_note, debit_note, corrected_invoice, self_billed_invoice, prepayment_invoice, "
        "partial_invoice, proforma_invoice, order, other, and their like",
    )
    currency: str | None = Field(default=None, description="ISO 4217")
    net: str | None = Field(default=None, description="Total without tax")
    tax: str | None = Field(default=None, description="Total of the tax, in the currency of the invoice")
    gross: str | None = Field(default=None, description="Total with tax")
    payable: str | None = Field(default=None, description="What remains to be paid")
    seller: InvoiceParty = Field(default_factory=InvoiceParty, description="Who supplied")
    buyer: InvoiceParty = Field(default_factory=InvoiceParty, description="Who is invoiced")
    order_reference: str | None = Field(default=None, description="The number of the buyer's order")
    payment_reference: str | None = Field(default=None, description="What to write on the payment")
    iban: str | None = Field(default=None, description="The account to pay to, without blanks; of several the first")


class Invoice(Record):
    """An e-invoice, recognised by its content."""

    format: InvoiceFormat = Field(description="cii is also Factur-X, XRechnung in CII, and ZUGFeRD 2")
    profile: str | None = Field(
        default=None,
        description="How much it says, or whose rules it follows: minimum, basic_wl, basic, comfort, en16931, "
        "extended, xrechnung, peppol_bis and their like; else the variant or version of the format",
    )
    guideline: str | None = Field(
        default=None, description="The id that names the profile, as written in the invoice"
    )
    confidence: Literal["certain", "likely"] = Field(
        description="likely: it has the name of one, and not all of its marks"
    )
    carrier: Literal["pdf", "p7m"] | None = Field(
        default=None, description="What it is inside of: the invoice itself is a child of this attachment"
    )
    count: int | None = Field(
        default=None, description="How many invoices the file holds; null where it was not read to its end"
    )
    fields: InvoiceFields | None = Field(
        default=None,
        description="What the first invoice of the file says; in the manifest only, and null where "
        "`parse.invoice_fields` is false",
    )
