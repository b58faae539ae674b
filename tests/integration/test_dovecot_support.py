"""The real servers that other tests lean on do what their helpers say. The client here is as small as can be."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import pytest

from ingest.demo.mails import KINDS, sample
from tests.support.dovecot import Dovecot, as_served
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.dovecot

# What maildir and POP3 might change on the way: bare LF and CR, NUL, 8-bit bytes, dots, a missing end.
_STRANGE = (
    b"Subject: crlf\r\n\r\nx\r\n",
    b"Subject: lf\n\nx\ny\n",
    b"Subject: no end\r\n\r\nx",
    b"Subject: ends in CR\r\n\r\nx\r",
    b"Subject: mixed\r\n\r\nx\ny\rz\r\r\n",
    b"Subject: nul\0\r\n\r\nx\0\0y\r\n",
    b"Subject: \xfc\xff\r\n\r\n\x80\xff\r\n",
    b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n",
    b"From somebody\r\nSubject: mbox\r\nX-UID: 7\r\nStatus: RO\r\n\r\n>From x\r\n",
    b"\r\nno header\r\n",
)


class _Client:
    """Lockstep POP3 over a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.reader: BinaryIO = sock.makefile("rb")

    def ask(self, command: str) -> bytes:
        """One command, one line of answer."""
        self.sock.sendall(command.encode() + b"\r\n")
        return self.reader.readline()

    def ask_long(self, command: str) -> bytes:
        """One command, the bytes of a multi-line answer, without the first line and without dot-stuffing."""
        answer = self.ask(command)
        assert answer.startswith(b"+OK"), answer
        lines = []
        while (line := self.reader.readline()) != b".\r\n":
            assert line, "the server went away"
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    def log_in(self, user: str, password: str) -> bytes:
        assert self.ask(f"USER {user}").startswith(b"+OK")
        return self.ask(f"PASS {password}")

    def fetch_all(self) -> list[bytes]:
        count = int(self.ask("STAT").split()[1])
        return [self.ask_long(f"RETR {number}") for number in range(1, count + 1)]


@contextmanager
def _connected(port: int, tls: ssl.SSLContext | None = None) -> Iterator[_Client]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain:
        sock = tls.wrap_socket(plain, server_hostname="localhost") if tls else plain
        with sock:
            client = _Client(sock)
            with client.reader:
                assert client.reader.readline().startswith(b"+OK")
                yield client


def _fetch(port: int, user: str, tls: ssl.SSLContext | None = None) -> list[bytes]:
    with _connected(port, tls) as client:
        assert client.log_in(user, "right").startswith(b"+OK")
        mails = client.fetch_all()
        assert client.ask("QUIT").startswith(b"+OK")
    return mails


def _trusting(server: Dovecot) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ca_file)


def test_every_byte_comes_back_plain_and_over_tls(dovecot_server: Dovecot) -> None:
    dovecot_server.add_user("bytes", "right")
    delivered = [sample(index, "bytes").raw for index in range(2 * len(KINDS))]
    for raw in delivered:
        dovecot_server.deliver("bytes", raw)
    assert _fetch(dovecot_server.pop3_port, "bytes") == delivered
    assert _fetch(dovecot_server.pop3s_port, "bytes", _trusting(dovecot_server)) == delivered
    assert dovecot_server.maildrop("bytes") == delivered


def test_strange_bytes_come_back_as_the_helper_says(dovecot_server: Dovecot) -> None:
    dovecot_server.add_user("strange", "right")
    for raw in _STRANGE:
        dovecot_server.deliver("strange", raw)
    assert _fetch(dovecot_server.pop3_port, "strange") == [as_served(raw) for raw in _STRANGE]


def test_list_counts_bytes_without_the_end_that_is_added(dovecot_server: Dovecot) -> None:
    dovecot_server.add_user("sizes", "right")
    for raw in _STRANGE:
        dovecot_server.deliver("sizes", raw)
    with _connected(dovecot_server.pop3_port) as client:
        client.log_in("sizes", "right")
        sizes = [int(row.split()[1]) for row in client.ask_long("LIST").splitlines()]
    added = [0 if raw.endswith(b"\n") else 2 for raw in _STRANGE]
    assert sizes == [len(as_served(raw)) - more for raw, more in zip(_STRANGE, added, strict=True)]


def test_starttls_is_offered_on_the_plain_port(dovecot_server: Dovecot) -> None:
    dovecot_server.add_user("starttls", "right")
    with _connected(dovecot_server.pop3_port) as client:
        assert b"STLS\r\n" in client.ask_long("CAPA")
        assert client.ask("STLS").startswith(b"+OK")
        with _trusting(dovecot_server).wrap_socket(client.sock, server_hostname="localhost") as secured:
            inner = _Client(secured)
            with inner.reader:
                assert inner.log_in("starttls", "right").startswith(b"+OK")


def test_a_stranger_does_not_trust_the_certificate(dovecot_server: Dovecot) -> None:
    with (
        pytest.raises(ssl.SSLCertVerificationError),
        _connected(dovecot_server.pop3s_port, ssl.create_default_context()),
    ):
        pass


def test_a_wrong_password_and_an_unknown_user_are_refused_for_good(dovecot_server: Dovecot) -> None:
    dovecot_server.add_user("guarded", "right: with {odd} signs")
    with _connected(dovecot_server.pop3_port) as client:
        assert client.log_in("guarded", "wrong").startswith(b"-ERR [AUTH]")
        assert client.log_in("nobody-knows", "right").startswith(b"-ERR [AUTH]")
        assert client.log_in("guarded", "right: with {odd} signs").startswith(b"+OK")


def test_a_user_added_after_a_refusal_gets_in_at_once(dovecot_server: Dovecot) -> None:
    with _connected(dovecot_server.pop3_port) as client:
        assert client.log_in("late", "right").startswith(b"-ERR")
        dovecot_server.add_user("late", "right")
        assert client.log_in("late", "right").startswith(b"+OK")


def test_what_is_deleted_leaves_the_maildrop_at_quit(dovecot_server: Dovecot) -> None:
    dovecot_server.add_user("deleting", "right")
    delivered = [sample(index, "deleting").raw for index in range(3)]
    for raw in delivered:
        dovecot_server.deliver("deleting", raw)
    with _connected(dovecot_server.pop3_port) as client:
        client.log_in("deleting", "right")
        assert client.ask("DELE 2").startswith(b"+OK")
        assert client.ask("QUIT").startswith(b"+OK")
    assert dovecot_server.maildrop("deleting") == [delivered[0], delivered[2]]


def test_120_sessions_are_open_at_once(dovecot_server: Dovecot) -> None:
    users = [f"parallel-{number}" for number in range(120)]
    for number, user in enumerate(users):
        dovecot_server.add_user(user, "right")
        dovecot_server.deliver(user, sample(number, user).raw)
    tls = _trusting(dovecot_server)

    def open_session(user: str) -> tuple[_Client, bytes]:
        plain = socket.create_connection(("127.0.0.1", dovecot_server.pop3s_port), timeout=PATIENCE)
        client = _Client(tls.wrap_socket(plain, server_hostname="localhost"))
        assert client.reader.readline().startswith(b"+OK")
        assert client.log_in(user, "right").startswith(b"+OK")
        return client, client.ask_long("RETR 1")

    with ThreadPoolExecutor(40) as pool:
        sessions = list(pool.map(open_session, users))
    for number, (client, raw) in enumerate(sessions):
        assert raw == sample(number, users[number]).raw
        assert client.ask("NOOP").startswith(b"+OK"), "the first sessions are still there"
        client.reader.close()
        client.sock.close()


def test_users_mail_and_ports_survive_a_crash(own_dovecot: Dovecot) -> None:
    own_dovecot.add_user("crash", "right")
    own_dovecot.deliver("crash", sample(0, "crash").raw)
    with _connected(own_dovecot.pop3_port) as client:
        assert client.log_in("crash", "right").startswith(b"+OK")
        own_dovecot.kill()
        assert client.reader.readline() == b"", "sessions end too"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", own_dovecot.pop3_port), timeout=PATIENCE)
    own_dovecot.deliver("crash", sample(1, "crash").raw)
    own_dovecot.start()
    assert _fetch(own_dovecot.pop3_port, "crash") == [sample(0, "crash").raw, sample(1, "crash").raw]
    own_dovecot.restart()
    assert len(_fetch(own_dovecot.pop3_port, "crash")) == 2


def test_stopping_ends_sessions_and_leaves_no_process(own_dovecot: Dovecot) -> None:
    own_dovecot.add_user("stopped", "right")
    with _connected(own_dovecot.pop3_port) as client:
        assert client.log_in("stopped", "right").startswith(b"+OK")
        own_dovecot.stop()
        assert not client.reader.read().startswith(b"+OK")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", own_dovecot.pop3s_port), timeout=PATIENCE)
