"""What makes two messages, two files or two invoices the same, as digests for the ledger."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from ingest.domain.keys import DIGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.domain.manifest import Document, Manifest
    from ingest.domain.marks import Duplicate

# Of one message; a mail of a thousand files must not push out what others have brought.
MOST_DIGESTS = 64
# Logos, signatures and reports are in many mails without meaning anything.
_KINDS = frozenset({"invoice", "document", "image", "archive", "message"})
_PICTURES = frozenset({"image", "logo"})
# The reason of a picture that came before, with the key of that message.
REPEATED = "in_earlier_mail_of_sender"
_BLANKS = re.compile(r"\s+")
_NO_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class ContentDigest:
    """One thing that may have come before.

    Attributes:
        digest: 16 bytes.
        by: what is the same in two messages that have it; `sender`: a picture, in mail of the same sender.
        document: number of the document that it is about; None for the message as a whole.
    """

    digest: bytes
    by: Literal["content", "file", "invoice", "sender"]
    document: int | None = None


def content_digests(manifest: Manifest) -> list[ContentDigest]:
    """Return what may have come before, and may come again: the message, its files, its invoices; at most 64."""
    return list(islice(_digests(manifest), MOST_DIGESTS))


def first_keys(manifest: Manifest) -> Iterator[tuple[bytes, str]]:
    """Yield each digest with the key of the first message that had it, as far as the manifest says."""
    for each in content_digests(manifest):
        if each.by == "sender":
            if manifest.duplicate_of is None:  # a copy of a message proves nothing about its pictures
                yield each.digest, _repeated(manifest, each.document) or manifest.message_key
            continue
        earlier: Duplicate | None = manifest.duplicate_of
        if each.document is not None:
            earlier = manifest.documents[each.document].duplicate_of
        # The document of a file that came before may hold an invoice that did; the other way round it does not.
        known = earlier is not None and earlier.by in {each.by, "file"}
        yield each.digest, earlier.message_key if earlier is not None and known else manifest.message_key


def _digests(manifest: Manifest) -> Iterator[ContentDigest]:
    if manifest.content_sha256 is not None:
        yield ContentDigest(_digest("content", manifest.content_sha256), "content")
    for number, document in enumerate(manifest.documents):
        if document.kind in _KINDS:
            yield from _of_document(manifest, document, number)

    if manifest.headers.from_:
        sender = manifest.headers.from_[0].address.casefold()
        main = {each.part: each for each in manifest.attachments}
        for number, document in enumerate(manifest.documents):
            if document.kind in _PICTURES and document.main in main:
                yield ContentDigest(_digest("sender", f"{sender}\0{main[document.main].sha256}"), "sender", number)


def _repeated(manifest: Manifest, document: int | None) -> str | None:
    """Return the key of the message that had the same picture, as far as the manifest says."""
    reasons = [] if document is None else manifest.documents[document].reasons
    return next((reason.fact for reason in reasons if reason.code == REPEATED), None)


def _of_document(manifest: Manifest, document: Document, number: int) -> Iterator[ContentDigest]:
    attachments = [each for each in manifest.attachments if each.part in document.parts]
    main = next((each for each in attachments if each.part == document.main), None)
    if main is not None and main.size:
        yield ContentDigest(_digest("file", main.sha256), "file", number)
    for attachment in attachments:
        fields = None if attachment.invoice is None else attachment.invoice.fields
        if fields is None or not fields.number:
            continue
        seller = _NO_WORD.sub("", fields.seller.vat_id or fields.seller.name or "").casefold()
        if seller:
            invoice = f"{seller}\0{_BLANKS.sub('', fields.number).casefold()}"
            yield ContentDigest(_digest("invoice", invoice), "invoice", number)
            return


def _digest(kind: str, content: str) -> bytes:
    return hashlib.sha256(f"{kind}\0{content}".encode("utf-8", "surrogatepass")).digest()[:DIGEST_BYTES]
