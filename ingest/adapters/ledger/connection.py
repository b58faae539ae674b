"""The border to Redis: one pool of connections; every exception of redis-py is translated here and nowhere else."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis import BlockingConnectionPool, ConnectionPool, Redis
from redis import exceptions as redis_errors
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from ingest.adapters.ledger.address import login_options, redis_url, tls_options
from ingest.domain.sentinels import read_sentinels
from ingest.errors import LedgerUnavailableError, StartError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis.commands.core import Script

Argument = str | bytes | int

# More than the threads of any of our processes; one more waits for a connection instead of failing.
MAX_CONNECTIONS = 128
POOL_WAIT_SECONDS = 20
CONNECT_SECONDS = 5
SENTINEL_SECONDS = 2
# A server that rewrites or syncs its append-only file on a slow disk may pause for seconds.
REPLY_SECONDS = 15
HEALTH_CHECK_SECONDS = 30

_REMEDIES: tuple[tuple[type[redis_errors.RedisError], str], ...] = (
    (
        redis_errors.AuthenticationError,
        "the ledger refuses the user or the password; correct them in the address of the ledger",
    ),
    (
        redis_errors.NoPermissionError,
        "this user may not do what Mailhaul needs; let it run scripts and all commands on keys {{mailhaul}}:*",
    ),
    (redis_errors.BusyLoadingError, "the ledger is loading its data after a start; wait until it has"),
    (redis_errors.OutOfMemoryError, "the ledger is out of memory; give it more (maxmemory)"),
    (redis_errors.ReadOnlyError, "this ledger is a replica that takes no writes; set the address of the primary"),
    (redis_errors.MaxConnectionsError, "all connections to the ledger are in use; it answers too slowly"),
    (redis_errors.TimeoutError, "the ledger does not answer in time; look at its load, or at the network"),
    (redis_errors.ConnectionError, "the ledger cannot be reached; start it, or correct its address ({error})"),
)


class RedisConnection:
    """Sends commands and scripts, from any number of threads."""

    def __init__(self, url: str) -> None:
        """Take an address as `redis_url` knows it; nothing is sent yet.

        Raises:
            StartError: this is no such address.
        """
        try:
            self._pool = _pool(url)
        except ValueError as error:
            raise StartError(
                "the address of the ledger cannot be used; write it as redis://host:6379/0, unix:///path.sock, or "
                "redis+sentinel://host:26379,host:26379/service"
            ) from error
        self._redis = Redis(connection_pool=self._pool)
        self._scripts: dict[str, Script] = {}

    def call(self, *command: Argument) -> Any:
        """Send one command; the answer is redis-py's, with text as bytes.

        Raises:
            LedgerUnavailableError: as for everything here; the text says what to do.
        """
        with _translated():
            return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py has no types here

    def call_if_allowed(self, *command: Argument) -> Any:
        """As `call`, but None where this user may not send this command."""
        try:
            return self.call(*command)
        except LedgerUnavailableError as error:
            if isinstance(error.__cause__, redis_errors.NoPermissionError):
                return None
            raise

    def atomically(self, *commands: Sequence[Argument]) -> list[Any]:
        """Send several commands that no other client's can come between."""
        with _translated(), self._redis.pipeline(transaction=True) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # as above
            return pipeline.execute()

    def run(self, name: str, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """Run a script of `scripts/`; it is loaded (again) when the server does not know it."""
        with _translated():
            return self._script(name)(keys, arguments)

    def close(self) -> None:
        """Let go of all connections."""
        self._pool.disconnect()

    def _script(self, name: str) -> Script:
        if name not in self._scripts:
            self._scripts[name] = self._redis.register_script(_source(name))
        return self._scripts[name]


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary that Sentinels name; one more than there may be waits, as with other pools."""


def _pool(url: str) -> ConnectionPool:
    options: dict[str, Any] = {
        "max_connections": MAX_CONNECTIONS,
        "timeout": POOL_WAIT_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": REPLY_SECONDS,
        "health_check_interval": HEALTH_CHECK_SECONDS,
        # One more try mends a connection that a restart broke. Every script may run twice: a fence lets the second
        # change nothing.
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 1),
        "protocol": 2,
        "decode_responses": False,
    }
    sentinels = read_sentinels(url)
    if sentinels is None:
        return BlockingConnectionPool.from_url(redis_url(url), **options)
    tls = tls_options(sentinels)
    asked = {**login_options(sentinels.sentinel_login), **tls, "protocol": 2}
    # A Sentinel that is down must not take the time of those that are up.
    manager = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types here
        sentinels.hosts,
        sentinel_kwargs={"socket_connect_timeout": SENTINEL_SECONDS, "socket_timeout": SENTINEL_SECONDS, **asked},
    )
    served = {**login_options(sentinels.login), **tls, "db": sentinels.database}
    return _SentinelPool(sentinels.service, manager, **options, **served)  # type: ignore[no-untyped-call]  # as above


_OF_THE_STREAM = {"begin", "ensure_group", "erase", "ids", "read", "lag", "trim"}


def _source(name: str) -> str:
    files = ("common", "stream", name) if name in _OF_THE_STREAM else ("common", name)
    scripts = resources.files("ingest.adapters.ledger") / "scripts"
    return "\n".join((scripts / f"{file}.lua").read_text("utf-8") for file in files)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except redis_errors.RedisError as error:
        raise LedgerUnavailableError(_remedy(error)) from error


def _remedy(error: redis_errors.RedisError) -> str:
    if str(error).startswith("MISCONF"):
        return "the ledger cannot write to its disk; make room there, and look into its log"
    for kind, text in _REMEDIES:
        if isinstance(error, kind):
            return text.format(error=error)
    return f"the ledger refused a command: {error}"
