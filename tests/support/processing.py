"""One raw mail processed into memory: its manifest, and the bytes of what it names."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ingest.adapters.stores.memory import MemoryStore
from ingest.domain.message import OpenMessage
from ingest.metrics import Metrics
from ingest.usecases.process.processor import Processor

if TYPE_CHECKING:
    from ingest.domain.manifest import Attachment, Manifest


@dataclass(frozen=True)
class Processed:
    """A manifest and where its objects are."""

    manifest: Manifest
    store: MemoryStore

    @property
    def bodies(self) -> dict[str, bytes]:
        """By kind."""
        return {body.kind: self.store.objects[body.object.key].content for body in self.manifest.bodies}

    @property
    def parts(self) -> dict[str, Attachment]:
        return {attachment.part: attachment for attachment in self.manifest.attachments}

    @property
    def contents(self) -> dict[str, bytes]:
        """By part."""
        found = self.manifest.attachments
        return {each.part: self.store.objects[each.object.key].content for each in found}

    @property
    def described(self) -> list[tuple[str, str | None, str, str]]:
        """Part, parent, role and name of each attachment."""
        return [(each.part, each.parent, each.role, each.filename) for each in self.manifest.attachments]


def process(raw: bytes, **how: Any) -> Processed:
    """Process a mail that is stored already.

    Args:
        raw: the mail.
        how: what else a `Processor` takes.
    """
    store = MemoryStore()
    sha256 = hashlib.sha256(raw).hexdigest()
    source = store.put("m/raw.eml", io.BytesIO(raw), size=len(raw), sha256=sha256, content_type="message/rfc822")
    message = OpenMessage(
        key="0" * 32,
        mailbox="a",
        unique_id="u",
        folder="m",
        source=source,
        first_seen=datetime(2026, 11, 23, tzinfo=UTC),
        received_at=None,
    )
    with ThreadPoolExecutor(4) as uploads:
        return Processed(Processor(store, Metrics(), uploads, **how).process(message).manifest, store)
