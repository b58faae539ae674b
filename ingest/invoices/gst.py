"""India's e-invoices: the JSON that the Invoice Registration Portal signs, and the JSON that it registers.

The signed answer has the invoice as a JSON Web Token (RFC 7519), whose signature is not verified here. Source: GSTN,
e-invoice schema INV-01 1.1, https://einvoice1.gst.gov.in, and the API's "Generate IRN" response.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any

from ingest.domain.invoice import Invoice
from ingest.invoices.paths import Store, Value
from ingest.invoices.values import fields_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.domain.invoice import InvoiceFields

MAX_BYTES = 4 * 2**20  # JSON has to be held as a whole; a signed invoice has some ten thousand bytes
TOKEN = b"eyJ"  # how every JSON Web Token begins: base64 of {"
_NESTED = 4  # a token in a response in a list
_SIGNED = ("SignedInvoice", "signedInvoice", "signed_invoice")
_WRAPPERS = ("Data", "data", "result", "Result", "govt_response", "response", "transaction")
# A file without any of these is no invoice, and is not parsed; their quotes may be escaped.
_MARKS = (b"DocDtls", b"SignedQRCode", *(name.encode() for name in _SIGNED))

PATHS: dict[str, tuple[str, str]] = {
    "number": ("DocDtls", "No"),
    "issue_date": ("DocDtls", "Dt"),
    "kind": ("DocDtls", "Typ"),
    "net": ("ValDtls", "AssVal"),
    "gross": ("ValDtls", "TotInvVal"),
    "payable": ("PayDtls", "PaymtDue"),
    "seller.name": ("SellerDtls", "LglNm"),
    "seller.vat_id": ("SellerDtls", "Gstin"),
    "buyer.name": ("BuyerDtls", "LglNm"),
    "buyer.vat_id": ("BuyerDtls", "Gstin"),
    "buyer.country": ("ExpDtls", "CntCode"),
    "order_reference": ("RefDtls", "PORefr"),
}
_BESIDE = frozenset({"Irn", "SellerDtls", "TranDtls", "ItemList"})  # what stands beside the details of the document
_VERSION = re.compile(r"[0-9.]{1,10}")
_KINDS = {"INV": "invoice", "CRN": "credit_note", "DBN": "debit_note"}


def read(chunks: Iterable[bytes], *, fields: bool) -> Invoice | None:
    """Recognise signed or registered invoices in JSON, and read the first one; never raises."""
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > MAX_BYTES:
            return None
    plain = data.removeprefix(b"\xef\xbb\xbf").strip().strip(b'"')
    if plain.startswith(TOKEN):
        payload = _payload(plain.decode("latin-1"))
        documents = [(payload, True)] if "DocDtls" in payload else []
    else:
        documents = _documents(_loaded(bytes(data))) if any(mark in data for mark in _MARKS) else []
    if not documents:
        return None
    document, is_signed = documents[0]
    return Invoice(
        format="gst_in",
        profile="signed" if is_signed else "inv-01",
        guideline=_version(document),
        confidence="certain" if is_signed else "likely",
        count=len(documents),
        fields=_fields(document) if fields else None,
    )


def _loaded(data: bytes) -> Any:
    try:
        # Numbers stay as they are written.
        return json.loads(data.decode("utf-8-sig", "replace"), parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return None


def _documents(value: Any, depth: int = 0) -> list[tuple[dict[str, Any], bool]]:
    """Return the invoices in a value, and whether each is signed."""
    if depth > _NESTED:
        return []
    if isinstance(value, list):
        return [found for item in value for found in _documents(item, depth + 1)]
    if isinstance(value, str) and value.startswith(("{", "[")):
        value = _loaded(value.encode("utf-8", "replace"))
    return _documents_of(value, depth) if isinstance(value, dict) else []


def _documents_of(value: dict[str, Any], depth: int) -> list[tuple[dict[str, Any], bool]]:
    token = next((value[name] for name in _SIGNED if isinstance(value.get(name), str)), None)
    if token is not None or ("Irn" in value and "SignedQRCode" in value):
        return [(_payload(token or ""), True)]
    if isinstance(value.get("DocDtls"), dict) and _BESIDE.intersection(value):
        return [(value, "Irn" in value)]
    for name in _WRAPPERS:
        if found := _documents(value.get(name), depth + 1):
            return found
    return []


def _payload(token: str) -> dict[str, Any]:
    """Return the invoice in a token; empty if it cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature (RFC 7515 section 3.1)
        return {}
    try:
        claims = _loaded(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    content = claims.get("data", claims) if isinstance(claims, dict) else None
    if isinstance(content, str):
        content = _loaded(content.encode("utf-8", "replace"))
    return content if isinstance(content, dict) else {}


def _version(document: dict[str, Any]) -> str | None:
    version = document.get("Version")
    return f"INV-01:{version}" if isinstance(version, str) and _VERSION.fullmatch(version) else None


def _fields(document: dict[str, Any]) -> InvoiceFields:
    found: Store = {}
    for slot, (group, name) in PATHS.items():
        part = document.get(group)
        text = part.get(name) if isinstance(part, dict) else None
        if isinstance(text, str):
            found[slot] = [Value(0, text)]
    # Amounts are in rupees; another currency is only mentioned.
    return fields_of(found, _KINDS, "invoice", (), "dmy")
