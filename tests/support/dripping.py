"""Servers that never finish their first answer: they send a byte now and then, for as long as the client stays."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.support.servers import serving

if TYPE_CHECKING:
    from collections.abc import Iterator


class DrippingServer(socketserver.ThreadingTCPServer):
    """One such server.

    Args:
        address: on loopback.
        pause: seconds between two bytes.
        beginning: sent at once, or after the client's first bytes.
        greets: sends without waiting for the client.

    Attributes:
        host: its address.
        open: how many clients are connected now.
        ended: how many have left.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: str, pause: float, beginning: bytes = b"+OK ", *, greets: bool = True) -> None:
        super().__init__((address, 0), socketserver.BaseRequestHandler)
        self.host = address
        self.open = self.ended = 0
        self._pause, self._beginning, self._greets = pause, beginning, greets
        self._lock = threading.Lock()
        self._over = threading.Event()

    @property
    def port(self) -> int:
        """The port to connect to."""
        return int(self.server_address[1])

    def finish_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Drip until the client has disconnected."""
        assert isinstance(request, socket.socket)
        with self._lock:
            self.open += 1
        try:
            if not self._greets:
                request.recv(64)
            request.settimeout(self._pause)
            request.sendall(self._beginning)
            while not self._over.is_set():
                try:
                    if not request.recv(64):
                        break
                except TimeoutError:
                    request.sendall(b".")
        except OSError:
            pass
        with self._lock:
            self.open -= 1
            self.ended += 1

    def shutdown(self) -> None:
        """Stop dripping and listening."""
        self._over.set()
        super().shutdown()


@contextmanager
def dripping_servers(
    count: int, pause: float = 0.5, beginning: bytes = b"+OK ", *, greets: bool = True
) -> Iterator[list[DrippingServer]]:
    """Run so many, each at a loopback address of its own, from 127.0.1.1 on: limits count by address too."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(serving(DrippingServer(f"127.0.1.{number}", pause, beginning, greets=greets)))
            for number in range(1, count + 1)
        ]
