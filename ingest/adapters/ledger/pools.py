"""Pools of connections to a server, to the primary that Sentinels name, or to a node of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis import BlockingConnectionPool, DriverInfo
from redis import __version__ as redis_version
from redis import exceptions as redis_errors
from redis.backoff import ConstantBackoff
from redis.connection import SSLConnection
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedSSLConnection

from ingest.adapters.ledger.address import login_options, redis_url, tls_options
from ingest.domain.clusters import read_cluster
from ingest.domain.sentinels import read_sentinels

if TYPE_CHECKING:
    import socket

    from ingest.domain.sentinels import Sentinels

# More than the threads of any process. A thread that finds all of them in use waits instead of failing.
MAX_CONNECTIONS = 128
POOL_WAIT_SECONDS = 20
CONNECT_SECONDS = 5
# For a Sentinel, or a node of a cluster that is asked where a slot is. Short, so that one that is down does not delay
# the others.
ASK_SECONDS = 2
# A server that rewrites or syncs its append-only file on a slow disk may pause for seconds.
REPLY_SECONDS = 15
HEALTH_CHECK_SECONDS = 30
# Before the second attempt, if a connection broke.
RETRY_SECONDS = 0.1


class NoTlsError(redis_errors.RedisError):
    """The server does not answer the TLS handshake. Not a `ConnectionError`, which would be retried."""


class NotClusteredError(redis_errors.RedisError):
    """The address is that of a cluster, and the server is no node of one."""


def open_pool(url: str, key: str) -> BlockingConnectionPool:
    """Return a pool for an address of the ledger. Nothing is sent yet.

    Args:
        url: the address.
        key: any key of the ledger; in a cluster, connections lead to the node that has its slot.

    Raises:
        ValueError: the address is invalid.
    """
    options: dict[str, Any] = {
        "max_connections": MAX_CONNECTIONS,
        "timeout": POOL_WAIT_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": REPLY_SECONDS,
        "health_check_interval": HEALTH_CHECK_SECONDS,
        # One retry replaces a connection that a restart broke. Scripts may therefore run twice; the fence keeps the
        # second run from changing anything.
        "retry": Retry(ConstantBackoff(RETRY_SECONDS), 1),
        "protocol": 2,
        "decode_responses": False,
        # Else each connection reads this version from the disk. The server gets it even though nobody needs it: a
        # connection over TLS 1.3 that has received nothing yet has session tickets to read, and passes for broken.
        "driver_info": DriverInfo(lib_version=redis_version),
    }
    if (sentinels := read_sentinels(url)) is not None:
        return _at_sentinels(sentinels, options)
    if (cluster := read_cluster(url)) is not None:
        from ingest.adapters.ledger.cluster import cluster_pool  # noqa: PLC0415 - for those who have one

        return cluster_pool(cluster, key, options)
    if redis_url(url).startswith("rediss://"):
        options["connection_class"] = TlsHandshake
    return BlockingConnectionPool.from_url(redis_url(url), **options)


class TlsHandshake(SSLConnection):
    """Limits the handshake to the time for connecting: a port without TLS would never answer."""

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> Any:
        before = sock.gettimeout()
        sock.settimeout(self.socket_connect_timeout)
        try:
            wrapped = super()._wrap_socket_with_ssl(sock)  # type: ignore[no-untyped-call]  # redis-py has no types here
        except TimeoutError as error:
            sock.close()
            raise NoTlsError from error
        wrapped.settimeout(before)
        return wrapped


class _SentinelTlsHandshake(TlsHandshake, SentinelManagedSSLConnection):
    """The same for a primary that Sentinels name."""


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary that the Sentinels name. A thread waits for one if all are in use."""


def _at_sentinels(sentinels: Sentinels, options: dict[str, Any]) -> BlockingConnectionPool:
    tls = tls_options(sentinels)
    asked = {**login_options(sentinels.sentinel_login), **tls, "protocol": 2}
    manager = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types here
        sentinels.hosts,
        sentinel_kwargs={"socket_connect_timeout": ASK_SECONDS, "socket_timeout": ASK_SECONDS, **asked},
    )
    served = {**login_options(sentinels.login), **tls, "db": sentinels.database}
    if tls:
        served["connection_class"] = _SentinelTlsHandshake
    return _SentinelPool(sentinels.service, manager, **options, **served)  # type: ignore[no-untyped-call]  # as above
