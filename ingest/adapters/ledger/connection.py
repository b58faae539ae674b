"""The connection to Redis: one pool; every exception of redis-py is translated here, and nowhere else."""

from __future__ import annotations

import os
import re
from collections import deque
from contextlib import contextmanager, suppress
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis import BlockingConnectionPool, ConnectionPool, Redis
from redis import exceptions as redis_errors
from redis.backoff import ExponentialBackoff
from redis.connection import SSLConnection
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedSSLConnection

from ingest.adapters.ledger.address import login_options, redis_url, tls_options
from ingest.adapters.ledger.names import DEPLOYMENT, Names
from ingest.domain.sentinels import read_sentinels
from ingest.errors import LedgerUnavailableError, StartError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from redis.commands.core import Script
    from redis.connection import Connection

Argument = str | bytes | int

# More than the threads of any process. A thread that finds all of them in use waits instead of failing.
MAX_CONNECTIONS = 128
POOL_WAIT_SECONDS = 20
CONNECT_SECONDS = 5
SENTINEL_SECONDS = 2
# A server that rewrites or syncs its append-only file on a slow disk may pause for seconds.
REPLY_SECONDS = 15
HEALTH_CHECK_SECONDS = 30
# Connections that are kept for scripts; most of the others must be left to the pool.
READY_CONNECTIONS = 16

_SCRIPTS = resources.files("ingest.adapters.ledger") / "scripts"
_INCLUDE = re.compile(r"^-- Include: (.+)$", re.MULTILINE)


class _NoTlsError(redis_errors.RedisError):
    """The server does not answer the TLS handshake. Not a `ConnectionError`, which would be retried."""


_REMEDIES: tuple[tuple[type[redis_errors.RedisError], str], ...] = (
    (
        redis_errors.AuthenticationError,
        "the ledger rejects the user or the password; correct them in the address of the ledger",
    ),
    (
        redis_errors.NoPermissionError,
        "the ledger's user has too few permissions; allow it scripts, and all commands on keys {{{deployment}}}:*",
    ),
    (
        _NoTlsError,
        (
            "the ledger does not answer the TLS handshake, so this port probably expects connections without TLS; "
            "use redis:// instead of rediss://, or the port for TLS"
        ),
    ),
    (
        redis_errors.MovedError,
        (
            "the ledger is a node of a Redis Cluster, which Mailhaul cannot use; set the address of a server without "
            "cluster mode"
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
        try:
            self._pool = _pool(url)
        except ValueError as error:
            raise StartError(
                "the address of the ledger cannot be used; write it as redis://host:6379/0, unix:///path.sock, or "
                "redis+sentinel://host:26379,host:26379/service"
            ) from error
        self._redis = Redis(connection_pool=self._pool)
        self.names = Names(deployment)
        self._scripts: dict[str, Script] = {}
        self._ready = _ReadyConnections(self._pool)

    def call(self, *command: Argument) -> Any:
        """Send one command; return redis-py's reply, with text as bytes.

        Raises:
            LedgerUnavailableError: as every method here; the text says what to do.
        """
        with self._translated():
            return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py has no types here

    def call_if_allowed(self, *command: Argument) -> Any:
        """`call`, but return None if the user may not send this command, or the server does not offer it."""
        try:
            return self.call(*command)
        except LedgerUnavailableError as error:
            cause = error.__cause__
            if isinstance(cause, redis_errors.NoPermissionError) or "unknown command" in str(cause).lower():
                return None
            raise

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
        with self._translated():
            return self._pipeline(commands, transaction=True)

    def read(self, *commands: Sequence[Argument]) -> list[Any]:
        """Send several commands that only read, as one transaction if possible.

        Redis that is out of memory rejects every transaction, even one that only reads.
        """
        with self._translated():
            try:
                return self._pipeline(commands, transaction=True)
            except redis_errors.OutOfMemoryError:
                return self._pipeline(commands, transaction=False)

    def _pipeline(self, commands: Sequence[Sequence[Argument]], *, transaction: bool) -> list[Any]:
        with self._redis.pipeline(transaction=transaction) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # as above
            return pipeline.execute()

    def run(self, name: str, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """Run a script of `scripts/`, which is loaded if the server does not have it."""
        with self._translated():
            script = self._script(name)
            try:
                return self._ready.ask(packed("EVALSHA", script.sha, len(keys), *keys, *arguments))
            except redis_errors.NoScriptError:
                return script(keys, arguments)

    def close(self) -> None:
        """Close all connections."""
        self._pool.disconnect()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except redis_errors.RedisError as raised:
            error = _unwrapped(raised)
            if isinstance(error, redis_errors.ReadOnlyError | redis_errors.MovedError):
                # A primary that was demoted keeps its connections, and would answer like this forever. A new
                # connection goes where the address, or the Sentinels, point now. Other threads close their own.
                self._ready.release()
                self._pool.disconnect(inuse_connections=False)
            raise LedgerUnavailableError(_remedy(error, self.names.deployment)) from raised

    def _script(self, name: str) -> Script:
        if name not in self._scripts:
            self._scripts[name] = self._redis.register_script(script_source(name))
        return self._scripts[name]


class _ReadyConnections:
    """Connections of the pool that are kept for scripts, of which each message needs several.

    redis-py takes more CPU time to hand out a connection, pack a command and record what it did than the rest of such
    a request costs. How a connection is made, and its reply read, is still its business. Threads may share this.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._idle: deque[tuple[int, Connection]] = deque()

    def ask(self, command: bytes) -> Any:
        """Send a packed command and return its reply; with one retry on a new connection, as in all of redis-py."""
        connection = self._take()
        try:
            reply = connection.retry.call_with_retry(
                lambda: _exchange(connection, command), lambda _: self._drop(connection)
            )
        except redis_errors.ResponseError:
            self._keep(connection)
            raise
        except BaseException:
            self._pool.release(connection)
            raise
        self._keep(connection)
        return reply

    def _keep(self, connection: Connection) -> None:
        if len(self._idle) < READY_CONNECTIONS:
            self._idle.append((os.getpid(), connection))
        else:
            self._pool.release(connection)

    def _drop(self, connection: Connection) -> None:
        """Disconnect; give back the others, which probably lead to the same lost server: the pool checks them."""
        connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py has no types here
        self.release()

    def release(self) -> None:
        """Give the connections back to the pool."""
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                pid, connection = self._idle.pop()
                if pid == os.getpid():
                    self._pool.release(connection)

    def _take(self) -> Connection:
        while self._idle:
            with suppress(IndexError):
                pid, connection = self._idle.pop()
                if pid == os.getpid():  # else it belongs to the process that forked this one
                    return connection
        taken: Connection = self._pool.get_connection()
        return taken


def _exchange(connection: Connection, command: bytes) -> Any:
    try:
        # Sending would connect as well, but to the same server again, without asking the Sentinels for the primary.
        connection.connect()  # type: ignore[no-untyped-call]  # redis-py has no types here
        connection.send_packed_command((command,))  # type: ignore[no-untyped-call]  # as above
        return connection.read_response()
    except redis_errors.ResponseError:
        raise
    except BaseException:
        # Whatever interrupted it, such as the time limit of a task: the next command must not get this one's reply.
        connection.disconnect()  # type: ignore[no-untyped-call]  # as above
        raise


def packed(*command: Argument) -> bytes:
    """Return a command in the form in which it is sent (RESP)."""
    parts = [b"*%d\r\n" % len(command)]
    for word in command:
        part = word.encode() if isinstance(word, str) else b"%d" % word if isinstance(word, int) else word
        parts.append(b"$%d\r\n%b\r\n" % (len(part), part))
    return b"".join(parts)


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary that the Sentinels name. A thread waits for one if all are in use."""


class _TlsHandshake(SSLConnection):
    """Limits the handshake to the time for connecting: a port without TLS would never answer."""

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> Any:
        before = sock.gettimeout()
        sock.settimeout(CONNECT_SECONDS)
        try:
            wrapped = super()._wrap_socket_with_ssl(sock)  # type: ignore[no-untyped-call]  # redis-py has no types here
        except TimeoutError as error:
            sock.close()
            raise _NoTlsError from error
        wrapped.settimeout(before)
        return wrapped


class _SentinelTlsHandshake(_TlsHandshake, SentinelManagedSSLConnection):
    """The same for a primary that Sentinels name."""


def _pool(url: str) -> ConnectionPool:
    options: dict[str, Any] = {
        "max_connections": MAX_CONNECTIONS,
        "timeout": POOL_WAIT_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": REPLY_SECONDS,
        "health_check_interval": HEALTH_CHECK_SECONDS,
        # One retry replaces a connection that a restart broke. Scripts may therefore run twice; the fence keeps the
        # second run from changing anything.
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 1),
        "protocol": 2,
        "decode_responses": False,
    }
    sentinels = read_sentinels(url)
    if sentinels is None:
        if redis_url(url).startswith("rediss://"):
            options["connection_class"] = _TlsHandshake
        return BlockingConnectionPool.from_url(redis_url(url), **options)
    tls = tls_options(sentinels)
    asked = {**login_options(sentinels.sentinel_login), **tls, "protocol": 2}
    # Short timeouts, so that a Sentinel that is down does not delay the others.
    manager = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types here
        sentinels.hosts,
        sentinel_kwargs={"socket_connect_timeout": SENTINEL_SECONDS, "socket_timeout": SENTINEL_SECONDS, **asked},
    )
    served = {**login_options(sentinels.login), **tls, "db": sentinels.database}
    if tls:
        served["connection_class"] = _SentinelTlsHandshake
    return _SentinelPool(sentinels.service, manager, **options, **served)  # type: ignore[no-untyped-call]  # as above


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


def _remedy(error: redis_errors.RedisError, deployment: str) -> str:
    if str(error).startswith("MISCONF"):
        return "the ledger cannot write to its disk; free space there, and check its log"
    for kind, text in _REMEDIES:
        if isinstance(error, kind):
            return text.format(error=error, deployment=deployment)
    return f"the ledger rejected a command: {error}"
