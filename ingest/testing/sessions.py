"""The in-memory twin of the sessions of browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.ports.sessions import SESSIONS_KEPT, Sessions

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable


class MemorySessions(Sessions):
    """`Sessions` for one process."""

    _lock: threading.RLock
    _clock: Callable[[], float]

    def _forget_sessions(self) -> None:
        """Lose everything."""
        self._sessions: dict[str, tuple[str, float]] = {}
        self._console_key = ""

    @override
    def put_session(self, digest: str, session: str, seconds: float) -> None:
        with self._lock:
            self._sessions[digest] = session, self._clock() + seconds
            for one in sorted(self._sessions, key=lambda each: self._sessions[each][1])[:-SESSIONS_KEPT]:
                del self._sessions[one]

    @override
    def session(self, digest: str) -> str | None:
        with self._lock:
            session, ends = self._sessions.get(digest, (None, 0.0))
            return session if self._clock() < ends else None

    @override
    def drop_session(self, digest: str) -> None:
        with self._lock:
            self._sessions.pop(digest, None)

    @override
    def shared_key(self, proposed: str) -> str:
        with self._lock:
            self._console_key = self._console_key or proposed
            return self._console_key
