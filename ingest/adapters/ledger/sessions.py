"""The sessions of browsers, in Redis or Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.adapters.ledger.workset import milliseconds
from ingest.ports.sessions import SESSIONS_KEPT, Sessions

if TYPE_CHECKING:
    from ingest.adapters.ledger.connection import RedisConnection
    from ingest.adapters.ledger.names import Names


class RedisSessions(Sessions):
    """`Sessions` in Redis or Valkey."""

    _connection: RedisConnection
    _names: Names

    @override
    def put_session(self, digest: str, session: str, seconds: float) -> None:
        arguments = (digest, session, milliseconds(seconds), SESSIONS_KEPT)
        self._connection.run("put_session", self._session_keys, arguments)

    @override
    def session(self, digest: str) -> str | None:
        found = self._connection.run("session", self._session_keys, [digest])
        return None if found is None else str(found, "utf-8")

    @override
    def drop_session(self, digest: str) -> None:
        kept, ends = self._session_keys
        # No transaction, which a server that is out of memory rejects. A session ends with the first of the two.
        self._connection.call("HDEL", kept, digest)
        self._connection.call("ZREM", ends, digest)

    @override
    def shared_key(self, proposed: str) -> str:
        key = self._names.console_key
        if (known := self._connection.call("GET", key)) is not None:
            return str(known, "utf-8")  # a server that is out of memory takes no proposal, and has the key
        _, found = self._connection.atomically(("SETNX", key, proposed), ("GET", key))
        return str(found, "utf-8")

    @property
    def _session_keys(self) -> list[str]:
        return [self._names.sessions, self._names.session_ends]
