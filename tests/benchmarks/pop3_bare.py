"""The POP3 benchmark's yardsticks: the least that can be done in Python, and the standard library."""

from __future__ import annotations

import hashlib
import poplib
import socket
import ssl
from functools import partial

from tests.benchmarks.pop3_child import HOST, PASSWORD, Target, main

_BUFFER = 256 * 1024
_ANSWER = 4096
_DOT = b"\r\n."
_END = b"\r\n.\r\n"


class Bare:
    """Receive and unstuff in a loop, all commands sent at once: no checks, no deadlines, no limits."""

    def __init__(self, target: Target, *, hashed: bool = False) -> None:
        self._target = target
        self._hashed = hashed

    def fetch(self) -> tuple[int, int]:
        with self._connected(_context(self._target)) as sock:
            sock.sendall(self._login(b"STAT\r\n"))
            answer = b""
            while answer.count(b"\n") < 4:  # the greeting, USER, PASS, STAT
                answer += sock.recv(_ANSWER)
            count = int(answer.split(b"\r\n")[3].split()[1])
            sock.sendall(b"".join(b"RETR %d\r\n" % number for number in range(1, count + 1)))
            size = self._receive(sock, count)
            sock.sendall(b"QUIT\r\n")
            sock.recv(_ANSWER)
        return count, size

    def polls(self, times: int) -> int:
        context = _context(self._target)
        command = self._login(b"UIDL\r\nQUIT\r\n")
        rows = 0
        for _ in range(times):
            with self._connected(context) as sock:
                sock.recv(_ANSWER)
                sock.sendall(command)
                answer = b""
                while answer.count(b"\n") < 5:  # USER, PASS, UIDL and its end, QUIT
                    answer += sock.recv(_ANSWER)
                rows += answer.count(b"\n") - 5
        return rows

    def _connected(self, context: ssl.SSLContext | None) -> socket.socket:
        sock = socket.create_connection((HOST, self._target.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(sock, server_hostname=HOST) if context else sock

    def _login(self, then: bytes) -> bytes:
        return b"USER %b\r\nPASS %b\r\n%b" % (self._target.user.encode(), PASSWORD.encode(), then)

    def _receive(self, sock: socket.socket, messages: int) -> int:
        """Receive into one buffer; bytes after the last CRLF wait for more. No line is longer than the buffer.

        A message begins at the CRLF of its status line, which is counted out at the end. One search finds whether
        there is any dot to be looked at; bytes without one are not even copied.
        """
        buffer = bytearray(2 * _BUFFER)
        view = memoryview(buffer)
        size, filled, left, inside = 0, 0, messages, False
        digest = hashlib.sha256()
        while left:
            filled += sock.recv_into(view[filled:])
            at = 0
            while left:
                if not inside:
                    head = buffer.find(b"\r\n", at, filled)
                    if head < 0:
                        break
                    at, inside = head, True
                dot = buffer.find(_DOT, at, filled)
                end = buffer.find(_END, dot, filled) if dot >= 0 else -1
                until = end + 2 if end >= 0 else max(at, buffer.rfind(b"\r\n", at, filled))
                piece = view[at:until] if dot < 0 else bytes(view[at:until]).replace(b"\r\n..", b"\r\n.")
                size += len(piece)
                if self._hashed:
                    digest.update(piece)
                at = until
                if end < 0:
                    break
                at, left, inside, digest = end + len(_END), left - 1, False, hashlib.sha256()
            rest = bytes(view[at:filled])
            filled = len(rest)
            view[:filled] = rest
        return size - 2 * messages


class Poplib:
    """Use poplib as its documentation shows, but verify certificates."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def fetch(self) -> tuple[int, int]:
        drop = self._opened(_context(self._target))
        count, size = drop.stat()[0], 0
        for number in range(1, count + 1):
            size += drop.retr(number)[2]
        drop.quit()
        return count, size

    def polls(self, times: int) -> int:
        context = _context(self._target)
        rows = 0
        for _ in range(times):
            drop = self._opened(context)
            rows += len(drop.uidl()[1])
            drop.quit()
        return rows

    def _opened(self, context: ssl.SSLContext | None) -> poplib.POP3:
        port = self._target.port
        drop = poplib.POP3_SSL(HOST, port, context=context) if context else poplib.POP3(HOST, port)
        drop.user(self._target.user)
        drop.pass_(PASSWORD)
        return drop


def _context(target: Target) -> ssl.SSLContext | None:
    """Return the TLS context that all sessions of the process share."""
    return ssl.create_default_context(cafile=target.ca) if target.ca else None


if __name__ == "__main__":
    main({"bare": Bare, "bare-sha256": partial(Bare, hashed=True), "poplib": Poplib})
