"""Erase one message, and leave a tombstone: a record without content that the message was here.

The tombstone takes the manifest's key, and an empty object the raw mail's key. So whatever would store or publish the
message again (a poll that finds it on the server, a rebuild) takes it for done, without any further look-up. The
tombstone is written first: if the purge breaks off there, the message counts as purged, and purging it again erases
what is left.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from structlog import get_logger

from ingest.admin.purge_report import PurgeReport
from ingest.domain import keys
from ingest.domain.events import event_ids
from ingest.domain.tombstone import MOST_BYTES, Tombstone
from ingest.errors import MailhaulError, ObjectExistsError, StoreRefusedError
from ingest.usecases.tombstones import is_tombstone, read_raw_erased, read_tombstone

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ingest.admin.holds import HeldNames, LegalHolds
    from ingest.admin.stored_messages import StoredMessage
    from ingest.domain.message import FailedMessage
    from ingest.domain.tombstone import RawErased
    from ingest.ports.eventlog import EventLog
    from ingest.ports.messages import Messages
    from ingest.ports.store import Store

log = get_logger()

_MAIL = "message/rfc822"


class NotPurgedError(MailhaulError):
    """A message or mailbox cannot be purged now, or does not exist; the text says why, and what to do."""

    code = "not_purged"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a message is erased: `kind` as in `Tombstone.reason`, and the retention rule."""

    kind: Literal["request", "retention"] = "request"
    rule: str | None = None


REQUEST = Reason()


@dataclass(frozen=True, slots=True)
class Eraser:
    """Erases messages. Safe to use from several threads.

    Attributes:
        sinks: the names of all sinks.
        holds: what must not be erased; asked before each message.
    """

    store: Store
    ledger: Messages
    events: EventLog
    sinks: Collection[str]
    now: Callable[[], datetime]
    holds: LegalHolds

    def erase(
        self, stored: StoredMessage, mailbox: str, failed: FailedMessage | None, reason: Reason = REQUEST
    ) -> PurgeReport:
        """Erase one message: write the tombstone, then remove its failed record and dead letters, then its content.

        A message that is held or locked stays as it is, and is counted as such.

        Args:
            stored: the message.
            mailbox: the id of its mailbox, for the tombstone.
            failed: its record, if the message failed.
            reason: why, for the tombstone.

        Raises:
            NotPurgedError: it is still being processed.
            StoreError, LedgerError: erasing it again continues from there.
        """
        if self.ledger.open_messages([stored.key])[0] is not None:
            raise still_open(1)
        if (blocked := self.blocked(stored, mailbox)) is not None:
            return blocked
        before = self.tombstone(stored)
        if before is None:
            self._write_tombstone(stored, mailbox, reason)
        kept = [f"{stored.folder}/{keys.MANIFEST}", *self._write_empty(stored)]
        done = self._drop_records(stored, failed)
        erased = self.store.erase(stored.folder, kept)
        if not is_tombstone(self.store, kept[0]):
            # A process that had lost its claim wrote the manifest meanwhile, and perhaps parts of the message.
            self._write_tombstone(stored, mailbox, reason)
            erased += self.store.erase(stored.folder, kept)
        until = self.store.restorable_until(stored.folder)
        done.restorable_until = None if until is None else datetime.fromtimestamp(until, UTC)
        if before is not None:
            done.purged_before, done.left_over = 1, erased
            return done
        done.messages, done.objects, done.size = 1, len(stored.objects), stored.size
        log.info("message.purged", mailbox=mailbox, message=stored.key, result=reason.kind, rule=reason.rule)
        return done

    def erase_raw(self, stored: StoredMessage, mailbox: str, record: RawErased) -> PurgeReport:
        """Erase the raw mail of one message, and leave the record of that, and an empty object in place of the mail.

        The record is written first: it has the time from which retention counts, which the empty object has not. If
        it is there already, it stays.

        Args:
            stored: the message.
            mailbox: the id of its mailbox.
            record: what to write.

        Raises:
            NotPurgedError: it is still being processed.
            StoreError, LedgerError: erasing it again continues from there.
        """
        raw = f"{stored.folder}/{keys.RAW}"
        if self.ledger.open_messages([stored.key])[0] is not None:
            raise still_open(1)
        if (blocked := self.blocked(stored, mailbox, only=raw)) is not None:
            return blocked
        key = f"{stored.folder}/{keys.RAW_ERASED}"
        with suppress(ObjectExistsError):
            self._put(key, record.to_json(), "application/json", only_if_absent=True)
        kept = read_raw_erased(self.store, stored.folder)
        if kept is None:
            raise StoreRefusedError("the store acknowledged a record of erased mail, and does not return it")
        self._put(raw, b"", _MAIL)
        self.store.erase_versions(raw)
        left = self.store.stat(raw)
        if left is None or left.size:
            raise StoreRefusedError("the store acknowledged that raw mail is empty now, and still returns it")
        self._put(key, kept.model_copy(update={"complete": True}).to_json(), "application/json")
        until = self.store.restorable_until(stored.folder)
        log.info("message.raw_erased", mailbox=mailbox, message=stored.key, rule=record.rule)
        return PurgeReport(
            raw=1, size=record.size, restorable_until=None if until is None else datetime.fromtimestamp(until, UTC)
        )

    def blocked(
        self, stored: StoredMessage, mailbox: str, names: HeldNames | None = None, only: str | None = None
    ) -> PurgeReport | None:
        """Return a report that counts the message as held or locked; None if nothing forbids to erase it now.

        Args:
            stored: the message.
            mailbox: the id of its mailbox.
            names: what is held, if it was just looked up.
            only: the key of the only object that is to be erased.

        Raises:
            StoreError: the store is unavailable, or does not say what is locked.
        """
        if self.holds.is_held(stored, mailbox, names):
            return PurgeReport(held=1)
        found = [one for one in self.store.protected(stored.folder) if only is None or one.key == only]
        if not found:
            return None
        ends = [one.until for one in found if one.until is not None]
        if len(ends) < len(found):
            return PurgeReport(held=1)
        return PurgeReport(locked=1, locked_until=datetime.fromtimestamp(max(ends), UTC))

    def _drop_records(self, stored: StoredMessage, failed: FailedMessage | None) -> PurgeReport:
        """Drop what the ledger keeps of a message because it or its events failed."""
        dropped = failed is not None and self.ledger.drop_failed(failed)
        events = event_ids([stored.key], stored.updates)
        rejected = sum(self.events.drop_rejected(sink, events) for sink in self.sinks)
        return PurgeReport(failed=int(dropped), rejected_events=rejected)

    def _write_tombstone(self, stored: StoredMessage, mailbox: str, reason: Reason) -> None:
        tombstone = Tombstone(
            message_key=stored.key,
            mailbox=mailbox,
            purged_at=self.now(),
            objects=len(stored.objects),
            size=stored.size,
            updates=stored.updates,
            reason=reason.kind,
            rule=reason.rule,
        )
        self._put(f"{stored.folder}/{keys.MANIFEST}", tombstone.to_json(), "application/json")

    def _write_empty(self, stored: StoredMessage) -> list[str]:
        """Replace the raw mail by an empty object; returns its key, or keys."""
        sources = [stored.key for stored in stored.sources] or [f"{stored.folder}/{keys.RAW}"]
        empty = {stored.key for stored in stored.sources if stored.size == 0}
        for key in sources:
            if key not in empty:
                self._put(key, b"", _MAIL)
        return sources

    def _put(self, key: str, body: bytes, content_type: str, *, only_if_absent: bool = False) -> None:
        self.store.put(
            key,
            io.BytesIO(body),
            size=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            content_type=content_type,
            only_if_absent=only_if_absent,
            compare=False,
        )

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
