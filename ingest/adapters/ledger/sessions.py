"""The sessions of browsers, in Redis or Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.adapters.ledger.workset import milliseconds
from ingest.ports.sessions import LOGOUTS_KEPT, SESSIONS_KEPT, SESSIONS_OF_ONE, Sessions

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ingest.adapters.ledger.connection import RedisConnection
    from ingest.adapters.ledger.names import Names


class RedisSessions(Sessions):
    """`Sessions` in Redis or Valkey."""

    _connection: RedisConnection
    _names: Names

    @override
    def put_session(self, digest: str, session: str, seconds: float, idle: float, names: Sequence[str]) -> None:
        limits = milliseconds(seconds), milliseconds(idle), SESSIONS_KEPT, SESSIONS_OF_ONE
        self._connection.run("put_session", self._session_keys, [digest, session, *limits, *names])

    @override
    def session(self, digest: str, idle: float | None = None) -> str | None:
        found = self._connection.run("session", self._session_keys, (digest, milliseconds(idle or 0)))
        return None if found is None else str(found, "utf-8")

    @override
    def ended_sessions(self, digests: Collection[str]) -> set[str]:
        ended = self._connection.run("ended_sessions", self._session_keys, list(digests)) if digests else []
        return {str(one, "ascii") for one in ended}

    @override
    def drop_session(self, digest: str) -> None:
        self._connection.run("drop_session", self._session_keys, [digest])

    @override
    def drop_sessions(self, names: Collection[str], logout: str, seconds: float) -> int | None:
        keys = [*self._session_keys, self._names.logouts]
        ended = int(
            self._connection.run("drop_sessions", keys, [logout, milliseconds(seconds), LOGOUTS_KEPT, *names])
        )
        return None if ended < 0 else ended

    @override
    def shared_key(self, proposed: str) -> str:
        key = self._names.console_key
        if (known := self._connection.call("GET", key)) is not None:
            return str(known, "utf-8")  # a server that is out of memory takes no proposal, and has the key
        _, found = self._connection.atomically(("SETNX", key, proposed), ("GET", key))
        return str(found, "utf-8")

    @property
    def _session_keys(self) -> list[str]:
        return [self._names.sessions, self._names.session_ends, self._names.session_names]
