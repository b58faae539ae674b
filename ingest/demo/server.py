"""A small POP3 server for the demonstration and for tests: one folder of `.eml` files for each user.

It speaks RFC 1939 without APOP and RFC 2449 with PIPELINING, and TLS from the start if it is given a context. It is
correct, and made for nobody but this machine: it binds to loopback, unless `reachable` is set.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from pathlib import Path

# A command is at most 255 bytes long (RFC 2449 section 4).
_COMMAND_BYTES = 255
_CAPABILITIES = ("TOP", "UIDL", "USER", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER")
_IMPLEMENTATION = "IMPLEMENTATION Mailhaul-Demo"


class DemoServer:
    """Serves `<folder>/<user>/*.eml`, sorted by name; the unique-id is the file's name without its suffix.

    Args:
        folder: one folder in it for each user.
        passwords: by user; nobody else can log in.
        host: a loopback address, unless `reachable`.
        port: 0 for any that is free; `port` says which, once started.
        tls_context: for TLS from the start.
        idle: seconds of silence after which a session ends without UPDATE (RFC 1939 section 3: 10 minutes).
        lock_seconds: how long a login waits for another session to release the maildrop, as Dovecot does. A client
            that does not wait for the answer to QUIT may log in again before the server has read it.
        reachable: let other machines in, to nothing but made-up mail.
    """

    def __init__(
        self,
        folder: Path,
        passwords: Mapping[str, str],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls_context: ssl.SSLContext | None = None,
        idle: float = 600.0,
        lock_seconds: float = 10.0,
        reachable: bool = False,
    ) -> None:
        if not reachable and not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"the demonstration server serves loopback only, not {host}")
        self.host = host
        self.port = port
        self._accounts = _Accounts(folder, passwords, lock_seconds)
        self._tls_context = tls_context
        self._idle = idle
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._sessions: dict[threading.Thread, socket.socket] = {}
        self._listener: socket.socket | None = None
        self._acceptor = threading.Thread(target=self._accept, name="demo-pop3", daemon=True)

    def start(self) -> None:
        """Listen, and serve in background threads. A server can be started once."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family)
        self.port = self._listener.getsockname()[1]
        self._acceptor.start()

    def stop(self) -> None:
        """End all sessions, without UPDATE, and wait for the threads."""
        if self._listener is None:
            return
        self._stopping.set()
        with suppress(OSError):  # wakes `accept`, which cannot be interrupted everywhere
            socket.create_connection((self.host, self.port), timeout=1).close()
        self._acceptor.join()
        self._listener.close()
        self._listener = None
        with self._lock:
            sessions = dict(self._sessions)
        for sock in sessions.values():
            _hang_up(sock)
        for thread in sessions:
            thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            sock, _ = self._listener.accept()
            if self._stopping.is_set():
                sock.close()
                return
            thread = threading.Thread(target=self._serve, args=(sock,), name="demo-pop3-session", daemon=True)
            with self._lock:
                self._sessions[thread] = sock
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(self._idle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._converse(sock)
        except OSError:  # the client went away, fell silent or failed the handshake
            pass
        finally:
            sock.close()
            with self._lock:
                self._sessions.pop(threading.current_thread(), None)

    def _converse(self, sock: socket.socket) -> None:
        if self._tls_context is None:
            _Session(self._accounts, sock).run()
            return
        # `stop` holds the plain socket: a duplicate shares its connection, so hanging up reaches both.
        with self._tls_context.wrap_socket(sock.dup(), server_side=True) as secured:
            _Session(self._accounts, secured).run()


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):  # not connected any more
        sock.shutdown(socket.SHUT_RDWR)


class _Accounts:
    """Users, their folders, and who is logged in: one session for each maildrop (RFC 1939 section 4)."""

    def __init__(self, folder: Path, passwords: Mapping[str, str], lock_seconds: float) -> None:
        self._folder = folder
        self._passwords = dict(passwords)
        self._lock_seconds = lock_seconds
        self._busy: set[str] = set()
        self._released = threading.Condition()

    def enter(self, user: str, password: str) -> None:
        known = self._passwords.get(user)
        if known is None or not hmac.compare_digest(known.encode(), password.encode()):
            raise _RefusedError("[AUTH] Wrong user name or password")
        with self._released:
            if not self._released.wait_for(lambda: user not in self._busy, self._lock_seconds):
                raise _RefusedError("[IN-USE] The maildrop is in use")
            self._busy.add(user)

    def mail(self, user: str) -> list[_Mail]:
        return [_Mail(path, _size(path)) for path in sorted((self._folder / user).glob("*.eml"))]

    def leave(self, user: str) -> None:
        with self._released:
            self._busy.discard(user)
            self._released.notify_all()


@dataclass
class _Mail:
    path: Path
    size: int
    deleted: bool = False

    def as_bytes(self) -> bytes:
        data = self.path.read_bytes()
        return data if data.endswith(b"\r\n") else data + b"\r\n"


def _size(path: Path) -> int:
    """Return the bytes as sent: with the final CRLF, which a file may lack."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 2))
        return end if file.read() == b"\r\n" else end + 2


class _RefusedError(Exception):
    """A refusal, answered as -ERR with this text."""


@dataclass
class _Session:
    """One client session, from greeting to QUIT."""

    accounts: _Accounts
    sock: socket.socket
    name: str = ""
    logged_in: bool = False
    mail: list[_Mail] = field(default_factory=list)

    def run(self) -> None:
        """Answer commands until QUIT or the end of the stream."""
        self._say("+OK Mailhaul demonstration server")
        try:
            with self.sock.makefile("rb") as reader:
                while line := reader.readline(_COMMAND_BYTES + 1):
                    if not line.endswith(b"\n"):
                        self._say("-ERR The command is too long")
                        return
                    if not self._answer(line.decode(errors="replace").rstrip("\r\n")):
                        return
        finally:
            self._leave()

    def _leave(self) -> None:
        if self.logged_in:
            self.accounts.leave(self.name)
            self.logged_in = False

    def _answer(self, line: str) -> bool:
        """Answer one command; False after QUIT."""
        verb, _, rest = line.partition(" ")
        verb = verb.upper()
        try:
            (_AFTER_LOGIN if self.logged_in else _BEFORE_LOGIN).get(verb, _Session.unknown)(self, rest)
        except _RefusedError as error:
            self._say(f"-ERR {error}")
        except FileNotFoundError:
            self._say("-ERR The message is gone")
        return verb != "QUIT"

    def unknown(self, _: str) -> None:
        raise _RefusedError("Unknown command, or not now")

    def capa(self, _: str) -> None:
        self._list_out(*_CAPABILITIES, _IMPLEMENTATION)

    def user(self, rest: str) -> None:
        self.name = rest
        self._say("+OK")

    def pass_(self, rest: str) -> None:
        self.accounts.enter(self.name, rest)
        self.logged_in = True
        self.mail = self.accounts.mail(self.name)
        self._say("+OK Logged in")

    def stat(self, _: str) -> None:
        there = [mail for mail in self.mail if not mail.deleted]
        self._say(f"+OK {len(there)} {sum(mail.size for mail in there)}")

    def list_(self, rest: str) -> None:
        self._table(rest, lambda mail: str(mail.size))

    def uidl(self, rest: str) -> None:
        self._table(rest, lambda mail: mail.path.stem)

    def _table(self, rest: str, column: Callable[[_Mail], str]) -> None:
        if rest:
            self._say(f"+OK {rest} {column(self._mail(rest))}")
            return
        rows = [f"{number} {column(mail)}" for number, mail in enumerate(self.mail, 1) if not mail.deleted]
        self._list_out(*rows)

    def retr(self, rest: str) -> None:
        self._send(self._mail(rest).as_bytes())

    def top(self, rest: str) -> None:
        number, _, count = rest.partition(" ")
        if not count.isdecimal():
            raise _RefusedError("TOP wants two numbers")
        header, blank, body = self._mail(number).as_bytes().partition(b"\r\n\r\n")
        lines = body.split(b"\r\n")[:-1][: int(count)]
        self._send(header + blank + b"".join(line + b"\r\n" for line in lines))

    def dele(self, rest: str) -> None:
        self._mail(rest).deleted = True
        self._say("+OK Marked")

    def rset(self, _: str) -> None:
        for mail in self.mail:
            mail.deleted = False
        self._say("+OK")

    def noop(self, _: str) -> None:
        self._say("+OK")

    def quit(self, _: str) -> None:
        for mail in self.mail:
            if mail.deleted:
                mail.path.unlink(missing_ok=True)
        self._leave()  # before the answer, so that the client may come back at once
        self._say("+OK Goodbye")

    def _mail(self, number: str) -> _Mail:
        index = int(number) if number.isdecimal() else 0
        if not 1 <= index <= len(self.mail) or self.mail[index - 1].deleted:
            raise _RefusedError("No such message")
        return self.mail[index - 1]

    def _say(self, line: str) -> None:
        self.sock.sendall(line.encode() + b"\r\n")

    def _list_out(self, *rows: str) -> None:
        self._send("".join(f"{row}\r\n" for row in rows).encode())

    def _send(self, data: bytes) -> None:
        """+OK and a multi-line answer; the CRLF of +OK serves the first line's dot like any other."""
        self.sock.sendall((b"+OK\r\n" + data).replace(b"\r\n.", b"\r\n..") + b".\r\n")


_BEFORE_LOGIN: dict[str, Callable[[_Session, str], None]] = {
    "CAPA": _Session.capa,
    "USER": _Session.user,
    "PASS": _Session.pass_,
    "QUIT": _Session.quit,
}
_AFTER_LOGIN: dict[str, Callable[[_Session, str], None]] = {
    "CAPA": _Session.capa,
    "STAT": _Session.stat,
    "LIST": _Session.list_,
    "UIDL": _Session.uidl,
    "RETR": _Session.retr,
    "TOP": _Session.top,
    "DELE": _Session.dele,
    "RSET": _Session.rset,
    "NOOP": _Session.noop,
    "QUIT": _Session.quit,
}
