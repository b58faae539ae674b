"""What the catalog keeps of a manifest."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ingest.catalog.indexed import IndexedFields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ingest.catalog.indexed import IndexedAttachment, IndexedManifest

# Characters of one text. Enough to show and to find; the store has the whole.
_LONGEST = 500
# Documents and labels of one message that are listed: an archive may hold thousands.
_MOST_DOCUMENTS = 200
# Characters of one kind of words: PostgreSQL refuses more than a megabyte, and nobody looks for the ten thousandth.
_MOST_WORDS = 100_000
_LARGEST_INTEGER = 2**63 - 1
_WORD = re.compile(r"[^\W_]+")
# A lone surrogate cannot be written to a database, nor NUL to PostgreSQL.
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
# Characters before this one are not combined with others.
_COMBINING = "\u0300"
# The order in which `details` has the fields of each document and invoice.
DOCUMENT_FIELDS = ("part", "kind", "filename", "media_type", "size")
INVOICE_FIELDS = ("part", "format", "number", "issue_date", "seller", "buyer", "currency", "gross")
# The word of every message that has an amount.
HAS_AMOUNT = "_a"


@dataclass(frozen=True, slots=True)
class Entry:
    """The rows of one message: values by column, without the message's id."""

    message: dict[str, Any]
    amounts: list[float] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)


def entry_of(
    manifest: IndexedManifest, seen_at: float, position: str | None = None, run: int = 0, processed: float = 0.0
) -> Entry:
    """Return the rows of a message.

    Args:
        manifest: from the store, or the data of the event of a message that failed.
        seen_at: when it was read (seconds since 1970).
        position: of its event in the stream, if it was read because of one.
        run: the number of the rebuild.
        processed: when it was processed (seconds since 1970), for a message that does not tell when it was received;
            0 if that is unknown.
    """
    sender = manifest.headers.from_[0] if manifest.headers.from_ else None
    attachments = {attachment.part: attachment for attachment in manifest.attachments}
    invoices = [_invoice(one) for one in manifest.attachments if one.invoice is not None and not one.invoice.carrier]
    labels = list(dict.fromkeys(map(writable, _labels(manifest))))
    documents = [_document(one.kind, one.main, attachments) for one in manifest.documents[:_MOST_DOCUMENTS]]
    kept = {
        "key": manifest.message_key,
        "mailbox": writable(manifest.mailbox.id),
        "manifest": manifest.manifest,
        "date": manifest.received_at.timestamp() if manifest.received_at else processed or seen_at,
        "subject": writable(manifest.headers.subject),
        "sender_name": writable(sender.name if sender else ""),
        "sender": writable(sender.address if sender else ""),
        "status": writable(manifest.parse.status),
        "automatic": writable(manifest.automatic.kind) if manifest.automatic else None,
        "quarantined": manifest.quarantine is not None,
        "size": _integer(manifest.raw.size if manifest.raw else manifest.listed_size or 0),
        "attachments": _integer(manifest.attachments_total or len(attachments)),
        "details": _JSON.encode((labels, documents, invoices)),
        "version": _version(manifest),
    }
    words = _words(manifest, invoices)
    amounts = [gross for *_, gross in invoices if gross is not None]
    words["filters"] = " ".join(_filters(kept, labels, documents, amounts))
    return Entry(
        {**kept, "digest": _digest(kept, words), "position": position, "seen_at": seen_at, "run": run}, amounts, words
    )


def _words(manifest: IndexedManifest, invoices: Iterable[list[Any]]) -> dict[str, str]:
    texts = {
        "subject": manifest.headers.subject or "",
        "sender": " ".join(f"{one.name} {one.address}" for one in manifest.headers.from_),
        "filenames": " ".join(one.filename for one in manifest.attachments[:_MOST_DOCUMENTS]),
        "invoices": " ".join(f"{number or ''} {seller or ''}" for _, _, number, _, seller, *_ in invoices),
    }
    return {name: " ".join(words_of(text[:_MOST_WORDS])) for name, text in texts.items()}


def _filters(
    kept: Mapping[str, Any], labels: Iterable[str], documents: Iterable[list[Any]], amounts: Iterable[float]
) -> list[str]:
    """Return the words by which a search by mailbox, status, label, kind of document or amount finds a message."""
    made = [token("mailbox", kept["mailbox"]), token("status", kept["status"])]
    made += [token("label", label) for label in labels]
    made += [token("kind", kind) for kind in dict.fromkeys(document[1] for document in documents)]
    found = dict.fromkeys(amounts)
    return made + [token("amount", amount_text(one)) for one in found] + ([HAS_AMOUNT] if found else [])


@lru_cache(4_096)
def token(name: str, value: str) -> str:
    """Return the word in `filters` that stands for a value of a filter.

    It begins with an underscore, which is in no word of a text (`words_of`), so that nobody can type it.
    """
    return f"_{name[0]}{blake2b(value.encode(), digest_size=6).hexdigest()}"


def amount_text(number: float) -> str:
    """Return an amount as it is compared: with as many digits as `amount` keeps."""
    return f"{number + 0.0:.4f}"


def _labels(manifest: IndexedManifest) -> list[str]:
    configured = (f"{name}={value}" for name, value in manifest.mailbox.labels.items())
    return [*manifest.labels, *configured][:_MOST_DOCUMENTS]


def _document(kind: str, part: str, attachments: Mapping[str, IndexedAttachment]) -> list[Any]:
    main = attachments.get(part)
    if main is None:
        return [writable(part), writable(kind), "", "", 0]
    return [
        writable(part),
        writable(kind),
        writable(main.filename),
        writable(main.detected_type),
        _integer(main.size),
    ]


def _invoice(attachment: IndexedAttachment) -> list[Any]:
    assert attachment.invoice is not None
    fields = attachment.invoice.fields or IndexedFields()
    texts = (fields.number, fields.issue_date, fields.seller.name, fields.buyer.name, fields.currency)
    return [
        writable(attachment.part),
        writable(attachment.invoice.format),
        *(writable(text) or None for text in texts),
        amount(fields.gross or fields.payable),
    ]


def _version(manifest: IndexedManifest) -> int:
    """Return a number that grows with each form of a message: failed, processed, updated."""
    if manifest.manifest is None:
        return -1
    return _integer(manifest.update.number) if manifest.update else 0


def _digest(kept: Mapping[str, Any], words: Mapping[str, str]) -> int:
    content = repr((*kept.values(), *words.values())).encode()
    return int.from_bytes(blake2b(content, digest_size=8).digest(), signed=True)


def _integer(number: int) -> int:
    return max(-_LARGEST_INTEGER, min(number, _LARGEST_INTEGER))


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
    if text.isascii():
        return _WORD.findall(text.lower())
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(char for char in plain if char < _COMBINING or not unicodedata.combining(char)))


def writable(text: str | None) -> str:
    """Return the beginning of a text as every database can keep it, and so as it can be compared there."""
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", (text or "")[:_LONGEST])
