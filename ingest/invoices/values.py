"""Fields of an invoice from what was written at their paths: in one notation, never computed.

An amount becomes a decimal with a point, a date becomes ISO 8601 if the format defines the order of its parts, and an
account number is used if it has the form of an IBAN. Values in another form are left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from ingest.domain.invoice import InvoiceFields, InvoiceParty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ingest.invoices.paths import Store, Value

# How a format writes dates that are not ISO 8601.
DateOrder = Literal["ymd", "dmy"]

AMOUNTS = ("net", "tax", "gross", "payable")
_TEXT_CHARACTERS = 200
_AMOUNT = re.compile(r"([+-]?)([0-9]{1,30})(?:[.,]([0-9]{1,20}))?(-?)")
_ISO = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})(?:[T ].*|[+-][0-9]{2}:?[0-9]{2}|Z|[0-9]{4,6})?", re.DOTALL)
_DAY_FIRST = re.compile(r"([0-9]{1,2})([./-])([0-9]{1,2})\2([0-9]{4})(?:[T ].*)?", re.DOTALL)
_SHORT = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})")
_CENTURY = 70  # a year of two digits is of this century up to here
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_CURRENCY = re.compile(r"[A-Z]{3}")
# UNTDID 1001, which UBL, CII, EDIFACT, Order-X and eSLOG use.
UNTDID_1001: dict[str, str] = {
    "80": "debit_note",
    "81": "credit_note",
    "82": "invoice",
    "83": "credit_note",
    "84": "debit_note",
    "130": "invoice",
    "202": "partial_invoice",
    "203": "partial_invoice",
    "204": "partial_invoice",
    "211": "partial_invoice",
    "218": "invoice",
    "219": "invoice",
    "220": "order",
    "230": "order_change",
    "231": "order_response",
    "261": "self_billed_credit_note",
    "262": "credit_note",
    "295": "invoice",
    "296": "credit_note",
    "308": "credit_note",
    "325": "proforma_invoice",
    "326": "partial_invoice",
    "331": "invoice",
    "380": "invoice",
    "381": "credit_note",
    "382": "invoice",
    "383": "debit_note",
    "384": "corrected_invoice",
    "385": "invoice",
    "386": "prepayment_invoice",
    "387": "invoice",
    "388": "invoice",
    "389": "self_billed_invoice",
    "390": "invoice",
    "393": "invoice",
    "394": "invoice",
    "395": "invoice",
    "396": "credit_note",
    "420": "credit_note",
    "456": "debit_note",
    "457": "invoice",
    "458": "credit_note",
    "471": "self_billed_corrected_invoice",
    "500": "self_billed_prepayment_invoice",
    "501": "self_billed_invoice",
    "502": "self_billed_credit_note",
    "503": "prepayment_credit_note",
    "527": "self_billed_debit_note",
    "532": "credit_note",
    "575": "invoice",
    "623": "invoice",
    "633": "invoice",
    "751": "invoice",
    "780": "invoice",
    "875": "partial_invoice",
    "876": "partial_invoice",
    "877": "partial_invoice",
    "935": "invoice",
}


def fields_of(
    found: Store, kinds: Mapping[str, str], kind: str | None, single: Iterable[str], order: DateOrder = "ymd"
) -> InvoiceFields:
    """Return the fields for the values of one invoice.

    Args:
        found: the values by slot.
        kinds: what a code at the slot `kind` means, by code in upper case.
        kind: what it is if there is no known code.
        single: slots that have no value if several were found.
        order: how a date that is not ISO 8601 was written.
    """

    def first(slot: str, read: Callable[[str], str | None] = text_of) -> str | None:
        if slot not in found:
            return None
        values = found[slot]
        if len(values) == 1:
            return read(values[0].text) if values[0].text.strip() else None
        values = sorted((value for value in values if value.text.strip()), key=lambda value: value.rank)
        if slot in single and len([value for value in values if value.rank == values[0].rank]) > 1:
            return None
        return next((text for value in values if (text := read(value.text)) is not None), None)

    currency = first("currency", currency_of)
    for slot in AMOUNTS:
        if currency is not None and slot in found:
            found[slot] = _in_currency(found[slot], currency)
    return InvoiceFields(
        number=first("number"),
        issue_date=first("issue_date", lambda written: date_of(written, order)),
        due_date=first("due_date", lambda written: date_of(written, order)),
        kind=first("kind", lambda written: kinds.get(written.strip().upper())) or kind,
        currency=currency,
        net=first("net", amount_of),
        tax=first("tax", amount_of),
        gross=first("gross", amount_of),
        payable=first("payable", amount_of),
        seller=_party("seller", first),
        buyer=_party("buyer", first),
        order_reference=first("order_reference"),
        payment_reference=first("payment_reference"),
        iban=first("iban", iban_of),
    )


def _party(role: str, first: Callable[[str], str | None]) -> InvoiceParty:
    return InvoiceParty(name=first(f"{role}.name"), vat_id=first(f"{role}.vat_id"), country=first(f"{role}.country"))


def _in_currency(values: list[Value], currency: str) -> list[Value]:
    """Leave out amounts in other currencies, such as the tax in that of the tax office, if there are others."""
    return [value for value in values if value.currency in ("", currency)] or values


def text_of(written: str) -> str | None:
    """Return a text on one line, without control characters, cut at 200 characters."""
    if not written.isprintable():
        written = "".join(c if c.isprintable() else " " for c in written)
    text = " ".join(written.split())
    return text[:_TEXT_CHARACTERS] or None


def currency_of(written: str) -> str | None:
    """Return a currency code of three letters."""
    text = written.strip().upper()
    return text if _CURRENCY.fullmatch(text) else None


def amount_of(written: str) -> str | None:
    """Return an amount as a decimal with a point: `1234,50` and `1234.50-` are written so, too."""
    found = _AMOUNT.fullmatch("".join(written.split()))
    if found is None:
        return None
    sign = "-" if "-" in (found[1], found[4]) else ""
    return f"{sign}{found[2]}" + (f".{found[3]}" if found[3] else "")


def implied_decimals(written: str, places: int) -> str | None:
    """Return an amount that is written without its decimal mark: 12345 with two places is 123.45."""
    text = written.strip()
    digits = text.removeprefix("-").removesuffix("-")
    if not digits.isascii() or not digits.isdigit():
        return amount_of(text)
    sign = "-" if digits != text else ""
    digits = digits.rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


def date_of(written: str, order: DateOrder = "ymd") -> str | None:
    """Return a date as YYYY-MM-DD; unchanged if its order is ambiguous; None if it is not a date."""
    text = " ".join(written.split())
    if found := _ISO.fullmatch(text):
        return _date(found[1], found[2], found[3])
    if found := _DAY_FIRST.fullmatch(text):
        # Nobody writes the month first with points.
        return _date(found[4], found[3], found[1]) if order == "dmy" or found[2] == "." else text[:10]
    if found := _SHORT.fullmatch(text):
        century = "20" if int(found[1]) < _CENTURY else "19"
        return _date(century + found[1], found[2], found[3])
    return None


def _date(year: str, month: str, day: str) -> str | None:
    month, day = month.rjust(2, "0"), day.rjust(2, "0")
    return f"{year}-{month}-{day}" if "01" <= month <= "12" and "01" <= day <= "31" else None


def iban_of(written: str) -> str | None:
    """Return an account number without blanks, if it has the form of an IBAN."""
    text = "".join(written.split()).upper()
    return text if _IBAN.fullmatch(text) else None
