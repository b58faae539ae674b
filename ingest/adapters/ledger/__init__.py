"""The ledger in Redis or Valkey, and its twins in memory."""

from __future__ import annotations

from ingest.adapters.ledger.connection import RedisConnection
from ingest.adapters.ledger.eventlog import RedisEventLog
from ingest.adapters.ledger.redis import RedisLedger


def connect(url: str) -> tuple[RedisLedger, RedisEventLog]:
    """The ledger and its event stream, over one pool of connections.

    Nothing is sent yet. Threads may share both; a process that forks builds them afterwards, in each child.

    Args:
        url: `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix:///path.sock?db=0`.

    Raises:
        StartError: this is no such address.
    """
    connection = RedisConnection(url)
    return RedisLedger(connection), RedisEventLog(connection)
