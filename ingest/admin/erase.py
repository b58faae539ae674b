"""Erase one message, and leave a tombstone: a record without content that the message was here.

The tombstone takes the manifest's key, and an empty object the raw mail's key. So whatever would store or publish the
message again (a poll that finds it on the server, a rebuild) takes it for done, without any further look-up. The
tombstone is written first: if the purge breaks off there, the message counts as purged, and purging it again erases
what is left.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.admin.purge_report import PurgeReport
from ingest.domain import keys
from ingest.domain.events import event_ids
from ingest.domain.tombstone import MOST_BYTES, Tombstone
from ingest.errors import MailhaulError
from ingest.usecases.tombstones import is_tombstone, read_tombstone

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ingest.admin.stored_messages import StoredMessage
    from ingest.domain.message import FailedMessage
    from ingest.ports.eventlog import EventLog
    from ingest.ports.messages import Messages
    from ingest.ports.store import Store

log = get_logger()


class NotPurgedError(MailhaulError):
    """A message or mailbox cannot be purged now, or does not exist; the text says why, and what to do."""

    code = "not_purged"


@dataclass(frozen=True, slots=True)
class Eraser:
    """Erases messages. Safe to use from several threads.

    Attributes:
        sinks: the names of all sinks.
    """

    store: Store
    ledger: Messages
    events: EventLog
    sinks: Collection[str]
    now: Callable[[], datetime]

    def erase(self, stored: StoredMessage, mailbox: str, failed: FailedMessage | None) -> PurgeReport:
        """Erase one message: write the tombstone, then remove its failed record and dead letters, then its content.

        Args:
            stored: the message.
            mailbox: the id of its mailbox, for the tombstone.
            failed: its record, if the message failed.

        Raises:
            NotPurgedError: it is still being processed.
            StoreError, LedgerError: erasing it again continues from there.
        """
        if self.ledger.open_messages([stored.key])[0] is not None:
            raise still_open(1)
        before = self.tombstone(stored)
        if before is None:
            self._write_tombstone(stored, mailbox)
        kept = [f"{stored.folder}/{keys.MANIFEST}", *self._write_empty(stored)]
        done = self._drop_records(stored, failed)
        erased = self.store.erase(stored.folder, kept)
        if not is_tombstone(self.store, kept[0]):
            # A process that had lost its claim wrote the manifest meanwhile, and perhaps parts of the message.
            self._write_tombstone(stored, mailbox)
            erased += self.store.erase(stored.folder, kept)
        until = self.store.restorable_until(stored.folder)
        done.restorable_until = None if until is None else datetime.fromtimestamp(until, UTC)
        if before is not None:
            done.purged_before, done.left_over = 1, erased
            return done
        done.messages, done.objects, done.size = 1, len(stored.objects), stored.size
        log.info("message.purged", mailbox=mailbox, message=stored.key)
        return done

    def _drop_records(self, stored: StoredMessage, failed: FailedMessage | None) -> PurgeReport:
        """Drop what the ledger keeps of a message because it or its events failed."""
        dropped = failed is not None and self.ledger.drop_failed(failed)
        events = event_ids([stored.key], stored.updates)
        rejected = sum(self.events.drop_rejected(sink, events) for sink in self.sinks)
        return PurgeReport(failed=int(dropped), rejected_events=rejected)

    def _write_tombstone(self, stored: StoredMessage, mailbox: str) -> None:
        tombstone = Tombstone(
            message_key=stored.key,
            mailbox=mailbox,
            purged_at=self.now(),
            objects=len(stored.objects),
            size=stored.size,
            updates=stored.updates,
        )
        self._put(f"{stored.folder}/{keys.MANIFEST}", tombstone.to_json(), "application/json")

    def _write_empty(self, stored: StoredMessage) -> list[str]:
        """Replace the raw mail by an empty object; returns its key, or keys."""
        sources = [stored.key for stored in stored.sources] or [f"{stored.folder}/{keys.RAW}"]
        empty = {stored.key for stored in stored.sources if stored.size == 0}
        for key in sources:
            if key not in empty:
                self._put(key, b"", "message/rfc822")
        return sources

    def _put(self, key: str, body: bytes, content_type: str) -> None:
        digest = hashlib.sha256(body).hexdigest()
        self.store.put(key, io.BytesIO(body), size=len(body), sha256=digest, content_type=content_type)

    def tombstone(self, stored: StoredMessage) -> Tombstone | None:
        """Return the message's tombstone, None if the message was not purged."""
        manifest = stored.manifest
        if manifest is None or manifest.size > MOST_BYTES:
            return None
        return read_tombstone(self.store, manifest.key)


def still_open(count: int) -> NotPurgedError:
    """Return the error about messages that are still being processed."""
    return NotPurgedError(
        f"still being processed: {count} of these messages; wait until `mailhaul status` shows none, or until they"
        " fail"
    )
