"""Hand raw mail from the poller to the processor in memory, where both are in one process.

Only mail that is durable in the store is handed over. What is not here is read from the store.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ingest.usecases.spool import MEMORY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.domain.record import ObjectRef
    from ingest.usecases.spool import Spool

_NOTHING = "", b""


class HandOver:
    """Raw mail in memory that is still to be processed; nothing is kept unless it is `open`. Threads may share it."""

    def __init__(self) -> None:
        self._most_bytes = 0
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[str, bytes]] = {}  # SHA-256 and bytes, by the key
        self._size = 0

    @contextmanager
    def open(self, most_bytes: int) -> Iterator[None]:
        """Keep up to so many bytes during the `with` block, and forget them at its end."""
        self._most_bytes = most_bytes
        try:
            yield
        finally:
            with self._lock:
                self._most_bytes = self._size = 0
                self._kept.clear()

    def keep(self, source: ObjectRef, spool: Spool) -> None:
        """Keep the bytes of a raw object that was stored, unless it is large or there is no room.

        Raises:
            SpoolError: the spool cannot be read.
        """
        if spool.size > MEMORY_BYTES or spool.size > self._most_bytes:
            return
        kept = spool.sha256, spool.head(spool.size)
        with self._lock:
            _, before = self._kept.get(source.key, _NOTHING)
            size = self._size - len(before) + spool.size
            if size <= self._most_bytes:
                self._size = size
                self._kept[source.key] = kept

    def take(self, source: ObjectRef) -> bytes | None:
        """Return the bytes of a raw object and forget them; None unless they are here and have its size and hash.

        The hash is the one that the spool made of these bytes, which cannot have changed since.
        """
        with self._lock:
            sha256, content = self._kept.pop(source.key, _NOTHING)
            self._size -= len(content)
        return content if (sha256, len(content)) == (source.sha256, source.size) else None
