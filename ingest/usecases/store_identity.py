"""The id that a store carries: which store this is, whatever address it has."""

from __future__ import annotations

import hashlib
import io
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.errors import ObjectExistsError, ObjectMissingError, StoreRefusedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.domain.keys import Layout
    from ingest.ports.store import Store

# Seconds between two reads of the store's identity. Deletions do not rely on it: they ask for the objects themselves.
IDENTITY_SECONDS = 60.0
_ID_BYTES = 16


@dataclass(slots=True)
class StoreIdentity:
    """The id that a store carries, so that what was seen with one store says nothing about another.

    The id is part of every `listing_digest`: with another store, or with this one after it was emptied, every message
    on the servers is new. It is fetched and stored again, and nothing is deleted on the word of the other store.
    Open messages carry it too, as a process that has the other store may still finish them.

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

    def last(self) -> bytes:
        """Return the id that was read last: in a poll, the one of its digests. It is read now if it never was.

        Raises:
            StoreError: as for `read`.
        """
        return self._id or self.read()

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
