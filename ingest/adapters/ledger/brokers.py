"""Find out whether Celery can use a broker: kombu follows no key to another node of a cluster."""

from __future__ import annotations

from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

from redis import Redis
from redis import exceptions as redis_errors

from ingest.adapters.ledger.pools import open_pool
from ingest.domain.clusters import read_cluster
from ingest.errors import LedgerUnavailableError, StartError

if TYPE_CHECKING:
    from collections.abc import Callable

_REMEDY = (
    "set `broker` to the address of a Redis or Valkey without cluster mode (a small one will do: it keeps nothing), "
    "or to amqp://host//"
)


def require_no_cluster(url: str) -> None:
    """Reject the ledger's address as the broker's if it is that of a cluster. Nothing is sent.

    Raises:
        StartError: it is.
    """
    if read_cluster(url) is not None:
        raise StartError(
            f"the ledger is a Redis Cluster, which Celery cannot use for wake-ups; {_REMEDY}; only `mailhaul drain` "
            "needs none"
        )


def broker_check(broker: str | None, ledger_at: str) -> Callable[[], str] | None:
    """Return a function that asks the broker, as `check_broker`; None if nobody needs to ask.

    Args:
        broker: its address, if it has one of its own.
        ledger_at: the ledger's address: wake-ups go there otherwise. Whoever uses the ledger asks it anyway.
    """
    if broker is None and read_cluster(ledger_at) is None:
        return None
    if broker is not None and broker.startswith("amqp"):
        return None
    return partial(check_broker, broker or ledger_at)


def check_broker(url: str) -> str:
    """Ask a broker that is a Redis or Valkey whether Celery can use it; return what was found.

    Raises:
        StartError: it is in cluster mode.
        LedgerUnavailableError: it does not answer, or rejects the login.
    """
    require_no_cluster(url)
    with closing(open_pool(url, "mailhaul")) as pool, Redis(connection_pool=pool) as client:
        try:
            client.ping()
            clustered = False
            with suppress(redis_errors.ResponseError):  # such as a user who may not send INFO
                clustered = bool(client.info("cluster").get("cluster_enabled"))
        except redis_errors.RedisError as error:
            raise LedgerUnavailableError(
                f"the broker does not answer ({type(error).__name__}); start it, or correct `broker`"
            ) from error
    if clustered:
        raise StartError(f"the broker is a node of a Redis Cluster, which Celery cannot use; {_REMEDY}")
    return "answers"
