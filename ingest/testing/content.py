"""The in-memory twin of `RedisContent`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.errors import StaleClaimError
from ingest.ports.content import GENERATIONS, QUARANTINE_RECORDS, QUARANTINE_SECONDS, ContentLimits, ContentRecords

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Sequence

    from ingest.ports.claims import Renewal
    from ingest.testing.workset import MemoryWorkSet


class MemoryContent(ContentRecords):
    """`ContentRecords` for one process."""

    _clock: Callable[[], float]
    _lock: threading.RLock
    _messages: MemoryWorkSet

    def _forget_content(self) -> None:
        """Lose everything."""
        # By generation: until when it is kept, and the first message of each digest.
        self._content: dict[int, dict[bytes, str]] = {}
        self._content_until: dict[int, float] = {}
        self._generation, self._generation_since = 0, 0.0
        self._content_restored: set[str] = set()
        self._quarantined: dict[str, float] = {}

    @override
    def first_messages(
        self, found: Sequence[tuple[bytes, str]], limits: ContentLimits, renewal: Renewal | None = None
    ) -> list[str]:
        with self._lock:
            if renewal is not None and not self._messages.renew(renewal.claim, renewal.lease):
                raise StaleClaimError("the claim is stale; nothing was changed")
            now = self._clock()
            for number in [number for number, until in self._content_until.items() if until <= now]:
                del self._content[number], self._content_until[number]
            full = len(self._content.get(self._generation, ())) >= limits.per_generation
            if full or now - self._generation_since >= limits.span:
                self._generation, self._generation_since = (self._generation + 1) % GENERATIONS, now
                self._content.pop(self._generation, None)
                self._content_until.pop(self._generation, None)
            return [self._first(digest, key, now + limits.window + limits.span) for digest, key in found]

    def _first(self, digest: bytes, key: str, until: float) -> str:
        for generation in self._content.values():
            if digest in generation:
                return generation[digest]
        self._content.setdefault(self._generation, {})[digest] = key
        self._content_until.setdefault(self._generation, until)
        return key

    @override
    def forget_messages(self, keys: Collection[str]) -> int:
        with self._lock:
            removed = 0
            for generation in self._content.values():
                for digest in [digest for digest, first in generation.items() if first in keys]:
                    del generation[digest]
                    removed += 1
            self.release_quarantined(keys)
            return removed

    @override
    def is_content_restored(self, mailbox: str) -> bool:
        with self._lock:
            return mailbox in self._content_restored

    @override
    def mark_content_restored(self, mailbox: str) -> None:
        with self._lock:
            self._content_restored.add(mailbox)

    @override
    def record_quarantined(self, key: str) -> None:
        with self._lock:
            now = self._clock()
            self._quarantined.setdefault(key, now)
            kept = sorted(self._quarantined.items(), key=lambda each: each[1])[-QUARANTINE_RECORDS:]
            self._quarantined = {each: at for each, at in kept if at > now - QUARANTINE_SECONDS}

    @override
    def release_quarantined(self, keys: Collection[str]) -> None:
        with self._lock:
            for key in keys:
                self._quarantined.pop(key, None)
