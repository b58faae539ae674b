"""Proof before deletion: which store this is, and whether it holds a message now.

A message is deleted on its server only if the store shows, at that moment, a raw object of the size that was stored
and a manifest. What the ledger remembers is no proof: the store may have been swapped, emptied by a lifecycle rule,
or may have answered 200 without storing anything.
"""

from __future__ import annotations

import hashlib
import io
import re
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.domain import keys
from ingest.domain.tombstone import MOST_BYTES
from ingest.errors import ObjectExistsError, ObjectMissingError, StoreRefusedError, StoreUnavailableError
from ingest.usecases.poll.identity import Header
from ingest.usecases.spool import HEAD_BYTES
from ingest.usecases.tombstones import read_tombstone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.seen import StoredAt
    from ingest.ports.store import Store

# Seconds between two reads of the store's identity. Deletions do not rely on it: they ask for the objects themselves.
IDENTITY_SECONDS = 60.0
_ID_BYTES = 16
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

        A purged message counts as held: a person erased it, and its tombstone proves that.
        """
        folder = self.layout.folder(mailbox.folder, stored_at.day, stored_at.key)
        manifest = self.store.stat(f"{folder}/{keys.MANIFEST}")
        if manifest is None or not manifest.size:
            return False
        raw = self.store.stat(f"{folder}/{keys.RAW}")
        if raw is not None and raw.size == stored_at.size and raw.size > 0:
            return True
        if manifest.size > MOST_BYTES:
            return False
        tombstone = read_tombstone(self.store, manifest.key)
        return tombstone is not None and tombstone.message_key == stored_at.key


@dataclass(slots=True)
class StoreIdentity:
    """The id that a store carries, so that what was seen with one store says nothing about another.

    The id is part of every `listing_digest`: with another store, or with this one after it was emptied, every message
    on the servers is new. It is fetched and stored again, and nothing is deleted on the word of the other store.

    Attributes:
        monotonic: seconds, for the time between two reads.
    """

    store: Store
    layout: Layout
    monotonic: Callable[[], float]
    _read_at: float = field(default=0.0, init=False)
    _id: bytes = field(default=b"", init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def read(self) -> bytes:
        """Return the store's id, 16 bytes; a store without one gets it now.

        While the store is unavailable, the id that was read last counts.

        Raises:
            StoreError: the store is unavailable and was never read, or what lies under the key is no id.
        """
        with self._lock:
            now = self.monotonic()
            if not self._id or now - self._read_at >= IDENTITY_SECONDS:
                try:
                    self._id = self._load() or self._create()
                except StoreUnavailableError:
                    if not self._id:
                        raise
                self._read_at = now
            return self._id

    def peek(self) -> bytes:
        """Return the store's id, empty if it has none yet; nothing is written.

        Raises:
            StoreError: the store is unavailable, or what lies under the key is no id.
        """
        return self._load() or b""

    def _load(self) -> bytes | None:
        try:
            with self.store.open(self.layout.store_id()) as body:
                text = body.read(2 * _ID_BYTES + 1)
        except ObjectMissingError:
            return None
        try:
            found = bytes.fromhex(text.decode("ascii"))
        except ValueError:
            found = b""
        if len(found) != _ID_BYTES:
            raise StoreRefusedError(
                f"the object {self.layout.store_id()} is not a store id; if nothing but Mailhaul answers at this "
                "address, delete it: all mail that is still on the servers is then fetched and compared once more"
            )
        return found

    def _create(self) -> bytes:
        """Write an id; if another process does so at the same time, both read back the one that was stored."""
        text = secrets.token_hex(_ID_BYTES).encode()
        with suppress(ObjectExistsError):
            self.store.put(
                self.layout.store_id(),
                io.BytesIO(text),
                size=len(text),
                sha256=hashlib.sha256(text).hexdigest(),
                content_type="text/plain",
                only_if_absent=True,
                compare=False,
            )
        stored = self._load()
        if stored is None:
            raise StoreRefusedError("the store acknowledged the object of its id, and does not return it")
        return stored
