"""The ledger in Redis or Valkey."""

from __future__ import annotations

from ingest.adapters.ledger.connection import RedisConnection
from ingest.adapters.ledger.eventlog import RedisEventLog
from ingest.adapters.ledger.names import DEPLOYMENT
from ingest.adapters.ledger.redis import RedisLedger


def connect(url: str, deployment: str = DEPLOYMENT) -> tuple[RedisLedger, RedisEventLog]:
    """Build the ledger and its event log over one pool of connections. Nothing is sent yet.

    Threads may share both. A process that forks builds them after the fork, in each child.

    Args:
        url: `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix:///path.sock?db=0`; of Sentinels or a cluster
            with `+sentinel` or `+cluster` in the scheme.
        deployment: the name that sets its keys apart from those of others on the same server.

    Raises:
        StartError: the address is invalid.
    """
    connection = RedisConnection(url, deployment)
    return RedisLedger(connection), RedisEventLog(connection)
