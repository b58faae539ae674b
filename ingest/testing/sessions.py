"""The in-memory twin of the sessions of browsers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.ports.sessions import LOGOUTS_KEPT, SESSIONS_KEPT, SESSIONS_OF_ONE, Sessions

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Sequence


@dataclass
class _Kept:
    """A session, with when it ends in any case, and without use."""

    session: str
    limit: float
    ends: float
    names: tuple[str, ...]


class MemorySessions(Sessions):
    """`Sessions` for one process."""

    _lock: threading.RLock
    _clock: Callable[[], float]

    def _forget_sessions(self) -> None:
        """Lose everything."""
        self._sessions: dict[str, _Kept] = {}
        self._logouts: dict[str, float] = {}
        self._console_key = ""

    @override
    def put_session(self, digest: str, session: str, seconds: float, idle: float, names: Sequence[str]) -> None:
        with self._lock:
            now = self._clock()
            limit = now + seconds
            self._sessions[digest] = _Kept(session, limit, min(limit, now + idle), tuple(names))
            self._sessions = {one: kept for one, kept in self._sessions.items() if now < kept.ends}
            if names:
                self._keep(SESSIONS_OF_ONE, self._named(names[0]), digest)
            self._keep(SESSIONS_KEPT, set(self._sessions), digest)

    @override
    def session(self, digest: str, idle: float | None = None) -> str | None:
        with self._lock:
            now, kept = self._clock(), self._sessions.get(digest)
            if kept is None or now >= kept.ends:
                return None
            if idle is not None:
                kept.ends = min(kept.limit, now + idle)
            return kept.session

    @override
    def ended_sessions(self, digests: Collection[str]) -> set[str]:
        return {one for one in digests if self.session(one) is None}

    @override
    def drop_session(self, digest: str) -> None:
        with self._lock:
            self._sessions.pop(digest, None)

    @override
    def drop_sessions(self, names: Collection[str], logout: str, seconds: float) -> int | None:
        with self._lock:
            now = self._clock()
            self._logouts = {one: ends for one, ends in self._logouts.items() if now < ends}
            if logout in self._logouts:
                return None
            self._logouts[logout] = now + seconds
            for one in sorted(self._logouts, key=self._logouts.__getitem__)[:-LOGOUTS_KEPT]:
                del self._logouts[one]
            named = {one for name in names for one in self._named(name)}
            ended = len(named) - len(self.ended_sessions(named))
            for one in named:
                del self._sessions[one]
            return ended

    @override
    def shared_key(self, proposed: str) -> str:
        with self._lock:
            self._console_key = self._console_key or proposed
            return self._console_key

    def _named(self, name: str) -> set[str]:
        return {one for one, kept in self._sessions.items() if name in kept.names}

    def _keep(self, most: int, digests: set[str], new: str) -> None:
        others = sorted(digests - {new}, key=lambda one: self._sessions[one].ends)
        for one in others[: max(0, len(others) + 1 - most)]:
            del self._sessions[one]
