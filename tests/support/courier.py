"""A real Courier POP3 server, run from a folder of its own on loopback.

The programs that a client talks to are Courier's: `courierpop3login`, which becomes `courierpop3d` after a successful
login. This module replaces inetd, which starts one for each connection, and `authdaemond`, which checks passwords: it
speaks that daemon's protocol on the path that is compiled into Courier's library. The path is below /run, so root is
needed.

Facts about Courier 1.0 (held by tests):
- it announces PIPELINING, but loses whatever arrives with PASS: the login program reads ahead, and does not pass that
  on;
- it does not lock a maildrop, so any number of sessions may be open at once;
- it answers +OK to QUIT before it removes anything, and does not report what it could not remove;
- it expects lines of files to end with LF, and sends CRLF.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROGRAMS = Path(__file__).parents[2] / ".tools" / "courier" / "usr" / "lib"
_RUN = Path("/run/courier/authdaemon")


def _missing(why: str) -> NoReturn:
    text = f"Courier cannot be run: {why}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


class Courier:
    """One server: POP3 without TLS on `port` of 127.0.0.1.

    Args:
        folder: holds all its files; an unprivileged user must be able to traverse the folders above.

    Attributes:
        connections: the number of connections so far.
        passwords_known: whether Courier can find out if a password is right.
    """

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.connections = 0
        self.passwords_known = True
        self._folder = folder
        self._library = folder / "lib"
        shutil.copytree(_PROGRAMS, self._library, symlinks=True)
        self._account = pwd.getpwnam("nobody")
        self._passwords: dict[str, str] = {}
        self._delivered = 0
        self._sessions: list[subprocess.Popen[bytes]] = []
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self._doorman = socket.socket(socket.AF_UNIX)

    @property
    def log(self) -> str:
        """The content of its log."""
        return (self._folder / "log").read_text(errors="replace")

    def add_user(self, name: str, password: str) -> None:
        """Make an empty maildrop; also while the server runs."""
        for part in ("tmp", "new", "cur"):
            (self._maildir(name) / part).mkdir(parents=True)
            self.own(name, part)
        os.chown(self._maildir(name), self._account.pw_uid, self._account.pw_gid)
        self._passwords[name] = password

    def deliver(self, user: str, raw: bytes) -> None:
        """Put a message into a maildrop, behind all that are there. CRLF becomes LF, as a delivery agent does it."""
        self._delivered += 1
        path = self._maildir(user) / "tmp" / f"{1_764_000_000 + self._delivered}.M1P1.localhost"
        path.write_bytes(raw.replace(b"\r\n", b"\n"))
        os.chown(path, self._account.pw_uid, self._account.pw_gid)
        path.rename(self._maildir(user) / "new" / path.name)

    def maildrop(self, user: str) -> list[bytes]:
        """The content of every message file in a maildrop, the oldest first."""
        files = {path.name: path for part in ("new", "cur") for path in (self._maildir(user) / part).iterdir()}
        return [files[name].read_bytes() for name in sorted(files)]

    def forbid_removal(self, user: str) -> None:
        """Prevent sessions from removing messages of a maildrop that are not new."""
        os.chown(self._maildir(user) / "cur", 0, 0)

    def own(self, user: str, part: str = "cur") -> None:
        """Let sessions change a part of a maildrop."""
        os.chown(self._maildir(user) / part, self._account.pw_uid, self._account.pw_gid)

    def sessions(self) -> int:
        """The number of open sessions."""
        return sum(session.poll() is None for session in self._sessions)

    def start(self) -> None:
        """Accept connections."""
        _RUN.mkdir(parents=True, exist_ok=True)
        (_RUN / "socket").unlink(missing_ok=True)
        self._doorman.bind(str(_RUN / "socket"))
        self._doorman.listen(100)
        for target in (self._answer_all, self._serve_all):
            thread = threading.Thread(target=target, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop it and all sessions."""
        self._over.set()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(_RUN / "socket"))
        for thread in self._threads:
            thread.join()
        for session in self._sessions:
            session.kill()
            session.wait(PATIENCE)
        self._listener.close()
        self._doorman.close()
        (_RUN / "socket").unlink(missing_ok=True)

    def _maildir(self, user: str) -> Path:
        return self._folder / "mail" / user / "Maildir"

    def _serve_all(self) -> None:
        """Start a process for each connection, as inetd does."""
        environment = {
            "PATH": os.environ["PATH"],
            "LD_LIBRARY_PATH": f"{self._library}:{self._library / 'x86_64-linux-gnu'}",
            "PROTOCOL": "pop3",
            "TCPREMOTEIP": "127.0.0.1",
            "TCPREMOTEPORT": "1",
            "TCPLOCALPORT": str(self.port),
        }
        programs = self._library / "courier" / "courier"
        with (self._folder / "log").open("ab") as log:
            while True:
                client, _ = self._listener.accept()
                with client:
                    if self._over.is_set():
                        return
                    self.connections += 1
                    command = [str(programs / "courierpop3login"), str(programs / "courierpop3d"), "Maildir"]
                    self._sessions.append(
                        subprocess.Popen(
                            command, stdin=client.fileno(), stdout=client.fileno(), stderr=log, env=environment
                        )
                    )

    def _answer_all(self) -> None:
        """Answer one authentication request on each connection, as `authdaemond` does."""
        while True:
            client, _ = self._doorman.accept()
            with client:
                if self._over.is_set():
                    return
                with suppress(OSError, ValueError):  # the client disconnected
                    client.settimeout(PATIENCE)
                    answer = self._answer(client)  # closing before the request was read kills Courier
                    if self.passwords_known:
                        client.sendall(answer)

    def _answer(self, client: socket.socket) -> bytes:
        """Answer a request: lines NAME=VALUE, then `AUTH bytes`, and that many bytes, a line for each word."""
        with client.makefile("rb") as reader:
            while (line := reader.readline()) and not line.startswith(b"AUTH "):
                pass
            _, kind, user, password = reader.read(int(line.split()[1])).decode().splitlines()
        if kind != "login" or self._passwords.get(user) != password:
            return b"FAIL\n"
        home = self._maildir(user).parent
        uid, gid = self._account.pw_uid, self._account.pw_gid
        return f"UID={uid}\nGID={gid}\nHOME={home}\nADDRESS={user}\nMAILDIR={home}/Maildir\n.\n".encode()


@contextmanager
def running_courier() -> Iterator[Courier]:
    """Run a Courier; skip the test, or fail it in CI, if it cannot be run."""
    if not _PROGRAMS.is_dir():
        _missing("it is not there; `tests/install-courier` unpacks it on Debian")
    if os.geteuid() != 0:
        _missing("it takes root to make /run/courier")
    with ExitStack() as stack:
        # Only one at a time on a machine, because the path of the authentication socket is compiled in.
        lock = stack.enter_context(Path("/run/mailhaul-courier.lock").open("wb"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mailhaul-courier-"))
        server = Courier(Path(folder))
        stack.callback(server.stop)
        server.start()
        yield server


@pytest.fixture(scope="module")
def courier() -> Iterator[Courier]:
    """One running Courier for all tests of a module; each test adds users of its own."""
    with running_courier() as server:
        yield server


def at_rest(server: Courier) -> None:
    """Wait until every session has ended."""
    eventually(lambda: not server.sessions(), "a session of Courier goes on")
