"""Remove what was written of a message that was purged while it was being processed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.domain import keys
from ingest.domain.tombstone import Tombstone
from ingest.usecases.process.processor import put_json
from ingest.usecases.tombstones import is_tombstone, read_raw_erased

if TYPE_CHECKING:
    from datetime import datetime

    from ingest.domain.message import OpenMessage
    from ingest.ports.store import Store
    from ingest.usecases.process.duplicates import Duplicates


@dataclass(frozen=True, slots=True)
class Retraction:
    """Removes messages from the store and from the records of duplicates, if there are any."""

    store: Store
    duplicates: Duplicates | None = None

    def retract(self, message: OpenMessage, now: datetime, *, written: bool) -> bool:
        """Remove what was written of a message that was purged while this process held a lost claim on it.

        A purge leaves a tombstone in place of the manifest, and an empty object in place of the raw mail. If the
        manifest was written over the tombstone, the tombstone is written again. An empty object alone does not prove
        a purge: the store may have lost the content, or retention may have erased the raw mail alone.

        Args:
            message: what was processed.
            now: the wall clock.
            written: whether this process has verified the raw mail and then written the manifest.

        Returns:
            Whether the message was purged.

        Raises:
            StoreError: the store is unavailable.
            LedgerUnavailableError: the ledger is unavailable.
        """
        manifest = f"{message.folder}/{keys.MANIFEST}"
        if not is_tombstone(self.store, manifest):
            raw = self.store.stat(message.source.key) if written else None
            if raw is None or raw.size or not message.source.size:
                return False
            if read_raw_erased(self.store, message.folder) is not None:
                return False
            tombstone = Tombstone(
                message_key=message.key,
                mailbox=message.mailbox,
                purged_at=now,
                objects=0,
                size=0,
                updates=message.update or 0,
            )
            put_json(self.store, manifest, tombstone.to_json())
        self.store.erase(message.folder, [manifest, message.source.key])
        if self.duplicates is not None:
            self.duplicates.forget(message.key)
        return True
