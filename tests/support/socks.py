"""Small proxies on loopback, scripted: SOCKS5 (RFC 1928, RFC 1929) and HTTP CONNECT."""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Relay:
    """One proxy. It really connects, to loopback only, unless another reply is configured.

    Attributes:
        login: user name and password that it wants.
        refusal: the bytes that it sends instead of connecting.
        silent: it accepts the connection and sends nothing.
        impatient: it accepts the connection and closes it.
        port: the port it listens on.
        together: bytes from behind the proxy go out in one packet with the proxy's own answer.
        asked: hosts and ports that it was asked for, as they were named.
    """

    login: tuple[str, str] | None = None
    refusal: bytes | None = None
    silent: bool = False
    impatient: bool = False
    together: bool = False
    asked: list[tuple[str, int]] = field(default_factory=list)
    port: int = 0
    _threads: list[threading.Thread] = field(default_factory=list)
    _sockets: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets.append(self._listener)
        self.port = self._listener.getsockname()[1]
        self._start(self._serve)
        return self

    def __exit__(self, *_: object) -> None:
        for one in list(self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in list(self._threads):
            thread.join()
        for one in self._sockets:  # also those that were taken meanwhile
            one.close()

    def negotiate(self, client: socket.socket) -> socket.socket | None:
        """Serve the client's request; return the connection, or None."""
        raise NotImplementedError

    def reach(self, port: int) -> socket.socket:
        """Connect to a port of this machine, whatever host is named."""
        sock = socket.create_connection(("127.0.0.1", port))
        self._sockets.append(sock)
        return sock

    def answer(self, client: socket.socket, data: bytes, behind: socket.socket) -> None:
        """Report that the connection is established."""
        client.sendall(data + (behind.recv(4096) if self.together else b""))

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]  # callables of our own
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self._start(self._one, client)

    def _one(self, client: socket.socket) -> None:
        with suppress(OSError, IndexError, ValueError):
            if self.silent:
                client.recv(65536)
                client.recv(1)
                return
            if self.impatient:
                client.close()
                return
            behind = self.negotiate(client)
            if behind is not None:
                self._start(_copy, behind, client)
                _copy(client, behind)


class Socks5(Relay):
    """A SOCKS5 proxy that wants host names."""

    def negotiate(self, client: socket.socket) -> socket.socket | None:
        methods = client.recv(client.recv(2)[1])
        if self.login is not None:
            if 2 not in methods:
                client.sendall(b"\x05\xff")
                return None
            client.sendall(b"\x05\x02")
            user = client.recv(client.recv(2)[1])
            password = client.recv(client.recv(1)[0])
            right = (user.decode(), password.decode()) == self.login
            client.sendall(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return None
        else:
            client.sendall(b"\x05\x00")
        kind = client.recv(4)[3]
        assert kind == 3, "the proxy looks up the name"
        host = client.recv(client.recv(1)[0]).decode()
        port = int.from_bytes(client.recv(2), "big")
        self.asked.append((host, port))
        if self.refusal is not None:
            client.sendall(self.refusal)
            return None
        behind = self.reach(port)
        self.answer(client, b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00", behind)
        return behind


class HttpConnect(Relay):
    """An HTTP proxy that only connects."""

    def negotiate(self, client: socket.socket) -> socket.socket | None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            piece = client.recv(65536)
            if not piece:
                return None
            request += piece
        line, *header = request.decode().split("\r\n")
        host, _, port = line.split()[1].rpartition(":")
        self.asked.append((host, int(port)))
        wanted = None
        if self.login is not None:
            wanted = f"Proxy-Authorization: Basic {base64.b64encode(':'.join(self.login).encode()).decode()}"
        if wanted is not None and wanted not in header:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return None
        if self.refusal is not None:
            client.sendall(self.refusal)
            return None
        behind = self.reach(int(port))
        self.answer(client, b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n", behind)
        return behind


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
