"""Names, addresses, certificates, pace and memory: what lies below the protocol."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme

from ingest.domain.mailbox import Credentials, Deadlines, Limits, Mailbox, Server, Tls
from ingest.errors import MaildropConnectError, MaildropDeferredError, MaildropTimeoutError
from ingest.pop3 import Pop3Connector
from ingest.pop3.connection import Connection
from ingest.pop3.deadlines import Deadline
from ingest.pop3.resolve import Resolver
from ingest.pop3.tls import Contexts
from tests.support.scripted_pop3 import (
    LATER,
    Expect,
    ScriptedServer,
    Secure,
    Send,
    Spools,
    Stall,
    Trickle,
    login,
    rows,
)
from tests.support.servers import free_port
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOON = Deadline(1000.0, "too late")
# The first byte of TCP_INFO is the state: TCP_CLOSE of netinet/tcp.h.
TCP_CLOSED = b"\x07"


class Names:
    """Stands in for `getaddrinfo`, and counts how often it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: tuple[socket.AddressFamily, str, int]) -> None:
        self.asked = 0
        self.addresses = list(addresses)
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, *_: object, **__: object) -> list[tuple[object, ...]]:
        self.asked += 1
        return [(family, 0, 0, "", (host, port)) for family, host, port in self.addresses]


def test_a_host_is_looked_up_once_a_minute_for_all_its_mailboxes(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, (socket.AF_INET, "127.0.0.1", 110))
    now = [0.0]
    resolver = Resolver(lambda: now[0])
    for _ in range(5):
        assert resolver.addresses("pop.example", 110, SOON) == [(socket.AF_INET, ("127.0.0.1", 110))]
    assert names.asked == 1
    resolver.addresses("other.example", 110, SOON)
    assert names.asked == 2
    now[0] = 61
    resolver.addresses("pop.example", 110, SOON)
    assert names.asked == 3


def test_a_host_whose_addresses_do_not_answer_is_looked_up_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have moved."""
    names = Names(monkeypatch, (socket.AF_INET, "127.0.0.1", free_port()))
    connect, box = Pop3Connector(), Mailbox("m", Server("pop.example", 110, Tls.NONE))
    for tries in (1, 2):
        with pytest.raises(MaildropConnectError):
            connect(box, Credentials("joe", "secret"), lambda *_: None, lambda _: None)
        assert names.asked == tries


def test_a_dead_address_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(login()) as server, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        dead.listen(0)
        # Its backlog is full: further connections are neither taken nor refused.
        hanging = [socket.socket() for _ in range(4)]
        for one in hanging:
            one.setblocking(False)
            one.connect_ex(dead.getsockname())
        Names(
            monkeypatch,
            (socket.AF_INET, "127.0.0.1", dead.getsockname()[1]),
            (socket.AF_INET, "127.0.0.1", server.port),
        )
        box = Mailbox("m", Server("pop.example", 110, Tls.NONE), deadlines=Deadlines(connect=4.0))
        asked: list[str] = []
        Pop3Connector()(box, Credentials("joe", "secret"), lambda *_: None, asked.append).close()
        assert len(asked) == 2, "each address is asked for by itself"
        for one in hanging:
            one.close()


def test_address_without_a_free_slot_is_not_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, (socket.AF_INET, "127.0.0.1", 1), (socket.AF_INET, "127.0.0.2", 1))
    asked: list[str] = []

    def refuse(address: str) -> None:
        asked.append(address)
        raise MaildropDeferredError

    with pytest.raises(MaildropDeferredError):
        Pop3Connector()(Mailbox("m", Server("p", 1)), Credentials("joe", "s"), lambda *_: None, refuse)
    assert asked == ["127.0.0.1"]


def test_bytes_before_a_reset_count() -> None:
    """More than fits in one record, so that it is gathered; then the connection is reset instead of ended."""
    sent = os.urandom(10_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        connection = Connection(client, lambda: 0.0)
        server.sendall(sent)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        eventually(lambda: client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == TCP_CLOSED, "the reset")
        assert bytes(connection.receive(SOON)) == sent
        connection.close()


@pytest.mark.parametrize("where", ["message", "listing"])
def test_slow_answer_is_not_waited_for(where: str) -> None:
    """Each byte comes in time, and the whole would take days."""
    body = [Expect("RETR 1"), Send(b"+OK\r\n"), Trickle(b"x" * 10_000, 0.01)]
    listing = [
        Expect("STAT"),
        Send(b"+OK 1 9\r\n"),
        Expect("UIDL"),
        Send(b"+OK\r\n"),
        Trickle(b"1 x\r\n" * 2_000, 0.01),
    ]
    limits, deadlines = Limits(minimum_rate=10_000), Deadlines(idle=LATER)
    with ScriptedServer([*login(), *(body if where == "message" else listing)]) as server:
        box = Mailbox("m", Server("127.0.0.1", server.port, Tls.NONE), limits=limits, deadlines=deadlines)
        drop = Pop3Connector()(box, Credentials("joe", "secret"), lambda *_: None, lambda _: None)
        take: Callable[[], object] = (
            drop.listing if where == "listing" else lambda: list(drop.fetch(rows(9), Spools()))
        )
        with pytest.raises(MaildropTimeoutError, match="10000 bytes a second"):
            take()
        drop.close()


def test_a_session_that_stays_in_pace_but_never_ends_ends_with_the_poll() -> None:
    deadlines = Deadlines(poll=LATER)
    endless = Trickle(b"x" * 500_000, 0.0001)
    with ScriptedServer([*login(), Expect("RETR 1"), Send(b"+OK\r\n"), endless, Stall()]) as server:
        box = Mailbox("m", Server("127.0.0.1", server.port, Tls.NONE), deadlines=deadlines)
        drop = Pop3Connector()(box, Credentials("joe", "secret"), lambda *_: None, lambda _: None)
        with pytest.raises(MaildropTimeoutError, match="poll as a whole"):
            list(drop.fetch(rows(9), Spools()))
        drop.close()


def test_a_ca_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    contexts, server = Contexts(), Server("a", 1, ca_file=str(path))
    path.write_bytes(trustme.CA().cert_pem.bytes())
    first = contexts.context(server)
    assert contexts.context(server) is first
    other = tmp_path / "new.pem"
    other.write_bytes(trustme.CA().cert_pem.bytes())
    other.replace(path)
    assert contexts.context(server) is not first
    assert contexts.context(server).get_ca_certs() != first.get_ca_certs()


@pytest.mark.parametrize("pinned", [False, True])
def test_the_end_of_a_certificate_is_known_however_it_is_trusted(tmp_path: Path, pinned: bool) -> None:  # noqa: FBT001
    authority = trustme.CA()
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    certificate = authority.issue_cert("127.0.0.1", not_after=end)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    fingerprint = hashlib.sha256(der).hexdigest() if pinned else None
    ca_file = None if pinned else str(tmp_path / "ca.pem")
    connect = Pop3Connector()
    for _ in range(2):  # the second time it is remembered
        with ScriptedServer([Secure(context), *login()]) as server:
            box = Mailbox("m", Server("127.0.0.1", server.port, ca_file=ca_file, fingerprint=fingerprint))
            drop = connect(box, Credentials("joe", "secret"), lambda *_: None, lambda _: None)
            assert drop.terms.certificate_not_after == end.timestamp()
            drop.close()


_FETCH = """
import sys
from ingest.domain import keys
from ingest.domain.mailbox import *
from ingest.pop3 import Pop3Connector
from ingest.ports.maildrop import Listed
from ingest.usecases.spool import Spool

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

limits = Limits(message_bytes=2**30)
box = Mailbox("m", Server("127.0.0.1", int(sys.argv[1]), Tls.NONE), limits=limits)
drop = Pop3Connector()(box, Credentials("joe", "secret"), lambda *_: None, lambda _: None)
spool = lambda _: Spool(keys.message_hasher("m"))
small, large = Listed(1, b"a", 2_000_000), Listed(2, b"b", int(sys.argv[2]))
for message in drop.fetch([small], spool):
    message.spool.close()
before = peak()
for message in drop.fetch([large], spool):
    assert message.size == int(sys.argv[2])
    message.spool.close()
drop.close()
print(peak() - before)
"""
LARGE = 200 * 2**20


def _large_messages(listener: socket.socket) -> None:
    """A server of one session, which makes up messages as it goes."""
    line = b"x" * 62 + b"\r\n"
    client, _ = listener.accept()
    with client, client.makefile("rb") as lines:
        client.sendall(b"+OK\r\n")
        for command in lines:
            if command.startswith(b"RETR"):
                size = 2_000_000 // 64 * 64 if command == b"RETR 1\r\n" else LARGE
                client.sendall(b"+OK\r\n")
                for _ in range(size // 2**16):
                    client.sendall(line * 2**10)
                client.sendall(line * (size % 2**16 // 64) + b".\r\n")
            else:
                client.sendall(b"-ERR\r\n" if command == b"CAPA\r\n" else b"+OK\r\n")


def test_a_message_of_200_mib_takes_no_more_memory_than_a_small_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_large_messages, args=(listener,))
        thread.start()
        command = [sys.executable, "-c", _FETCH, str(listener.getsockname()[1]), str(LARGE)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=dict(os.environ)
        )
        thread.join()
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 8 * 1024, "KiB"
