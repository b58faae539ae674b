"""Store a spooled message as a raw object, and make the registration that the ledger keeps of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ingest.domain import keys
from ingest.domain.message import OpenMessage
from ingest.domain.seen import StoredAt
from ingest.errors import ObjectExistsError, StoreCorruptError
from ingest.mime import received_at
from ingest.ports.seen import Registration
from ingest.usecases.handover import HandOver
from ingest.usecases.recover.republish import events_from_manifest
from ingest.usecases.spool import Spool
from ingest.usecases.tombstones import is_tombstone, read_raw_erased

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ingest.domain.events import Event
    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.record import ObjectRef
    from ingest.ports.store import Store, Stored
    from ingest.usecases.poll.identity import IdentifiedRow

_PRINTABLE = bytes(range(0x21, 0x7F))


@dataclass(frozen=True, slots=True)
class Archive:
    """Writes raw messages. Keys follow from content, so storing a message again writes the same keys.

    Attributes:
        store_id: returns the id that the store carries; it is called for every message.
        watermark: returns the delivery watermark (seconds since 1970): the events of older manifests are confirmed.
        handover: gets a copy of what was stored just now and is to be processed.
    """

    store: Store
    layout: Layout
    store_id: Callable[[], bytes]
    watermark: Callable[[], float]
    handover: HandOver = field(default_factory=HandOver)

    def whole(
        self, mailbox: Mailbox, row: IdentifiedRow, spool: Spool, first_seen: datetime, *, may_be_cut: bool = False
    ) -> Registration:
        """Store a complete message and close its spool.

        Args:
            mailbox: where the message was fetched.
            row: its row of the listing.
            spool: all its bytes, with the message key's hash as `identity`.
            first_seen: when the listing showed it.
            may_be_cut: whether it may be incomplete; such a message is never deleted on the server.

        Returns:
            What to register; without a message if the same bytes were processed before.

        Raises:
            StoreError: the message is not stored.
        """
        try:
            registration = self._store(mailbox, row, spool, first_seen, keys.RAW)
        finally:
            spool.close()
        return _unproven(registration) if may_be_cut else registration

    def oversize(self, mailbox: Mailbox, row: IdentifiedRow, header: bytes, first_seen: datetime) -> Registration:
        """Store the header of a message that is too large to fetch; arguments and errors as for `whole`.

        A server without TOP gives no header: then the unique-id is the identity, or, without UIDL, the size.
        """
        spool = new_spool(mailbox)
        try:
            spool.write(header)
            if not header and spool.identity is not None:
                spool.identity.update(row.listed.unique_id or b"%d" % (row.listed.size or 0))
            return self._store(mailbox, row, spool, first_seen, keys.TOP)
        finally:
            spool.close()

    def _store(
        self, mailbox: Mailbox, row: IdentifiedRow, spool: Spool, first_seen: datetime, name: str
    ) -> Registration:
        key = spool.key
        received = received_at(spool.head())
        day = received.date() if received else None
        folder = self.layout.folder(mailbox.folder, day, key)
        whole = name == keys.RAW
        digest = row.digest or bytes.fromhex(key)
        stored_at = StoredAt(key, day, spool.size) if whole else None
        before = Registration(digest, None, stored=whole, stored_at=stored_at)  # of one that was processed before
        try:
            source = self._put_raw(f"{folder}/{name}", spool)
        except StoreCorruptError:
            # What was erased on purpose leaves an empty object in place of raw mail; any other difference is damage.
            if is_tombstone(self.store, f"{folder}/{keys.MANIFEST}"):
                return before
            manifest = self._manifest(folder) if read_raw_erased(self.store, folder) is not None else None
            if manifest is None:
                raise
            return self._processed(before, manifest)
        if source is None:
            manifest = self._manifest(folder)
            if manifest is not None:
                return self._processed(before, manifest)
            source = self.store.stat(f"{folder}/{name}")
            if source is None:  # deleted between two calls, which only a person does
                return self._store(mailbox, row, spool, first_seen, name)
        elif whole:  # one that was there before is read, since its bytes may be others by now
            self.handover.keep(source, spool)
        message = OpenMessage(
            key=key,
            mailbox=mailbox.id,
            unique_id=printable(row.listed.unique_id or b""),
            folder=folder,
            kind="whole" if whole else "oversize",
            source=source,
            listed_size=row.listed.size,
            first_seen=first_seen,
            received_at=received,
            labels=dict(mailbox.labels),
            store_id=self.store_id().hex(),
        )
        return Registration(digest, message, stored=whole, stored_at=stored_at)

    def _manifest(self, folder: str) -> Stored | None:
        return next(iter(self.store.stored(f"{folder}/{keys.MANIFEST}")), None)

    def _processed(self, registration: Registration, manifest: Stored) -> Registration:
        return replace(registration, events=self._unpublished(manifest), processed_at=manifest.modified)

    def _unpublished(self, manifest: Stored) -> list[Event]:
        """Return the events of a message that was processed before, unless they are known to be published.

        A registered message is not fetched again. So this one was sent twice, or the ledger has lost its
        registration, and may then have lost the event too.
        """
        return events_from_manifest(self.store, manifest) if manifest.modified >= self.watermark() else []

    def _put_raw(self, key: str, spool: Spool) -> ObjectRef | None:
        """Return the stored object, or None if the key was there before."""
        try:
            return self.store.put(
                key,
                spool.reader(),
                size=spool.size,
                sha256=spool.sha256,
                content_type="message/rfc822",
                only_if_absent=True,
            )
        except ObjectExistsError:
            return None


def _unproven(registration: Registration) -> Registration:
    """Return the registration of a message that may be cut: nothing in the store proves that it is complete."""
    message = registration.message
    if message is not None:
        message = message.model_copy(update={"may_be_cut": True})
    return replace(registration, message=message, stored_at=None)


def new_spool(mailbox: Mailbox, progress: Callable[[], None] | None = None) -> Spool:
    """Return an empty spool that also computes the message key; `progress` is called when bytes move."""
    return Spool(keys.message_hasher(mailbox.id), progress)


def printable(unique_id: bytes) -> str:
    r"""Return a unique-id as text; bytes outside 0x21 to 0x7E (which RFC 1939 does not allow) become `\xNN`."""
    if not unique_id.translate(None, _PRINTABLE):
        return unique_id.decode("ascii")
    return "".join(chr(byte) if byte in _PRINTABLE else f"\\x{byte:02x}" for byte in unique_id)
