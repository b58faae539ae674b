"""A Redis Cluster on loopback."""

from __future__ import annotations

import itertools
import socket
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Self

from redis.crc import key_slot

from ingest.adapters.ledger.names import Names
from tests.support.redis import make_certificate, redis_server, tls_arguments
from tests.support.servers import free_port
from tests.support.valkey import PERSISTENT, Valkey
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

SLOTS = 16_384
# Milliseconds without an answer after which the others vote a replica to take a primary's place.
_NODE_TIMEOUT = 2_000
SLOT = key_slot(Names().probe.encode())


class Cluster:
    """Three primaries that share the slots, and on demand a replica of the one that has the slot of the ledger.

    Args:
        folder: exists; everything lies in it.
        replica: whether there is a replica.
        certificate: a folder for a certificate; the nodes speak TLS too, on the ports of `tls_url`.
    """

    def __init__(self, folder: Path, *, replica: bool = False, certificate: Path | None = None) -> None:
        self._certificate = certificate
        if certificate is not None:
            make_certificate(certificate)
        count = 4 if replica else 3
        self.nodes = [self._node(folder / f"node-{number}") for number in range(count)]
        self._stack = ExitStack()

    def _node(self, folder: Path) -> Valkey:
        folder.mkdir()
        node = lone_node(folder)
        # By default a primary waits for five seconds whether other replicas come too.
        node.options += ("--cluster-node-timeout", str(_NODE_TIMEOUT), "--repl-diskless-sync-delay", "0", *PERSISTENT)
        if self._certificate is not None:
            node.program = redis_server()
            node.options += (*tls_arguments(self._certificate, node.port + 2), "--tls-cluster", "yes")
        return node

    @property
    def url(self) -> str:
        """The address of all nodes."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def tls_url(self) -> str:
        """The address of all nodes over TLS."""
        hosts = ",".join(f"127.0.0.1:{node.port + 2}" for node in self.nodes)
        assert self._certificate is not None
        return f"rediss+cluster://{hosts}?ssl_ca_certs={self._certificate / 'ca.pem'}"

    @property
    def owner(self) -> Valkey:
        """The node that has the ledger's slot, as all of those that run agree."""
        found = eventually(self._agreed_owner, "the nodes do not agree about the slot of the ledger")
        assert found is not None
        return found

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def client(self) -> Redis:
        """For looking inside the node that has the slot; close it."""
        return self.owner.client()

    def flush(self) -> None:
        """Lose everything, the scripts too."""
        self.owner.flush()

    def move(self) -> Valkey:
        """Move the ledger's slot to another primary, with all its keys; return that."""
        source, target = self.begin_move()
        port = target.port if self._certificate is None else target.port + 2
        with closing(source.client()) as client:
            while keys := _tell(client, "CLUSTER", "GETKEYSINSLOT", SLOT, 100):
                _tell(client, "MIGRATE", "127.0.0.1", port, "", 0, 10_000, "KEYS", *keys)
        with closing(target.client()) as client:
            new = _tell(client, "CLUSTER", "MYID")
        for node in (target, source, *self._primaries()):
            with closing(node.client()) as client:
                _tell(client, "CLUSTER", "SETSLOT", SLOT, "NODE", new)
        assert self.owner is target
        return target

    def begin_move(self) -> tuple[Valkey, Valkey]:
        """Begin to move the ledger's slot; return the source and the target."""
        source = self.owner
        target = next(node for node in self._primaries() if node is not source)
        with closing(source.client()) as client, closing(target.client()) as other:
            old, new = _tell(client, "CLUSTER", "MYID"), _tell(other, "CLUSTER", "MYID")
            _tell(other, "CLUSTER", "SETSLOT", SLOT, "IMPORTING", old)
            _tell(client, "CLUSTER", "SETSLOT", SLOT, "MIGRATING", new)
        return source, target

    def abandon_move(self) -> None:
        """Leave the slot where it is."""
        for node in self._primaries():
            with closing(node.client()) as client:
                _tell(client, "CLUSTER", "SETSLOT", SLOT, "STABLE")

    def fail_over(self) -> Valkey:
        """Kill the node that has the ledger's slot; return the replica that has taken its place."""
        killed = self.owner
        killed.kill()
        return self.owner

    def promote(self) -> Valkey:
        """Make the replica and the node that has the ledger's slot change places, both alive; return the former."""
        before = self.owner
        (replica,) = (node for node in self.nodes if node not in self._primaries())
        with closing(replica.client()) as client:
            _tell(client, "CLUSTER", "FAILOVER")
        eventually(lambda: before not in self._primaries(), "the replica was not promoted")
        assert self.owner is replica
        return replica

    def _primaries(self) -> list[Valkey]:
        return [node for node in self.nodes if node.process is not None and _role(node) == b"master"]

    def _join(self) -> None:
        primaries, replicas = self.nodes[:3], self.nodes[3:]
        for number, node in enumerate(primaries):
            first, last = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
            with closing(node.client()) as client:
                _tell(client, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                _tell(client, "CLUSTER", "ADDSLOTSRANGE", first, last)
        for one, other in itertools.combinations(self.nodes, 2):
            with closing(one.client()) as client:
                _tell(client, "CLUSTER", "MEET", "127.0.0.1", other.port, other.port + 1)
        eventually(self._joined, self._describe)
        for node in replicas:
            with closing(node.client()) as client, closing(self.owner.client()) as primary:
                name = _tell(primary, "CLUSTER", "MYID")
                _tell(client, "CLUSTER", "REPLICATE", name)
                eventually(lambda client=client: client.info("replication")["master_link_status"] == "up")  # type: ignore[misc]

    def _joined(self) -> bool:
        return all(
            info["cluster_state"] == "ok"
            and int(info["cluster_known_nodes"]) == len(self.nodes)
            and int(info["cluster_size"]) == 3
            for info in map(_cluster_info, self.nodes)
        )

    def _agreed_owner(self) -> Valkey | None:
        running = [node for node in self.nodes if node.process is not None]
        ports = {port for node in running for port in _owners(node)}
        return next((node for node in running if {node.port} == ports), None)

    def _describe(self) -> str:
        return "\n".join(str(_cluster_info(node)) for node in self.nodes)


def lone_node(folder: Path) -> Valkey:
    """A server in cluster mode that has met no other and has no slot; it runs within a `with` block."""
    node = Valkey(folder)
    # This run hands out the ports above one to nobody else, but another run may be at work.
    while not all(map(_is_free, (node.port + 1, node.port + 2))):
        node.port = free_port()
    # By default that for the bus would be 10,000 above.
    node.options = ("--cluster-enabled", "yes", "--cluster-port", str(node.port + 1))
    return node


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


def _tell(client: Redis, *command: Any) -> Any:
    reply = client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py has no types here
    return reply.decode() if isinstance(reply, bytes) else reply


def _role(node: Valkey) -> bytes:
    with closing(node.client()) as client:
        return bytes(client.role()[0])


def _owners(node: Valkey) -> list[int]:
    """The port of the node that has the ledger's slot, as this node knows it."""
    with closing(node.client()) as client:
        rows = _tell(client, "CLUSTER", "SLOTS")
    return [primary[1] for first, last, primary, *_ in rows if first <= SLOT <= last]


def _cluster_info(node: Valkey) -> dict[str, str]:
    with closing(node.client()) as client:
        return dict(line.split(":", 1) for line in _tell(client, "CLUSTER", "INFO").split())
