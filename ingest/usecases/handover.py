"""Hand raw mail from the poller to the processor in memory, where both are in one process.

Only mail that is durable in the store is handed over. What is not here is read from the store.
The poller is faster than the processor: when little room is left it pauses, and the processor begins. It pauses for a
short time only, and not again until a message was taken, so that no message on which a processor hangs holds it up.
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
# Seconds for which a poller pauses at most; two processors take several messages in it.
PAUSE = 0.5


class HandOver:
    """Raw mail in memory that is still to be processed; nothing is kept unless it is `open`. Threads may share it."""

    def __init__(self) -> None:
        self._most_bytes = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._kept: dict[str, tuple[str, bytes]] = {}  # SHA-256 and bytes, by the key
        self._size = 0
        self._is_taken_from = True  # since the last pause that was in vain
        self._pauses = 0
        self.is_fetched = False  # all that will be handed over

    def should_pause(self) -> bool:
        """Whether a poller should pause before it fetches more."""
        return self._is_taken_from and self._is_nearly_full()

    @contextmanager
    def open(self, most_bytes: int) -> Iterator[None]:
        """Keep up to so many bytes during the `with` block, and forget them at its end."""
        self._most_bytes, self._is_taken_from, self.is_fetched = most_bytes, True, False
        try:
            yield
        finally:
            with self._lock:
                self._most_bytes = self._size = 0
                self._kept.clear()
            self.end()

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
            if content:
                self._size -= len(content)
                self._is_taken_from = True
                if self._is_nearly_empty():
                    self._changed.notify_all()
        return content if (sha256, len(content)) == (source.sha256, source.size) else None

    def pause(self) -> None:
        """Wait until most of it was taken, for `PAUSE` seconds at most; not if nothing was since that was in vain."""
        with self._lock:
            self._pauses += 1
            self._changed.notify_all()
            if self._is_taken_from and not self._changed.wait_for(self._is_nearly_empty, PAUSE):
                self._is_taken_from = False

    def pauses(self) -> Iterator[None]:
        """Yield when a poller has paused since the last time, for who processes then; end when all is fetched."""
        seen = 0
        while True:
            with self._lock:
                while not self.is_fetched and self._pauses == seen:
                    self._changed.wait()
                if self.is_fetched:
                    return
                seen = self._pauses
            yield

    def end(self) -> None:
        """Note that all is fetched."""
        with self._lock:
            self.is_fetched = True
            self._changed.notify_all()

    def _is_nearly_full(self) -> bool:
        return self._size > self._most_bytes // 4 * 3

    def _is_nearly_empty(self) -> bool:
        return self._size <= self._most_bytes // 8
