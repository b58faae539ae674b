"""What a connection reads and writes over TLS: whole records, few calls, and every byte before an end."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trustme
from typing_extensions import override

from ingest.errors import MaildropConnectError, MaildropTimeoutError
from ingest.pop3.connection import Connection
from ingest.pop3.deadlines import Deadline
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Buffer

READ = 64 * 1024
RECORD = 16 * 1024


class Ours(socket.socket):
    """Our end, which counts the reads and may bound them."""

    reads = 0
    most = READ

    @override
    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        self.reads += 1
        return super().recv_into(buffer, min(nbytes, self.most), flags)


class Peer:
    """A TLS server whose records the test sends as it likes, and a connection to it."""

    def __init__(self, authority: trustme.CA, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        ours, self.sock = socket.socketpair()
        self.ours = Ours(fileno=ours.detach())
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = version
        authority.issue_cert("localhost").configure_cert(context)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.connection = Connection(self.ours, time.monotonic)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        server = threading.Thread(target=self._shake_hands, daemon=True)
        server.start()
        self.connection.secure(trusting, "localhost", soon())
        server.join(PATIENCE)
        self.ours.reads = 0

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.sock.sendall(self._outgoing.read())
                self._incoming.write(self.sock.recv(READ))
            else:
                self.sock.sendall(self._outgoing.read())
                return

    def record(self, data: bytes) -> bytes:
        """Return data as one record."""
        self._tls.write(data)
        return self._outgoing.read()

    def farewell(self) -> bytes:
        """Return the record that announces the end of the stream."""
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        return self._outgoing.read()

    def heard(self, size: int) -> bytes:
        """Return what the connection has sent, once it is this many bytes."""
        data = b""
        while len(data) < size:
            self._incoming.write(self.sock.recv(READ))
            data += self._tls.read(size)
        return data


def soon() -> Deadline:
    return Deadline(time.monotonic() + PATIENCE, "too late")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def peer(authority: trustme.CA, request: pytest.FixtureRequest) -> Iterator[Peer]:
    made = Peer(authority, request.param)
    with made.sock, made.ours:
        yield made


def test_records_that_arrived_together_are_read_with_one_call(peer: Peer) -> None:
    """Dovecot sends 4 KiB in each, and ends each flush of its output with one of a few bytes."""
    sizes = (4096, 16, 4096, 12, 1)
    peer.sock.sendall(b"".join(peer.record(b"x" * size) for size in sizes))
    assert len(peer.connection.receive(soon())) == sum(sizes)
    assert peer.ours.reads == 1


def test_nothing_that_can_be_decrypted_waits_for_another_read(peer: Peer) -> None:
    """Polling the socket would not show it: here a read of the largest size, which also ends a record."""
    sizes = [RECORD - 1] * 4 + [RECORD - 384]
    first, *others = [peer.record(bytes([number]) * size) for number, size in enumerate(sizes)]
    peer.sock.sendall(first[:-1])
    assert not peer.connection.arrived()
    rest = first[-1:] + b"".join(others)
    assert READ - 384 < len(rest) <= READ
    peer.sock.sendall(rest)
    received = bytes(peer.connection.receive(soon()))
    assert received == b"".join(bytes([number]) * size for number, size in enumerate(sizes))


def test_what_is_left_in_the_socket_is_read_next(peer: Peer) -> None:
    peer.sock.sendall(b"".join(peer.record(bytes([number]) * RECORD) for number in range(8)))
    received = b""
    while len(received) < 8 * RECORD:
        peer.connection.send(b"more\r\n")
        received += peer.connection.receive(soon())
    assert received == b"".join(bytes([number]) * RECORD for number in range(8))
    assert peer.heard(6) == b"more\r\n"


def test_record_in_pieces_is_returned_once_it_is_whole(peer: Peer) -> None:
    whole, cut = peer.record(b"first"), peer.record(b"second")
    peer.sock.sendall(whole + cut[:9])
    assert bytes(peer.connection.receive(soon())) == b"first"
    assert not peer.connection.arrived()
    peer.sock.sendall(cut[9:])
    assert bytes(peer.connection.arrived()) == b"second"


def test_deadline_passes_while_a_record_is_not_whole(authority: trustme.CA) -> None:
    peer = Peer(authority)
    ticks = itertools.count()
    peer.connection._clock = lambda: next(ticks) / 1000
    with peer.sock, peer.ours:
        peer.sock.sendall(peer.record(b"x" * RECORD)[:-1])
        with pytest.raises(MaildropTimeoutError, match="too late"):
            peer.connection.receive(Deadline(0.02, "too late"))


def test_deadline_is_looked_at_between_two_reads_of_the_socket(authority: trustme.CA) -> None:
    """A server that sends bytes all the time, and never a whole record, keeps nobody."""
    peer = Peer(authority)
    ticks = itertools.count()
    peer.connection._clock = lambda: next(ticks) / 1000
    with peer.sock, peer.ours:
        peer.sock.sendall(peer.record(b"x" * RECORD))
        peer.ours.most = 1
        with pytest.raises(MaildropTimeoutError, match="too late"):
            peer.connection.receive(Deadline(0.02, "too late"))


def test_bytes_before_a_broken_record_count(peer: Peer) -> None:
    good, bad = peer.record(b"good"), bytearray(peer.record(b"bad"))
    bad[-1] ^= 1
    peer.sock.sendall(good + bad)
    assert bytes(peer.connection.receive(soon())) == b"good"
    for _ in range(2):
        with pytest.raises(MaildropConnectError, match="TLS connection broke"):
            peer.connection.receive(soon())


@pytest.mark.parametrize("end", ["announced", "closed", "cut"])
def test_bytes_before_the_end_of_the_stream_count(authority: trustme.CA, end: str) -> None:
    peer = Peer(authority)
    last: dict[str, Callable[[], bytes]] = {
        "announced": peer.farewell,
        "closed": lambda: b"",
        "cut": lambda: peer.record(b"lost")[:9],
    }
    with peer.ours:
        peer.sock.sendall(peer.record(b"last") + last[end]())
        peer.sock.close()
        received = [bytes(peer.connection.receive(soon())) for _ in range(3)]
    assert received == [b"last", b"", b""]
