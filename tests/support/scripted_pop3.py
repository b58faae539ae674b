r"""A POP3 server that follows a script, for what no real server can be made to do.

    with ScriptedServer([Send(b"+OK hi\r\n"), Expect("CAPA"), Send(b"-ERR no\r\n"), Close()]) as server:
        ... connect to server.port ...
    assert server.received == [b"CAPA"]

Each script serves one connection, in their order. A client that sends something unexpected, or disconnects early,
ends the script; `stopped_at` is the step at which that happened, None if all scripts were played to their end.
"""

from __future__ import annotations

import io
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ingest.domain.mailbox import Credentials, Deadlines, Limits, Mailbox, Server, Tls
from ingest.pop3.connector import Pop3Connector
from ingest.ports.maildrop import Listed
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

    from ingest.pop3.session import Pop3Session


class Step:
    """One thing that the server does."""


@dataclass(frozen=True)
class Send(Step):
    """Send bytes in one go."""

    data: bytes


@dataclass(frozen=True)
class Trickle(Step):
    """Send bytes one by one, with a pause in seconds after each."""

    data: bytes
    pause: float = 0.0


@dataclass(frozen=True)
class Expect(Step):
    """Read one line, which must begin with this."""

    prefix: str


@dataclass(frozen=True)
class Secure(Step):
    """Take part in a TLS handshake."""

    context: ssl.SSLContext


@dataclass(frozen=True)
class Stall(Step):
    """Send and read nothing until the client or the test has ended."""


@dataclass(frozen=True)
class Drain(Step):
    """Read until the client closes."""


@dataclass(frozen=True)
class Reset(Step):
    """End the connection with RST, as a crash or a firewall does."""


@dataclass(frozen=True)
class Close(Step):
    """Close the connection normally."""


def capa(*capabilities: str) -> list[Step]:
    """CAPA, and its answer."""
    return [Expect("CAPA"), Send(announced(*capabilities))]


def announced(*capabilities: str) -> bytes:
    """The answer to CAPA."""
    return "".join(["+OK\r\n", *(f"{row}\r\n" for row in capabilities), ".\r\n"]).encode()


def until_password(*capabilities: str) -> list[Step]:
    """The steps of a first session from the greeting to PASS, one command at a time."""
    return [Send(b"+OK ready\r\n"), *capa(*capabilities), Expect("USER"), Send(b"+OK\r\n"), Expect("PASS")]


FLIGHT: list[Step] = [Expect(verb) for verb in ("USER", "PASS", "CAPA", "STAT", "UIDL", "LIST")]


def landed(*capabilities: str, mails: int = 0) -> Send:
    """All answers to `FLIGHT`; so many messages of 5 bytes."""
    unique_ids = b"".join(b"%d u%d\r\n" % (number, number) for number in range(1, mails + 1))
    sizes = b"".join(b"%d 5\r\n" % number for number in range(1, mails + 1))
    listing = b"+OK %d %d\r\n+OK\r\n%b.\r\n+OK\r\n%b.\r\n" % (mails, mails * 5, unique_ids, sizes)
    return Send(b"+OK\r\n+OK\r\n" + announced(*capabilities) + listing)


def login(*capabilities: str) -> list[Step]:
    """The steps of a first session from the greeting to where a session begins.

    If PIPELINING is announced, that is after the listing, which is empty.
    """
    if "PIPELINING" in capabilities:
        return [Send(b"+OK ready\r\n"), *capa(*capabilities), *FLIGHT, landed(*capabilities)]
    return [*until_password(*capabilities), Send(b"+OK\r\n"), *capa(*capabilities)]


class ScriptedServer:
    """Plays the first script to the first client, on a loopback address, and each further script to one more.

    Attributes:
        port: to connect to.
        received: the lines that `Expect` and `Drain` have read, without line ends.
        ahead: the most commands that were received ahead of the one that was read.
        stopped_at: the step at which the client did not play its part.
    """

    def __init__(self, steps: Sequence[Step], *further: Sequence[Step]) -> None:
        self.received: list[bytes] = []
        self.ahead = 0
        self.stopped_at: Step | None = None
        self._scripts = [steps, *further]
        self._over = threading.Event()
        self._pending = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="scripted-pop3", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with suppress(OSError):  # if no client came, the thread is still in `accept`: wake it
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        for steps in self._scripts:
            if not self._over.is_set():
                self._serve(steps)

    def _serve(self, steps: Sequence[Step]) -> None:
        sock, _ = self._listener.accept()
        sock.settimeout(PATIENCE)
        self._pending = b""
        for step in steps:
            try:
                sock = self._play(step, sock)
            except (OSError, EOFError, AssertionError):
                self.stopped_at = self.stopped_at or step
                break
        sock.close()

    def _play(self, step: Step, sock: socket.socket) -> socket.socket:
        match step:
            case Send(data):
                sock.sendall(data)
            case Trickle(data, pause):
                for index in range(len(data)):
                    sock.sendall(data[index : index + 1])
                    self._over.wait(pause)
            case Expect(prefix):
                self._expect(sock, prefix)
            case Secure(context):
                return context.wrap_socket(sock, server_side=True)
            case Stall():
                self._over.wait(PATIENCE)
            case Drain():
                self._drain(sock)
            case Reset():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            case Close():
                sock.close()
        return sock

    def _expect(self, sock: socket.socket, prefix: str) -> None:
        while b"\r\n" not in self._pending:
            data = sock.recv(4096)
            if not data:
                raise EOFError
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\r\n")
        self.received.append(line)
        self.ahead = max(self.ahead, self._pending.count(b"\r\n"))
        assert line.startswith(prefix.encode()), line

    def _drain(self, sock: socket.socket) -> None:
        while data := sock.recv(65536):
            self._pending += data
        self.received += self._pending.split(b"\r\n")[:-1]
        self._pending = b""


# --- our client, against it ---

CREDENTIALS = Credentials("joe", "secret")
# Seconds: for a deadline that passes, where nothing has to happen in time before it does.
SHORT = 0.15
# The same where a session does something first, which a busy machine may do slowly.
LATER = 1.0
PATIENT = Deadlines(*[PATIENCE] * 6)


def mailbox(
    port: int, *, deadlines: Deadlines = PATIENT, limits: Limits | None = None, tls: Tls = Tls.NONE
) -> Mailbox:
    return Mailbox("m", Server("127.0.0.1", port, tls), deadlines=deadlines, limits=limits or Limits())


def opened(
    target: Mailbox, credentials: Credentials = CREDENTIALS, connect: Pop3Connector | None = None
) -> Pop3Session:
    return (connect or Pop3Connector())(target, credentials, lambda _phase, _seconds: None, lambda _address: None)


@contextmanager
def session(
    steps: Sequence[Step], *capabilities: str, deadlines: Deadlines = PATIENT, limits: Limits | None = None
) -> Iterator[tuple[Pop3Session, ScriptedServer]]:
    """A session that has logged in to a server that goes on with the given steps."""
    with ScriptedServer([*login(*capabilities), *steps]) as server:
        drop = opened(mailbox(server.port, deadlines=deadlines, limits=limits))
        try:
            yield drop, server
        finally:
            drop.close()


class Spools:
    """Returns new spools and keeps them."""

    def __init__(self) -> None:
        self.made: list[io.BytesIO] = []

    def __call__(self, _: Listed) -> io.BytesIO:
        self.made.append(io.BytesIO())
        return self.made[-1]


def rows(*sizes: int | None) -> list[Listed]:
    return [Listed(number, b"u%d" % number, size) for number, size in enumerate(sizes, 1)]
