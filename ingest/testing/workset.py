"""The in-memory twin of `RedisWorkSet`."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.ports.claims import Backlog, Claim, Standing, WorkSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(slots=True)
class _Item:
    """`at` is the due time, or the deadline of a claim if there is a fence; in milliseconds, as in Redis."""

    at: int
    fence: int | None = None
    tries: int = 0


class MemoryWorkSet(WorkSet):
    """A `WorkSet` for one process.

    Args:
        clock: returns seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._items: dict[str, _Item] = {}
        self._fence = 0
        self.latest = 0.0  # the latest time at which an item was claimed, renewed or released

    @override
    def add(self, ids: Iterable[str]) -> int:
        with self._lock:
            new = set(ids) - self._items.keys()
            self._items.update((item, _Item(self._now())) for item in new)
            return len(new)

    def add_later(self, item: str, delay: float) -> None:
        """Add an item, due after `delay` seconds; an item that is known already stays as it is."""
        with self._lock:
            self._items.setdefault(item, _Item(self._after(delay)))

    @override
    def run_now(self, item: str) -> bool:
        with self._lock:
            found, now = self._items.get(item), self._now()
            if found is None or (found.fence is not None and found.at > now):
                return False
            found.at = min(found.at, now)
            return True

    @override
    def due_in(self, item: str) -> float | None:
        with self._lock:
            found = self._items.get(item)
            if found is None or found.fence is not None:
                return None
            return max(0.0, (found.at - self._now()) / 1000)

    @override
    def drop(self, ids: Iterable[str]) -> None:
        with self._lock:
            for item in ids:
                self._items.pop(item, None)

    @override
    def members(self) -> set[str]:
        with self._lock:
            return set(self._items)

    @override
    def standing(self) -> dict[str, Standing]:
        with self._lock:
            now = self._now()
            return {
                name: Standing(0.0, claimed=item.at > now)
                if item.fence is not None
                else Standing(max(0.0, (item.at - now) / 1000))
                for name, item in self._items.items()
            }

    @override
    def claim(self, limit: int, lease: float) -> list[Claim]:
        with self._lock:
            now = self._now()
            due = sorted((item.at, name) for name, item in self._items.items() if item.at <= now)
            for _, name in due:
                self._items[name].fence = None
            return [self._claim(name, now, lease) for _, name in due[:limit]]

    @override
    def claim_one(self, item: str, lease: float) -> Claim | None:
        with self._lock:
            now = self._now()
            found = self._items.setdefault(item, _Item(now))
            if found.fence is not None and found.at > now:
                return None
            return self._claim(item, now, lease)

    @override
    def begin_attempt(self, claim: Claim) -> bool:
        with self._lock:
            if not self.holds(claim):
                return False
            self._items[claim.id].tries = claim.tries
            return True

    @override
    def renew(self, claim: Claim, lease: float) -> bool:
        with self._lock:
            if not self.holds(claim):
                return False
            self._items[claim.id].at = self._after(lease)
            return True

    @override
    def release(self, claim: Claim, delay: float, tries: int = 0) -> bool:
        with self._lock:
            if not self.holds(claim):
                return False
            self._items[claim.id] = _Item(self._after(delay), tries=max(0, tries))
            return True

    @override
    def backlog(self) -> Backlog:
        with self._lock:
            now = self._now()
            items = self._items.values()
            late = [now - item.at for item in items if item.at <= now]
            claimed = sum(item.at > now and item.fence is not None for item in items)
            return Backlog(len(late), claimed, len(items) - len(late) - claimed, max(late, default=0) / 1000)

    def holds(self, claim: Claim) -> bool:
        """Whether this is the last claim on its item, expired or not."""
        with self._lock:
            item = self._items.get(claim.id)
            return item is not None and item.fence == claim.fence

    def lives(self, claim: Claim) -> bool:
        """Whether this is the last claim on its item, and has not expired."""
        with self._lock:
            return self.holds(claim) and self._items[claim.id].at > self._now()

    def move_back(self, seconds: float) -> None:
        """Move all future times back, after the clock was set back by this many seconds."""
        with self._lock:
            now = self._now()
            for item in self._items.values():
                if item.at > now:
                    item.at = max(now, item.at - round(seconds * 1000))

    def snapshot(self) -> Callable[[], None]:
        """Remember everything; the function returned brings it back."""
        with self._lock:
            items, fence = {name: replace(item) for name, item in self._items.items()}, self._fence
            latest = self.latest

        def restore() -> None:
            with self._lock:
                self._items, self._fence = {name: replace(item) for name, item in items.items()}, fence
                self.latest = latest

        return restore

    def clear(self) -> None:
        """Lose everything, the last fence too."""
        with self._lock:
            self._items.clear()
            self._fence = 0
            self.latest = 0.0

    def _claim(self, name: str, now: int, lease: float) -> Claim:
        item = self._items[name]
        self._fence = max(self._fence + 1, int(self._clock() * 1_000_000))
        claim = Claim(name, self._fence, item.tries + 1, (now - item.at) / 1000)
        self._items[name] = _Item(self._after(lease), claim.fence, item.tries)
        return claim

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _after(self, seconds: float) -> int:
        self.latest = max(self.latest, self._clock())
        return self._now() + max(0, round(seconds * 1000))
