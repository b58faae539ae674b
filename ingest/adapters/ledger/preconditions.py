"""What the server of the ledger must be set to, as far as INFO and CONFIG report it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ingest.ports.ledger import LedgerProblem, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Above this share of its memory the server is about to reject writes.
FULL = 0.9

UNKNOWN = LedgerProblem(
    Severity.WARNING,
    "no_info",
    "the ledger's user may not send INFO, so nobody can tell whether the server evicts keys, persists its data or is "
    "nearly full; allow INFO, or see yourself to maxmemory-policy noeviction and appendonly yes",
)
# The first version with XAUTOCLAIM, ZADD GT and XTRIM MINID; Valkey reports one that it is compatible with.
OLDEST = (6, 2)
CLUSTER = LedgerProblem(
    Severity.FATAL,
    "cluster",
    "the ledger is a node of a Redis Cluster, and its address that of a single server; write "
    "redis+cluster://host:6379 (with TLS rediss+cluster://), and set `broker` to a server without cluster mode, "
    "which Celery needs",
)


def problems_of(info: Mapping[str, Any], save: str | None, *, clustered: bool = False) -> Iterator[LedgerProblem]:
    """Yield what is wrong.

    Args:
        info: the reply to INFO.
        save: the option `save`: when the server writes snapshots; empty if never, None if it is not known.
        clustered: whether the address is that of a cluster.
    """
    version = str(info.get("redis_version", ""))
    if (numbers := re.match(r"(\d+)\.(\d+)", version)) and tuple(map(int, numbers.groups())) < OLDEST:
        yield LedgerProblem(
            Severity.FATAL,
            "version",
            f"the ledger is Redis {version}, which lacks commands that are needed; use Redis 6.2 or later, or Valkey",
        )
    if int(info.get("cluster_enabled", 0)) and not clustered:
        yield CLUSTER
    if info.get("role") in {"slave", "replica"}:
        yield LedgerProblem(
            Severity.FAILURE, "replica", "the ledger is a read-only replica; set the address of the primary"
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield LedgerProblem(
            Severity.FATAL,
            "eviction",
            f"the ledger evicts keys when its memory is full (maxmemory-policy {policy}), which loses mail; "
            "set maxmemory-policy noeviction",
        )
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if limit and used > FULL * limit:
        yield _nearly_full(used / limit)
    if not int(info.get("aof_enabled", 0)):
        yield from _without_log(save)


def value_of(reply: Mapping[Any, Any] | Sequence[Any]) -> str:
    """Return the value in the reply to CONFIG GET for one option."""
    values = list(reply.values()) if isinstance(reply, dict) else list(reply)[1:]
    value = values[0] if values else b""
    return value.decode() if isinstance(value, bytes) else str(value or "")


def _nearly_full(share: float) -> LedgerProblem:
    return LedgerProblem(
        Severity.FAILURE,
        "memory",
        f"the ledger uses {share:.0%} of its memory and will soon reject writes; raise maxmemory, "
        "or see to the sinks that are behind (`mailhaul status`)",
    )


def _without_log(save: str | None) -> Iterator[LedgerProblem]:
    if save is None:
        yield LedgerProblem(
            Severity.WARNING,
            "no_append_only_file",
            "the ledger has no append-only file, and does not tell whether it writes snapshots; set appendonly yes",
        )
    elif not save:
        yield LedgerProblem(
            Severity.WARNING,
            "memory_only",
            "the ledger keeps its data in memory only and loses it at a restart; set appendonly yes",
        )
