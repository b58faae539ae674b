"""The connection to Redis: one pool; every exception of redis-py is translated here, and nowhere else."""

from __future__ import annotations

import os
import queue
import re
import time
from collections import deque
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar

from hiredis import pack_command
from redis import Redis
from redis import exceptions as redis_errors
from redis.connection import SSLConnection

from ingest.adapters.kernel_timeouts import wait_in_kernel
from ingest.adapters.ledger.names import DEPLOYMENT, Names
from ingest.adapters.ledger.pools import RETRY_SECONDS, NotClusteredError, NoTlsError, open_pool
from ingest.domain.clusters import read_cluster
from ingest.errors import LedgerUnavailableError, StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from redis import ConnectionPool
    from redis.commands.core import Script
    from redis.connection import Connection

Argument = str | bytes | int
_Reply = TypeVar("_Reply")

# Connections that are kept for scripts; most of the others must be left to the pool.
READY_CONNECTIONS = 16
# How often a command is sent to the node that a cluster names instead: one node may know less than another.
_REDIRECTIONS = 3
_LOST = (redis_errors.ConnectionError, redis_errors.TimeoutError)
_LEAVE = (redis_errors.ReadOnlyError, redis_errors.MovedError)

_SCRIPTS = resources.files("ingest.adapters.ledger") / "scripts"
_INCLUDE = re.compile(r"^-- Include: (.+)$", re.MULTILINE)


_REMEDIES: tuple[tuple[type[redis_errors.RedisError] | tuple[type[redis_errors.RedisError], ...], str], ...] = (
    (
        redis_errors.AuthenticationError,
        "the ledger rejects the user or the password; correct them in the address of the ledger",
    ),
    (
        redis_errors.NoPermissionError,
        (
            "the ledger's user has too few permissions; allow it scripts, all commands on keys {{{deployment}}}:*, "
            "and in a cluster CLUSTER SLOTS"
        ),
    ),
    (
        NoTlsError,
        (
            "the ledger does not answer the TLS handshake, so this port probably expects connections without TLS; "
            "use redis:// instead of rediss://, or the port for TLS"
        ),
    ),
    (
        redis_errors.MovedError,
        (
            "the ledger is a node of a Redis Cluster; write its address as redis+cluster://host:6379 (with TLS "
            "rediss+cluster://)"
        ),
    ),
    (
        NotClusteredError,
        "the ledger is not a Redis Cluster; write redis:// instead of redis+cluster:// in its address",
    ),
    (
        (redis_errors.AskError, redis_errors.TryAgainError),
        "the cluster is moving the ledger's slot to another node; wait until it has finished",
    ),
    (
        redis_errors.ClusterDownError,
        (
            "no node of the cluster serves the ledger's slot; wait for its failover, or start the nodes that are "
            "down ({error})"
        ),
    ),
    (redis_errors.BusyLoadingError, "the ledger is loading its data after a restart; wait until it has finished"),
    (redis_errors.OutOfMemoryError, "the ledger is out of memory; give it more (maxmemory)"),
    (redis_errors.ReadOnlyError, "the ledger is a read-only replica; set the address of the primary"),
    (redis_errors.MaxConnectionsError, "all connections to the ledger are in use; it responds too slowly"),
    (redis_errors.TimeoutError, "the ledger does not respond in time; check its load and the network"),
    (redis_errors.ConnectionError, "the ledger cannot be reached; start it, or correct its address ({error})"),
)


# Until version 6.2, Redis quotes the error of a command inside a script in an error of its own.
_IN_SCRIPT = re.compile(r"Error running script .* -((READONLY|OOM|NOPERM|MISCONF) .*)", re.DOTALL)
_KINDS = {
    "READONLY": redis_errors.ReadOnlyError,
    "OOM": redis_errors.OutOfMemoryError,
    "NOPERM": redis_errors.NoPermissionError,
    "MISCONF": redis_errors.ResponseError,
}


class RedisConnection:
    """Sends commands and scripts; threads may share it."""

    def __init__(self, url: str, deployment: str = DEPLOYMENT) -> None:
        """Parse an address, in a form that `redis_url` knows. Nothing is sent yet.

        Args:
            url: the address.
            deployment: its name, the hash tag of all keys.

        Raises:
            StartError: the address is invalid.
        """
        self.names = Names(deployment)
        try:
            self._pool = open_pool(url, self.names.probe)
            self.clustered = read_cluster(url) is not None
        except ValueError as error:
            raise StartError(
                "the address of the ledger cannot be used; write it as redis://host:6379/0, unix:///path.sock, "
                "redis+sentinel://host:26379,host:26379/service, or redis+cluster://host:6379,host:6379"
            ) from error
        self._redis = Redis(connection_pool=self._pool)
        self._scripts: dict[str, Script] = {}
        self._ready = _ReadyConnections(self._pool)

    def call(self, *command: Argument) -> Any:
        """Send one command; return redis-py's reply, with text as bytes.

        Raises:
            LedgerUnavailableError: as every method here; the text says what to do.
        """
        # redis-py has no types here
        return self._sent(lambda: self._redis.execute_command(*command))  # type: ignore[no-untyped-call]

    def call_if_allowed(self, *command: Argument) -> Any:
        """`call`, but return None if the user may not send this command, or the server does not offer it."""
        return _if_allowed(lambda: self.call(*command))

    def info(self, *section: str) -> Mapping[str, Any] | None:
        """Return the reply to INFO of the server that has the keys; None if the user may not send it.

        Any node of a cluster would answer INFO: the key in the same transaction makes one that has it no more say so.
        """
        if not self.clustered:
            reply: Mapping[str, Any] | None = self.call_if_allowed("INFO", *section)
            return reply
        replies = _if_allowed(lambda: self.read(("EXISTS", self.names.probe), ("INFO", *section)))
        return None if replies is None else replies[1]

    def refusal_of(self, *commands: Sequence[Argument]) -> str | None:
        """Send commands one after the other; return why the server refuses one, or None."""
        try:
            for command in commands:
                self.call(*command)
        except LedgerUnavailableError as error:
            if isinstance(error.__cause__, redis_errors.ConnectionError | redis_errors.TimeoutError):
                raise
            return str(error)
        return None

    def atomically(self, *commands: Sequence[Argument]) -> list[Any]:
        """Send several commands as one transaction."""
        return self._sent(lambda: self._pipeline(commands, transaction=True))

    def read(self, *commands: Sequence[Argument]) -> list[Any]:
        """Send several commands that only read, as one transaction if possible.

        Redis that is out of memory rejects every transaction, even one that only reads.
        """

        def send() -> list[Any]:
            try:
                return self._pipeline(commands, transaction=True)
            except redis_errors.OutOfMemoryError:
                return self._pipeline(commands, transaction=False)

        return self._sent(send)

    def _pipeline(self, commands: Sequence[Sequence[Argument]], *, transaction: bool) -> list[Any]:
        with self._redis.pipeline(transaction=transaction) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # as above
            return pipeline.execute()

    def run(self, name: str, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """Run a script of `scripts/`, which is loaded if the server does not have it."""
        script = self._scripts.get(name) or self._register(name)
        words = ("EVALSHA", script.sha, len(keys), *keys, *arguments)
        command = pack_command(words)  # type: ignore[arg-type]  # declared for tuples of one
        try:
            return self._ready.ask(command)
        except (redis_errors.NoScriptError, redis_errors.MovedError):
            return self._sent(lambda: script(keys, arguments))  # which loads it
        except redis_errors.RedisError as raised:
            raise self._translated(raised) from raised

    def close(self) -> None:
        """Close all connections."""
        self._pool.disconnect()

    def _sent(self, send: Callable[[], _Reply]) -> _Reply:
        """Send something; in a cluster, again to the node that another one names, which has run nothing of it."""
        try:
            for _ in range(_REDIRECTIONS if self.clustered else 0):
                try:
                    return send()
                except redis_errors.MovedError:
                    continue  # connections to the former node are made anew when they are taken
            return send()
        except redis_errors.RedisError as raised:
            raise self._translated(raised) from raised

    def _leave(self) -> None:
        """Close connections that are not in use. Other threads close theirs when they get the same answer."""
        self._ready.release()
        # They are taken out meanwhile: the pool's own method would close one that a thread takes at the same moment.
        idle: list[Connection | None] = []
        with suppress(queue.Empty):
            while True:
                idle.append(self._pool.pool.get_nowait())
        for connection in reversed(idle):
            if connection is not None:
                connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py has no types here
            self._pool.pool.put_nowait(connection)

    def _translated(self, raised: redis_errors.RedisError) -> LedgerUnavailableError:
        error = _unwrapped(raised)
        if isinstance(error, _LEAVE):
            # A primary that was demoted keeps its connections, and would answer like this forever. A new connection
            # goes where the address, or the Sentinels, point now.
            self._leave()
        return LedgerUnavailableError(_remedy(error, self.names.deployment, self.clustered))

    def _register(self, name: str) -> Script:
        script = self._scripts[name] = self._redis.register_script(script_source(name))
        return script


class _ReadyConnections:
    """Connections of the pool that are kept for scripts, of which each message needs several.

    redis-py takes more CPU time to hand out a connection, pack a command and record what it did than the rest of such
    a request costs. How a connection is made, and its reply read, is still its business. Threads may share this.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._idle: deque[Connection] = deque()

    def ask(self, command: bytes) -> Any:
        """Send a packed command and return its reply; with one retry on a new connection, as in all of redis-py."""
        connection = self._take()
        try:
            return _exchange(connection, command)
        except _LOST:
            self.release()  # probably they lead to the same lost server: the pool checks them
            time.sleep(RETRY_SECONDS)
            return _exchange(connection, command)
        finally:
            self._keep(connection)

    def _take(self) -> Connection:
        while self._idle:
            try:
                kept = self._idle.pop()
            except IndexError:
                break  # another thread took the last one
            if kept.pid == os.getpid():  # else it belongs to the process that forked this one
                return kept
        taken: Connection = self._pool.get_connection()
        _wait_in_kernel(taken)
        return taken

    def _keep(self, connection: Connection) -> None:
        if len(self._idle) < READY_CONNECTIONS:
            self._idle.append(connection)
        else:
            self._give_back(connection)

    def release(self) -> None:
        """Give the connections back to the pool."""
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                connection = self._idle.pop()
                if connection.pid == os.getpid():
                    self._give_back(connection)

    def _give_back(self, connection: Connection) -> None:
        sock: Any = connection._sock  # noqa: SLF001 - redis-py has no way to set options after it has connected
        if sock is not None:
            sock.settimeout(connection.socket_timeout)
        self._pool.release(connection)


def _exchange(connection: Connection, command: bytes) -> Any:
    """Send a command and return its reply. A connection that gets none is closed, and connects when used again."""
    try:
        if not connection.is_connected:
            # Sending would connect as well, but to the same server again, without asking the Sentinels.
            connection.connect()  # type: ignore[no-untyped-call]  # redis-py has no types here
            _wait_in_kernel(connection)
        connection.send_packed_command((command,))  # type: ignore[no-untyped-call]  # as above
        return connection.read_response()
    except redis_errors.ResponseError:
        raise
    except BaseException as error:
        # Whatever interrupted it, such as the time limit of a task: the next command must not get this one's reply.
        connection.disconnect()  # type: ignore[no-untyped-call]  # as above
        if isinstance(error.__context__, BlockingIOError):
            raise redis_errors.TimeoutError("no reply in time") from error
        raise


def _wait_in_kernel(connection: Connection) -> None:
    sock: Any = connection._sock  # noqa: SLF001 - as above
    seconds = connection.socket_timeout
    if sock is not None and seconds is not None and not isinstance(connection, SSLConnection):
        wait_in_kernel(sock, send=seconds, receive=seconds)


def script_source(name: str) -> str:
    """A script of `scripts/`, behind the files that it includes, and those that they include, each once.

    A file names what it includes in a line such as `-- Include: claims, append`.
    """
    sources: dict[str, str] = {}

    def add(file: str) -> None:
        if file in sources:
            return
        text = (_SCRIPTS / f"{file}.lua").read_text("utf-8")
        if (found := _INCLUDE.search(text)) is not None:
            for included in found[1].split(", "):
                add(included)
        sources[file] = text

    add(name)
    return "\n".join(sources.values())


def _unwrapped(error: redis_errors.RedisError) -> redis_errors.RedisError:
    """Return the error of the command that failed inside a script; the same error if it is none of a script."""
    found = _IN_SCRIPT.match(str(error))
    return error if found is None else _KINDS[found[2]](found[1])


def _if_allowed(send: Callable[[], _Reply]) -> _Reply | None:
    """Return None if the user may not send a command, or the server does not offer it."""
    try:
        return send()
    except LedgerUnavailableError as error:
        cause = error.__cause__
        if isinstance(cause, redis_errors.NoPermissionError) or "unknown command" in str(cause).lower():
            return None
        raise


def _remedy(error: redis_errors.RedisError, deployment: str, clustered: bool) -> str:  # noqa: FBT001 - private
    if str(error).startswith("MISCONF"):
        return "the ledger cannot write to its disk; free space there, and check its log"
    if clustered and isinstance(error, redis_errors.MovedError):
        return "the nodes of the cluster disagree about which of them has the ledger's slot; wait until they agree"
    for kinds, text in _REMEDIES:
        if isinstance(error, kinds):
            return text.format(error=error, deployment=deployment)
    return f"the ledger rejected a command: {error}"
