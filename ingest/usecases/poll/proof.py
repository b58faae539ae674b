"""Proof before deletion: whether the store holds a message now.

A message is deleted on its server only if the store shows, at that moment, a raw object of the size that was stored
and a manifest. What the ledger remembers is no proof: the store may have been swapped, emptied by a lifecycle rule,
or may have answered 200 without storing anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.domain import keys
from ingest.domain.tombstone import MOST_BYTES
from ingest.errors import ObjectMissingError
from ingest.usecases.poll.identity import Header
from ingest.usecases.spool import HEAD_BYTES
from ingest.usecases.tombstones import read_raw_erased, read_tombstone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.seen import StoredAt
    from ingest.ports.store import Store

_BLANK_LINE = b"\r\n\r\n"
_MESSAGE_ID = re.compile(rb"^message-id[ \t]*:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StoreProof:
    """Asks the store for a message's objects. May be used by several threads at once."""

    store: Store
    layout: Layout
    threads: Executor

    def held(self, mailbox: Mailbox, messages: Sequence[StoredAt]) -> list[bool]:
        """Return for each message whether the store holds it.

        Raises:
            StoreError: the store is unavailable, so nothing is proven.
        """
        return list(self.threads.map(lambda stored_at: self._holds(mailbox, stored_at), messages))

    def has_header(self, mailbox: Mailbox, stored_at: StoredAt, header: bytes) -> bool:
        """Return whether a stored message begins with this header, as TOP returned it.

        A header without Message-ID proves nothing: those of two messages may be equal.

        Raises:
            StoreError: the store is unavailable.
        """
        header = header.rstrip(b"\r\n")
        if not _MESSAGE_ID.search(header):
            return False
        folder = self.layout.folder(mailbox.folder, stored_at.day, stored_at.key)
        try:
            with self.store.open(f"{folder}/{keys.RAW}") as body:
                raw = body.read(len(header) + len(_BLANK_LINE))
        except ObjectMissingError:
            return False
        return raw.startswith(header) and raw[len(header) :].strip(b"\r\n") == b""

    def contradicts(self, mailbox: Mailbox, stored_at: StoredAt, header: bytes) -> bool:
        """Return whether a stored message is certainly not the one with this header, as TOP returned it.

        Raises:
            StoreError: the store is unavailable.
        """
        if not header:  # the server has no TOP
            return False
        folder = self.layout.folder(mailbox.folder, stored_at.day, stored_at.key)
        try:
            with self.store.open(f"{folder}/{keys.RAW}") as body:
                head = body.read(HEAD_BYTES)
        except ObjectMissingError:
            return False  # it was purged
        return bool(head) and Header.of(header).contradicts(head)

    def _holds(self, mailbox: Mailbox, stored_at: StoredAt) -> bool:
        """Return whether the store holds a message: its raw object with the stored size, and its manifest.

        What was erased on purpose counts as held: a tombstone proves it, or the record of erased raw mail beside the
        manifest.
        """
        folder = self.layout.folder(mailbox.folder, stored_at.day, stored_at.key)
        manifest = self.store.stat(f"{folder}/{keys.MANIFEST}")
        if manifest is None or not manifest.size:
            return False
        raw = self.store.stat(f"{folder}/{keys.RAW}")
        if raw is not None and raw.size == stored_at.size and raw.size > 0:
            return True
        if raw is not None and not raw.size and (erased := read_raw_erased(self.store, folder)) is not None:
            return (erased.message_key, erased.size) == (stored_at.key, stored_at.size)
        if manifest.size > MOST_BYTES:
            return False
        tombstone = read_tombstone(self.store, manifest.key)
        return tombstone is not None and tombstone.message_key == stored_at.key
