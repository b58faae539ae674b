"""Erase one message, and leave a record that it was here, without its content.

The record takes the manifest's place, and an empty object the place of the raw mail. So everybody who would store or
tell of the message again (a poll that meets it on the server, rebuilding) finds it done, and nobody has to ask for
more than before. It is written first: where this breaks off, the message counts as purged, and doing it again takes
away what is left.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError
from structlog import get_logger

from ingest.admin.purge_report import PurgeReport
from ingest.domain import keys
from ingest.domain.events import EventType
from ingest.domain.tombstone import MOST_BYTES, Tombstone
from ingest.errors import MailhaulError, ObjectMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime

    from ingest.admin.stored_messages import StoredMessage
    from ingest.domain.message import FailedMessage
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger
    from ingest.ports.store import Store

log = get_logger()


class NotPurgedError(MailhaulError):
    """What cannot be purged now, or is not there; the text says why, and what to do."""

    code = "not_purged"


@dataclass(frozen=True, slots=True)
class Eraser:
    """Everything that erasing needs, passed in; safe between threads.

    Attributes:
        sinks: the names of all sinks.
    """

    store: Store
    ledger: Ledger
    events: EventLog
    sinks: Collection[str]
    now: Callable[[], datetime]

    def erase(self, stored: StoredMessage, mailbox: str, failed: FailedMessage | None) -> PurgeReport:
        """One message. The record first, its content last; in between whatever would make somebody ask for it.

        Args:
            stored: the message.
            mailbox: whose record is left.
            failed: the message as it was given up, if it was.

        Raises:
            NotPurgedError: it is still being processed.
            StoreError, LedgerError: doing it again goes on from there.
        """
        if self.ledger.open_messages([stored.key])[0] is not None:
            raise still_open(1)
        before = self.record(stored)
        if before is None:
            self._leave_record(stored, mailbox)
        kept = [f"{stored.folder}/{keys.MANIFEST}", *self._empty(stored)]
        dropped = failed is not None and self.ledger.drop_failed(failed)
        events = event_ids([stored.key])
        rejected = sum(self.events.drop_rejected(sink, events) for sink in self.sinks)
        done = PurgeReport(failed=int(dropped), rejected_events=rejected)
        erased = self.store.erase(stored.folder, kept)
        if before is not None:
            done.purged_before, done.left_over = 1, erased
            return done
        done.messages, done.objects, done.size = 1, len(stored.objects), stored.size
        log.info("message.purged", mailbox=mailbox, message=stored.key)
        return done

    def _leave_record(self, stored: StoredMessage, mailbox: str) -> None:
        record = Tombstone(
            message_key=stored.key,
            mailbox=mailbox,
            purged_at=self.now(),
            objects=len(stored.objects),
            size=stored.size,
        )
        self._put(f"{stored.folder}/{keys.MANIFEST}", record.to_json(), "application/json")

    def _empty(self, stored: StoredMessage) -> list[str]:
        """Leave nothing in the place of the mail; returns its key."""
        sources = [stored.key for stored in stored.sources] or [f"{stored.folder}/{keys.RAW}"]
        empty = {stored.key for stored in stored.sources if stored.size == 0}
        for key in sources:
            if key not in empty:
                self._put(key, b"", "message/rfc822")
        return sources

    def _put(self, key: str, body: bytes, content_type: str) -> None:
        digest = hashlib.sha256(body).hexdigest()
        self.store.put(key, io.BytesIO(body), size=len(body), sha256=digest, content_type=content_type)

    def record(self, stored: StoredMessage) -> Tombstone | None:
        """The record that was left of it, None where it was not purged."""
        manifest = stored.manifest
        if manifest is None or manifest.size > MOST_BYTES:
            return None
        try:
            with self.store.open(manifest.key) as body:
                return Tombstone.model_validate_json(body.read())
        except (ValidationError, ObjectMissingError):
            return None


def still_open(count: int) -> NotPurgedError:
    """The error about messages that are still being processed."""
    return NotPurgedError(
        f"still being processed: {count} of these messages; wait until `mailhaul status` shows none, or until they"
        " are given up"
    )


def event_ids(message_keys: Iterable[str]) -> list[str]:
    """The ids of all events that there can be of these messages."""
    return [keys.event_id(event_type, key) for key in message_keys for event_type in EventType]
