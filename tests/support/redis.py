"""Redis itself: over TLS, and servers that a Sentinel monitors."""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import trustme
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from tests.support.servers import find_program, free_port, missing, undone_on_failure
from tests.support.valkey import Valkey
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVICE = "mailhaul"


def redis_server() -> Path:
    """Debian's Redis; the test is skipped, or fails in CI, where it is missing."""
    return find_program("redis-server") or missing("redis", "Redis")


def redis_62_server() -> Path:
    """The oldest Redis that a ledger may be; the test is skipped, or fails in CI, where it is missing."""
    program = Path(__file__).resolve().parents[2] / ".tools" / "redis-6.2" / "redis-server"
    return program if program.exists() else missing("redis-6.2", "Redis 6.2", "tests/install-redis62")


@contextmanager
def tls_redis(folder: Path) -> Iterator[str]:
    """Run a Redis with TLS and a CA of its own; yield its address.

    Args:
        folder: exists; holds all its files.
    """
    port = free_port()
    make_certificate(folder)
    with Valkey(folder, tls_arguments(folder, port), program=redis_server()):
        yield f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={folder / 'ca.pem'}"


def make_certificate(folder: Path) -> None:
    """Write a certificate for 127.0.0.1 and its key into `server.pem`, and the CA that issued it into `ca.pem`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))


def tls_arguments(folder: Path, port: int) -> tuple[str, ...]:
    """Arguments for a server that also speaks TLS.

    Args:
        folder: `make_certificate` has written into it.
        port: for TLS.
    """
    options = {
        "tls-port": port,
        "tls-cert-file": folder / "server.pem",
        "tls-key-file": folder / "server.pem",
        "tls-ca-cert-file": folder / "ca.pem",
        "tls-auth-clients": "no",
    }
    return tuple(str(word) for name, value in options.items() for word in (f"--{name}", value))


class Watched:
    """A primary, its replica, and a Sentinel that promotes the replica on command or after the primary was killed.

    Args:
        folder: exists; holds all its files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.primary = Valkey(folder)
        follow = ("--replicaof", f"127.0.0.1 {self.primary.port}", "--repl-diskless-sync-delay", "0")
        self.replica = Valkey(folder, follow)
        self._sentinel = Valkey(folder, ("--sentinel",), config=folder / "sentinel.conf")

    @property
    def url(self) -> str:
        """The address to configure. The first of two Sentinels does not exist: one that runs is enough."""
        return f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{self._sentinel.port}/{_SERVICE}/0"

    def __enter__(self) -> Self:
        (self._folder / "sentinel.conf").write_text(
            f"sentinel monitor {_SERVICE} 127.0.0.1 {self.primary.port} 1\n"
            # Only `fail_over` shortens this: a primary that is slow on a busy machine is not down.
            f"sentinel down-after-milliseconds {_SERVICE} 600000\n"
            f"sentinel failover-timeout {_SERVICE} 5000\n"
            # It would close the connections of a primary that it demotes; without this command they stay open.
            f"sentinel rename-command {_SERVICE} CLIENT EXISTS\n"
        )
        with undone_on_failure(self._stop):
            for server in (self.primary, self.replica, self._sentinel):
                server.start()
            eventually(self._knows_the_replica, "the Sentinel does not find the replica")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def fail_over(self) -> None:
        """Kill the primary; return when the Sentinel has promoted the replica."""
        self.primary.kill()
        with closing(self._sentinel.client()) as client:
            client.execute_command("SENTINEL", "SET", _SERVICE, "down-after-milliseconds", 1000)  # type: ignore[no-untyped-call]
        eventually(self._promoted, "the replica was not made the primary")

    def demote(self) -> None:
        """Swap the roles of primary and replica, both alive; return when both have changed."""
        eventually(self._begins_failover, "the Sentinel finds no replica that it may promote")
        eventually(self._promoted, "the replica was not made the primary")
        eventually(lambda: self._role(self.primary) == b"slave", "the primary was not made a replica")

    def connections(self) -> int:
        """The number of clients connected to the server that was the primary at the start."""
        with closing(self.primary.client()) as client:
            return len(client.client_list(_type="normal"))

    def _stop(self) -> None:
        for server in (self._sentinel, self.replica, self.primary):
            server.stop()

    def _begins_failover(self) -> bool:
        with closing(self._sentinel.client()) as client, suppress(ResponseError):
            client.execute_command("SENTINEL", "FAILOVER", _SERVICE)  # type: ignore[no-untyped-call]
            return True
        return False

    def _knows_the_replica(self) -> bool:
        with closing(self._sentinel.client()) as client, suppress(RedisError):
            replicas = client.execute_command("SENTINEL", "REPLICAS", _SERVICE)  # type: ignore[no-untyped-call]
            fields = [dict(zip(found[::2], found[1::2], strict=True)) for found in replicas]
            return any(replica.get(b"master-link-status") == b"ok" for replica in fields)
        return False

    def _promoted(self) -> bool:
        return self._role(self.replica) == b"master"

    def _role(self, server: Valkey) -> bytes:
        with Redis(port=server.port) as client, suppress(RedisError):
            return bytes(client.role()[0])
        return b""
