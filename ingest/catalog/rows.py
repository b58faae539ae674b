"""What the catalog keeps of a manifest."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingest.domain.manifest import Attachment, Document, InvoiceFields, Manifest

# Characters of one text. Enough to show and to find; the store has the whole.
_LONGEST = 500
# Documents of one message that are listed: an archive may hold thousands.
_MOST_DOCUMENTS = 200
# Characters of one kind of words: PostgreSQL refuses more than a megabyte, and nobody looks for the ten thousandth.
_MOST_WORDS = 100_000
_LARGEST_INTEGER = 2**63 - 1
_WORD = re.compile(r"[^\W_]+")
# A lone surrogate cannot be written to a database, nor NUL to PostgreSQL.
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Entry:
    """The rows of one message: values by column, without the message's id."""

    message: dict[str, Any]
    labels: list[dict[str, Any]] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    invoices: list[dict[str, Any]] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)


def entry_of(manifest: Manifest, seen_at: float, position: str | None = None, run: int = 0) -> Entry:
    """Return the rows of a message.

    Args:
        manifest: from the store, or the data of the event of a message that failed.
        seen_at: when it was read (seconds since 1970).
        position: of its event in the stream, if it was read because of one.
        run: the number of the rebuild.
    """
    headers = manifest.headers
    sender = headers.from_[0] if headers.from_ else None
    attachments = {attachment.part: attachment for attachment in manifest.attachments}
    message = {
        "key": manifest.message_key,
        "mailbox": manifest.mailbox.id,
        "manifest": manifest.manifest,
        "date": manifest.received_at.timestamp() if manifest.received_at else seen_at,
        "subject": writable(headers.subject),
        "sender_name": writable(sender.name if sender else ""),
        "sender": writable(sender.address if sender else ""),
        "status": manifest.parse.status,
        "automatic": manifest.automatic.kind if manifest.automatic else None,
        "quarantined": manifest.quarantine is not None,
        "size": min(manifest.raw.size if manifest.raw else manifest.listed_size or 0, _LARGEST_INTEGER),
        "attachments": manifest.attachments_total or len(attachments),
        "position": position,
        "seen_at": seen_at,
        "run": run,
    }
    invoices = [_invoice(one) for one in manifest.attachments if one.invoice is not None and not one.invoice.carrier]
    words = {
        "subject": headers.subject or "",
        "sender": " ".join(f"{one.name} {one.address}" for one in headers.from_),
        "filenames": " ".join(one.filename for one in manifest.attachments[:_MOST_DOCUMENTS]),
        "invoices": " ".join(f"{one['number'] or ''} {one['seller'] or ''}" for one in invoices),
    }
    words = {name: " ".join(words_of(text[:_MOST_WORDS])) for name, text in words.items()}
    documents = [_document(one, attachments) for one in manifest.documents[:_MOST_DOCUMENTS]]
    return Entry(message, _labels(manifest), documents, invoices, words)


def _labels(manifest: Manifest) -> list[dict[str, Any]]:
    configured = (f"{name}={value}" for name, value in manifest.mailbox.labels.items())
    return [{"label": writable(label)} for label in dict.fromkeys([*manifest.labels, *configured])]


def _document(document: Document, attachments: dict[str, Attachment]) -> dict[str, Any]:
    main = attachments.get(document.main)
    return {
        "part": document.main,
        "kind": document.kind,
        "filename": writable(main.filename if main else ""),
        "media_type": writable(main.detected_type if main else ""),
        "size": main.size if main else 0,
    }


def _invoice(attachment: Attachment) -> dict[str, Any]:
    assert attachment.invoice is not None
    fields = attachment.invoice.fields
    return {"part": attachment.part, "format": attachment.invoice.format, **_invoice_fields(fields)}


def _invoice_fields(fields: InvoiceFields | None) -> dict[str, Any]:
    if fields is None:
        return dict.fromkeys(("number", "issue_date", "seller", "buyer", "currency", "gross"))
    return {
        "number": writable(fields.number) or None,
        "issue_date": writable(fields.issue_date) or None,
        "seller": writable(fields.seller.name) or None,
        "buyer": writable(fields.buyer.name) or None,
        "currency": writable(fields.currency) or None,
        "gross": amount(fields.gross or fields.payable),
    }


def amount(text: str | None) -> float | None:
    """Return a decimal string as a number to compare with, None if it is none."""
    try:
        found = None if text is None else Decimal(text)
    except InvalidOperation:
        return None
    number = math.nan if found is None else float(found)
    return round(number, 4) if math.isfinite(number) else None


def words_of(text: str) -> list[str]:
    """Return the words of a text in the form in which they are compared: lower case, without accents.

    The same for every database: what is between letters and digits separates words.
    """
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(char for char in plain if not unicodedata.combining(char)))


def writable(text: str | None) -> str:
    """Return the beginning of a text as every database can keep it, and so as it can be compared there."""
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", (text or "")[:_LONGEST])
