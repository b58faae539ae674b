"""What messages had in them, in Redis or Valkey: a ring of hashes, of which the oldest is dropped as a whole."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.adapters.ledger.workset import milliseconds
from ingest.errors import StaleClaimError
from ingest.ports.content import QUARANTINE_RECORDS, QUARANTINE_SECONDS, ContentLimits, ContentRecords

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ingest.adapters.ledger.connection import RedisConnection
    from ingest.adapters.ledger.names import Names
    from ingest.adapters.ledger.workset import RedisWorkSet
    from ingest.ports.claims import Renewal

# Digests that are read at once to forget some.
_PAGE = 1000


class RedisContent(ContentRecords):
    """`ContentRecords` in Redis or Valkey. Each digest takes about a hundred bytes there."""

    _connection: RedisConnection
    _names: Names
    _messages: RedisWorkSet

    @override
    def first_messages(
        self, found: Sequence[tuple[bytes, str]], limits: ContentLimits, renewal: Renewal | None = None
    ) -> list[str]:
        if not found and renewal is None:
            return []
        arguments: list[str | bytes | int] = [
            milliseconds(limits.span),
            milliseconds(limits.window + limits.span),
            limits.per_generation,
        ]
        if renewal is None:
            arguments += ["", "", ""]
        else:
            arguments += [renewal.claim.id, renewal.claim.fence, milliseconds(renewal.lease)]
        for digest, key in found:
            arguments += [digest, bytes.fromhex(key)]
        keys = [self._names.content, self._messages.claimed, self._messages.fences, self._names.latest_time]
        firsts = self._connection.run("first_messages", [*keys, *self._names.content_generations], arguments)
        if firsts is None:
            raise StaleClaimError("the claim is stale; nothing was changed")
        return [first.hex() for first in firsts]

    @override
    def forget_messages(self, keys: Collection[str]) -> int:
        if not keys:
            return 0
        gone, removed = {bytes.fromhex(key) for key in keys}, 0
        for generation in self._names.content_generations:
            cursor = 0
            while True:
                cursor, page = self._connection.call("HSCAN", generation, cursor, "COUNT", _PAGE)
                digests = [digest for digest, first in page.items() if first in gone]
                if digests:
                    removed += int(self._connection.call("HDEL", generation, *digests))
                if not int(cursor):
                    break
        self.release_quarantined(keys)
        return removed

    @override
    def is_content_restored(self, mailbox: str) -> bool:
        epoch, restored = self._connection.read(
            ("HGET", self._names.content, "epoch"), ("HGET", self._names.content_restored, mailbox)
        )
        return epoch is not None and epoch == restored

    @override
    def mark_content_restored(self, mailbox: str) -> None:
        self._connection.call("HSETNX", self._names.content, "epoch", secrets.token_hex(8))
        epoch = self._connection.call("HGET", self._names.content, "epoch")
        self._connection.call("HSET", self._names.content_restored, mailbox, epoch)

    @override
    def record_quarantined(self, key: str) -> None:
        now = milliseconds(time.time())
        oldest = now - milliseconds(QUARANTINE_SECONDS)
        self._connection.atomically(
            ("ZADD", self._names.quarantined, "NX", now, key),
            ("ZREMRANGEBYSCORE", self._names.quarantined, "-inf", oldest),
            ("ZREMRANGEBYRANK", self._names.quarantined, 0, -1 - QUARANTINE_RECORDS),
        )

    @override
    def release_quarantined(self, keys: Collection[str]) -> None:
        if keys:
            self._connection.call("ZREM", self._names.quarantined, *keys)
