"""Messages that are to be updated, in Redis or Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.adapters.ledger.workset import RedisWorkSet, milliseconds
from ingest.errors import StaleClaimError
from ingest.ports.claims import Claim
from ingest.ports.messages import Updates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.adapters.ledger.connection import RedisConnection
    from ingest.adapters.ledger.names import Names
    from ingest.domain.message import OpenMessage

_STALE = -1


class RedisUpdates(Updates):
    """`Updates` in Redis or Valkey."""

    _connection: RedisConnection
    _names: Names
    _mailboxes: RedisWorkSet
    _messages: RedisWorkSet

    @override
    def open_updates(self, claim: Claim, messages: Sequence[OpenMessage], lease: float) -> list[Claim | None]:
        names, work = self._names, self._messages
        keys = [self._mailboxes.fences, work.due, work.claimed, work.fences, names.open, names.open_since]
        keys += [names.failed, names.unprocessed(claim.id), names.counts, names.unprocessed_counts]
        keys += [names.fence, names.latest_time]
        arguments: list[str | bytes | int] = [claim.id, claim.fence, milliseconds(lease)]
        for message in messages:
            since = round(message.first_seen.timestamp() * 1000)
            arguments += [message.key, message.model_dump_json(exclude_none=True), since]
        fences = self._connection.run("open_updates", keys, arguments)
        if fences == _STALE:
            raise StaleClaimError("the claim is stale; nothing was changed")
        return [
            Claim(message.key, int(fence), 1, 0.0) if fence else None
            for message, fence in zip(messages, fences, strict=True)
        ]
