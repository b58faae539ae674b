"""Hand raw mail from the poller to the processor in memory, where both are in one process.

Only a copy is handed over, of mail that is durable in the store already. What is not here is read from the store.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ingest.usecases.spool import MEMORY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.domain.manifest import ObjectRef
    from ingest.usecases.spool import Spool


class HandOver:
    """Raw mail in memory that is still to be processed; nothing is kept unless it is `open`. Threads may share it."""

    def __init__(self) -> None:
        self._most_bytes = 0
        self._lock = threading.Lock()
        self._kept: dict[str, bytes] = {}
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
        """Keep a copy of a raw object that was stored, unless it is large or there is no room.

        Raises:
            SpoolError: the spool cannot be read.
        """
        if not self._has_room(spool.size):
            return
        content = spool.reader().read()
        with self._lock:
            before = len(self._kept.get(source.key, b""))
            if self._size - before + len(content) <= self._most_bytes:  # others may have filled it meanwhile
                self._size += len(content) - before
                self._kept[source.key] = content

    def take(self, source: ObjectRef) -> bytes | None:
        """Return the bytes of a raw object and forget them; None unless they are here and have its size and hash."""
        with self._lock:
            content = self._kept.pop(source.key, None)
            self._size -= len(content or b"")
        if content is None or (len(content), hashlib.sha256(content).hexdigest()) != (source.size, source.sha256):
            return None
        return content

    def _has_room(self, size: int) -> bool:
        with self._lock:
            return size <= min(MEMORY_BYTES, self._most_bytes - self._size)
