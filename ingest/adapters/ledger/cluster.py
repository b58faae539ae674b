"""Connections to a Redis Cluster: all of them lead to the node that has the slot of the deployment.

All keys of a deployment have one hash tag, hence one slot, so that a script may use several of them. The client of
redis-py for clusters, which chooses a node for each command, is not needed for that: these connections find the node
when they connect, as connections behind Sentinels find the primary, and again when a node says that the slot moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis import BlockingConnectionPool
from redis import exceptions as redis_errors
from redis.connection import Connection
from redis.crc import key_slot
from typing_extensions import override

from ingest.adapters.ledger.address import login_options, tls_options
from ingest.adapters.ledger.pools import ASK_SECONDS, NotClusteredError, TlsHandshake

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.domain.clusters import Cluster

Node = tuple[str, int]


class ClusterPool(BlockingConnectionPool):
    """Connections to the node that has one slot. A thread waits for one if all are in use."""


def cluster_pool(cluster: Cluster, key: str, options: dict[str, Any]) -> ClusterPool:
    """Return a pool of connections to the node that has the slot of a key.

    Args:
        cluster: some of the nodes, and how to log in.
        key: the key.
        options: of redis-py, for the connections.
    """
    served: dict[str, Any] = {name: value for name, value in tls_options(cluster).items() if name != "ssl"}
    served.update(login_options(cluster.login))
    asked = {**served, "protocol": 2, "socket_connect_timeout": ASK_SECONDS, "socket_timeout": ASK_SECONDS}
    kind = TlsHandshake if cluster.tls else Connection
    owner = SlotOwner(cluster.hosts, key_slot(key.encode()), lambda node: kind(host=node[0], port=node[1], **asked))
    connection_class = _TlsClusterConnection if cluster.tls else _ClusterConnection
    options = {**options, **served, "connection_class": connection_class, "owner": owner}
    return ClusterPool(**options)  # type: ignore[no-untyped-call]  # redis-py has no types here


class SlotOwner:
    """Finds the node that has a slot. Threads may share it.

    Args:
        nodes: hosts and ports of some nodes.
        slot: the slot.
        connect: returns a connection to a node, which connects when it is used.
    """

    def __init__(self, nodes: Sequence[Node], slot: int, connect: Callable[[Node], Connection]) -> None:
        self._configured = tuple(nodes)
        # The nodes in the order in which they are asked. Replaced, never changed, so that threads need no lock.
        self._nodes = self._configured
        self._slot = slot
        self._connect = connect
        self.generation = 0
        """Grows when a node turns out not to have the slot any more: connections that are older are made anew."""

    def find(self) -> Node:
        """Return host and port of the node, as the first node that answers reports them.

        Raises:
            RedisError: no node answers, a server is no node of a cluster, or no node has the slot.
        """
        failure: redis_errors.RedisError = redis_errors.ConnectionError("none of its nodes is known")
        for node in self._nodes:
            try:
                rows = self._ask(node)
            except redis_errors.AuthenticationError:
                raise
            except (redis_errors.ConnectionError, redis_errors.TimeoutError) as error:
                self.distrust(node)
                failure = error
                continue
            self._learn(node, rows)
            for first, last, owner, *_ in rows:
                if first <= self._slot <= last:
                    return _address(owner, node)
            raise redis_errors.ClusterDownError(f"no node has slot {self._slot}")
        raise failure

    def prefer(self, node: Node) -> None:
        """Ask this node before all others."""
        self._nodes = (node, *(one for one in self._nodes if one != node))

    def outdate(self, generation: int) -> None:
        """Have connections made anew that are of this generation; no others, which are of a newer one already."""
        if generation == self.generation:
            self.generation += 1

    def distrust(self, node: Node) -> None:
        """Ask this node after all others."""
        self._nodes = (*(one for one in self._nodes if one != node), node)

    def _learn(self, node: Node, rows: Sequence[Any]) -> None:
        """Remember which other nodes there are: those that are configured may be gone when the slot moves."""
        known = {_address(one, node) for _, _, *nodes in rows for one in nodes}
        kept = (one for one in self._nodes if one in known or one in self._configured)
        self._nodes = tuple(dict.fromkeys((*kept, *sorted(known))))

    def _ask(self, node: Node) -> list[Any]:
        """Return the node's rows of slots: the first, the last, their primary and its replicas."""
        connection = self._connect(node)
        try:
            connection.connect()  # type: ignore[no-untyped-call]  # redis-py has no types here
            connection.send_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]  # as above
            return list(connection.read_response())
        except redis_errors.ResponseError as error:
            if "cluster support disabled" in str(error):
                raise NotClusteredError from error
            raise
        finally:
            connection.disconnect()  # type: ignore[no-untyped-call]  # as above


def _address(row: Sequence[Any], asked: Node) -> Node:
    """The address of a node in a reply to CLUSTER SLOTS; without a host it is that of the node that was asked."""
    host = (row[0] or b"").decode()
    return (asked[0] if host in {"", "?"} else host), int(row[1])


class _ClusterConnection(Connection):
    """Connects to the node that has the slot by then; connects anew once a connection was sent elsewhere."""

    def __init__(self, *, owner: SlotOwner, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]  # redis-py has no types here
        self._owner = owner
        self._generation = owner.generation

    @property
    @override
    def is_connected(self) -> bool:
        """Whether it leads to the node that has the slot, as far as is known."""
        return self._generation == self._owner.generation and super().is_connected

    @override
    def connect(self) -> None:
        if self._generation != self._owner.generation:
            self.disconnect()  # type: ignore[no-untyped-call]  # redis-py has no types here
        super().connect()  # type: ignore[no-untyped-call]  # as above

    @override
    def _connect(self) -> Any:
        self._generation = self._owner.generation
        self.host, self.port = self._owner.find()
        return super()._connect()  # type: ignore[no-untyped-call]  # as above

    @override
    def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().read_response(*arguments, **options)
        except redis_errors.MovedError as error:
            self._owner.outdate(self._generation)
            self._owner.prefer((error.host or self.host, error.port))
            raise
        except redis_errors.ClusterDownError:
            # It may have lost contact with the others, which then have a new node for the slot.
            self._owner.outdate(self._generation)
            self._owner.distrust((self.host, self.port))
            raise


class _TlsClusterConnection(_ClusterConnection, TlsHandshake):
    """The same over TLS."""
