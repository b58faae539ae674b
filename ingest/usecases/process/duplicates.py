"""Duplicates: which message, file or invoice came before. It is reported, and nothing is dropped."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.domain.content import content_digests
from ingest.domain.marks import Duplicate
from ingest.usecases.process.documents import repeated_picture

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.domain.manifest import Attachment, Body, Manifest
    from ingest.mime.fields import Fields
    from ingest.ports.claims import Renewal
    from ingest.ports.content import ContentLimits, ContentRecords

# What authors and their programs write. Servers on the way add and change most others: Received, Delivered-To,
# Return-Path, X-UIDL, Status, X-Spam-*, Authentication-Results, DKIM-Signature, List-*.
_WRITTEN = (
    *(b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id", b"in-reply-to"),
    *(b"references", b"resent-from", b"resent-to", b"resent-date", b"resent-message-id"),
)


def content_sha256(fields: Fields, bodies: Iterable[Body], attachments: Iterable[Attachment]) -> str:
    """Return a hex SHA-256 that two copies of a message share, whichever servers they came through.

    Args:
        fields: of its header; those that servers write do not count, nor do line breaks in the others.
        bodies: as stored, so that another transfer encoding makes no difference.
        attachments: all of them; those inside of others do not count.
    """
    hashed = [b"\0" if value is None else b"\1%b\0" % b" ".join(value.split()) for value in fields.firsts(_WRITTEN)]
    hashed += [f"{body.kind}\0{body.object.sha256}\0".encode() for body in bodies]
    for attachment in attachments:
        if attachment.parent is None:
            name = attachment.filename.encode("utf-8", "surrogatepass")
            hashed.append(b"%b\0%b\0" % (name, attachment.sha256.encode()))
    return hashlib.sha256(b"".join(hashed)).hexdigest()


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Finds what came before, and remembers what came."""

    records: ContentRecords
    limits: ContentLimits

    def mark(self, manifest: Manifest, renewal: Renewal | None = None) -> Manifest:
        """Return a manifest that says what came before; the same one whenever the message is processed again.

        Args:
            manifest: of the message.
            renewal: of the claim on the message, in the same round trip.

        Raises:
            StaleClaimError: the claim is stale.
            LedgerUnavailableError: the ledger is unavailable.
        """
        own, found = manifest.message_key, content_digests(manifest)
        firsts = self.records.first_messages([(each.digest, own) for each in found], self.limits, renewal)
        earlier: dict[int | None, Duplicate] = {}
        repeated: dict[int | None, str] = {}
        for each, first in zip(found, firsts, strict=True):
            if first == own:
                continue
            if each.by == "sender":
                repeated[each.document] = first
            else:
                earlier.setdefault(each.document, Duplicate(message_key=first, by=each.by))
        if None in earlier:
            repeated.clear()  # the same message came before: that proves nothing about its pictures
        if not earlier and not repeated:
            return manifest
        documents = [
            document.model_copy(update={"duplicate_of": earlier.get(number)})
            for number, document in enumerate(manifest.documents)
        ]
        for number, first in repeated.items():
            assert number is not None
            documents[number] = repeated_picture(documents[number], manifest.attachments, first)
        return manifest.model_copy(update={"duplicate_of": earlier.get(None), "documents": documents})

    def forget(self, key: str) -> None:
        """Forget what a message had in it, because it was purged.

        Raises:
            LedgerUnavailableError: the ledger is unavailable.
        """
        self.records.forget_messages([key])
