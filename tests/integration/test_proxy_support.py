"""The delay proxy delays, and changes nothing else. Times are only bounded on the side where load does no harm."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.proxy import DelayProxy
from tests.support.servers import free_port, serving
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOB = bytes(range(256)) * 4096 * 3  # 3 MiB
_FLOOD = _BLOB * 16  # far more than all buffers on the way hold


class _Echo(socketserver.BaseRequestHandler):
    """Greets with one byte, then sends back what it gets; ends after the client has ended."""

    def handle(self) -> None:
        self.request.sendall(b"!")
        while data := self.request.recv(65536):
            self.request.sendall(data)


class _EchoServer(socketserver.ThreadingTCPServer):
    request_queue_size = 1024
    block_on_close = True


class _Flood:
    """Sends `_FLOOD` to one client, as fast as it can, and counts."""

    def __init__(self) -> None:
        self.sent = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()

    def _send(self) -> None:
        client, _ = self._listener.accept()
        with client, suppress(OSError):  # the test has failed, and says why
            while self.sent < len(_FLOOD):
                self.sent += client.send(_FLOOD[self.sent : self.sent + 65536])


@pytest.fixture
def echo_port() -> Iterator[int]:
    with serving(_EchoServer(("127.0.0.1", 0), _Echo)) as server:
        yield server.server_address[1]


@contextmanager
def _connected(proxy: DelayProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as client:
        assert client.recv(1) == b"!"
        yield client


def _read(client: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count and (more := client.recv(65536)):
        data += more
    return bytes(data)


def _read_all(client: socket.socket) -> bytes:
    return _read(client, 2**62)


@pytest.mark.parametrize("delay", [0.0, 0.02])
def test_bytes_pass_unchanged_in_both_directions(echo_port: int, delay: float) -> None:
    with DelayProxy(echo_port, delay) as proxy, _connected(proxy) as client:
        writer = threading.Thread(target=client.sendall, args=(_BLOB,))
        writer.start()
        assert _read(client, len(_BLOB)) == _BLOB
        writer.join()


def test_a_client_that_reads_late_holds_the_server_back_and_gets_everything() -> None:
    server = _Flood()
    with (
        server,
        DelayProxy(server.port, 0.0) as proxy,
        closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)) as client,
    ):
        eventually(lambda: server.sent > 8 * 2**20, lambda: server.sent)
        assert server.sent < len(_FLOOD)
        assert _read_all(client) == _FLOOD


def test_an_end_of_stream_follows_the_bytes_before_it(echo_port: int) -> None:
    with DelayProxy(echo_port, 0.02) as proxy, _connected(proxy) as client:
        client.sendall(b"x" * 100_000)
        client.shutdown(socket.SHUT_WR)
        assert len(_read_all(client)) == 100_000


def test_a_round_trip_takes_two_delays_and_a_greeting_four(echo_port: int) -> None:
    with DelayProxy(echo_port, 0.1) as proxy:
        began = time.monotonic()
        with _connected(proxy) as client:
            greeted = time.monotonic()
            assert greeted - began >= 0.4
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            assert time.monotonic() - greeted >= 0.2


def test_chunks_travel_together(echo_port: int) -> None:
    """500 chunks would need 100 s if each waited for the echo of the one before it."""
    with DelayProxy(echo_port, 0.1) as proxy, _connected(proxy) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.monotonic()
        for _ in range(500):
            client.sendall(b"x")
            time.sleep(0.002)  # so that they are read one by one
        assert len(_read(client, 500)) == 500
        assert time.monotonic() - began < 50


def test_a_narrow_line_is_narrow(echo_port: int) -> None:
    with DelayProxy(echo_port, 0.0, bytes_per_second=200_000) as proxy, _connected(proxy) as client:
        began = time.monotonic()
        client.sendall(b"x" * 100_000)
        assert len(_read(client, 100_000)) == 100_000
        assert time.monotonic() - began >= 0.45


def test_a_connection_is_cut_after_so_many_bytes_from_the_server(echo_port: int) -> None:
    with DelayProxy(echo_port, 0.01, cut_after=5001) as proxy:
        for _ in range(2):
            with _connected(proxy) as client:
                client.sendall(b"x" * 20_000)
                assert len(_read_all(client)) == 5000


def test_a_connection_is_cut_when_the_client_says_a_word(echo_port: int) -> None:
    with DelayProxy(echo_port, 0.01, cut_at=b"QUIT") as proxy, _connected(proxy) as client:
        client.sendall(b"DELE")
        assert _read(client, 4) == b"DELE"
        client.sendall(b"QUIT")
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_answer_is_dropped_but_the_command_arrives() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        DelayProxy(server.getsockname()[1], 0.01, mute_at=b"QUIT") as proxy,
        _connected_soon(proxy) as client,
        server.accept()[0] as served,
    ):
        served.sendall(b"+OK ready")
        assert _read(client, 9) == b"+OK ready"
        client.sendall(b"QUIT")
        assert _read(served, 4) == b"QUIT"
        served.sendall(b"+OK")
        assert client.recv(1) == b""


def test_nothing_passes_while_it_is_stalled_and_everything_afterwards(echo_port: int) -> None:
    with DelayProxy(echo_port, 0.3) as proxy, _connected(proxy) as client:
        client.sendall(b"on ")
        time.sleep(0.45)  # as a rule its echo is on the way by now; on a busy machine it may have arrived
        proxy.stall()
        client.setblocking(False)
        early = b""
        with suppress(BlockingIOError):
            early = client.recv(7)
        client.settimeout(0.8)
        client.sendall(b"hold")
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(PATIENCE)
        proxy.resume()
        assert early + _read(client, 7 - len(early)) == b"on hold"


def test_a_stopped_proxy_refuses_and_comes_back_on_its_port(echo_port: int) -> None:
    proxy = DelayProxy(echo_port, 0.0)
    with proxy, _connected(proxy) as client:
        port = proxy.port
        proxy.stop()
        assert client.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        proxy.start()
        assert proxy.port == port
        with _connected(proxy) as again:
            again.sendall(b"x")
            assert again.recv(1) == b"x"


def test_client_connection_is_closed_when_the_server_is_unavailable() -> None:
    with (
        DelayProxy(free_port(), 0.0) as proxy,
        closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)) as client,
    ):
        assert client.recv(1) == b""


def test_500_connections_at_once(echo_port: int) -> None:
    with DelayProxy(echo_port, 0.01) as proxy, ExitStack() as stack:
        clients = [stack.enter_context(_connected_soon(proxy)) for _ in range(500)]
        for number, client in enumerate(clients):
            client.sendall(b"%05d" % number)
        for number, client in enumerate(clients):
            assert _read(client, 6) == b"!%05d" % number


def _connected_soon(proxy: DelayProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)
