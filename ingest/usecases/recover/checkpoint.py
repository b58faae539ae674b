"""Checkpoints: each mailbox's processed unique-ids, kept in the store, so that a lost ledger refetches little."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.domain.seen import dump_checkpoint, load_checkpoint
from ingest.errors import ObjectMissingError, StoreError

if TYPE_CHECKING:
    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.seen import SeenRecord
    from ingest.ports.claims import Claim
    from ingest.ports.seen import SeenMessages
    from ingest.ports.store import Store

log = get_logger()

_NAME = "seen"


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Writes and reads the checkpoints of mailboxes."""

    store: Store
    layout: Layout
    ledger: SeenMessages

    def restore(self, mailbox: Mailbox, claim: Claim, incarnation: bytes) -> dict[bytes, SeenRecord]:
        """Restore the seen set of a mailbox from its checkpoint; returns its records.

        Messages that are not in the checkpoint are fetched again and recognised by their content. `incarnation` is
        that of the ledger when the rebuild began.

        Raises:
            StoreError: the checkpoint cannot be read now.
            LedgerError: the ledger is unavailable, or the claim is lost.
        """
        done = self._read(mailbox)
        self.ledger.restore_seen(claim, done, incarnation)
        if done:
            log.warning("seen.restored", mailbox=mailbox.id, listed=len(done))
        return done

    def write(self, mailbox: Mailbox) -> None:
        """Write which messages are done; if the store does not take it, the next poll tries again.

        Raises:
            LedgerUnavailableError: the ledger is unavailable.
        """
        seen = self.ledger.seen(mailbox.id)
        unprocessed = self.ledger.unprocessed(mailbox.id)
        done = {digest: record for digest, record in seen.records.items() if digest not in unprocessed}
        body = dump_checkpoint(done)
        try:
            self.store.put(
                self._key(mailbox),
                io.BytesIO(body),
                size=len(body),
                sha256=hashlib.sha256(body).hexdigest(),
                content_type="application/octet-stream",
            )
        except StoreError as error:
            log.warning("checkpoint.not_written", mailbox=mailbox.id, error=error.code)
        else:
            self.ledger.record_checkpoint(mailbox.id, seen.changes)

    def _read(self, mailbox: Mailbox) -> dict[bytes, SeenRecord]:
        try:
            with self.store.open(self._key(mailbox)) as body:
                return load_checkpoint(body.read())
        except ObjectMissingError:
            return {}
        except ValueError:
            log.warning("checkpoint.unreadable", mailbox=mailbox.id)
            return {}

    def _key(self, mailbox: Mailbox) -> str:
        return self.layout.state(mailbox.folder, _NAME)
