"""Connections to an object store, kept open between requests: as much of HTTP as an object store needs.

The standard library's client takes more CPU time for a small request than the kernel and TLS together: it writes
head and body apart, reads the head line by line, and makes an e-mail of it. Here a request is one system call, and
its answer usually another one. Each of them has a limit of its own, so a thread that watches the request is needed
only for what takes more of them: see `Route.watched`.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
import weakref
from collections import deque
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING

from botocore.exceptions import ReadTimeoutError

from ingest.adapters.deadline import RequestDeadline, running_deadline
from ingest.adapters.kernel_timeouts import wait_in_kernel
from ingest.adapters.stores.s3_exchange import read_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from urllib.parse import SplitResult

    from ingest.adapters.stores.s3_exchange import Exchange

_BLOCK_BYTES = 64 * 1024
# The buffer of an idle socket takes as much at once, so that no limit applies.
_UNDELAYED_BYTES = 16 * 1024
# Seconds of rest after which a server may have closed a connection. If it did so earlier, the request finds out.
_REST_SECONDS = 1.0
# How a connection ends that a server closes while it is idle.
_ENDED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
# Of Python's timeouts, and of those that the kernel keeps.
_TIMEOUTS = (TimeoutError, BlockingIOError)


@dataclass(frozen=True, slots=True)
class Network:
    """How connections are made.

    Attributes:
        connect_timeout: seconds for connecting, and for each piece of an upload to be accepted.
        read_timeout: seconds without a byte while an answer is awaited or read.
        piece_timeout: seconds for each 64 KiB of a request, and for the head of its answer.
        idle: connections kept open.
        ca_bundle: file of the trusted certificates.
    """

    connect_timeout: float
    read_timeout: float
    piece_timeout: float
    idle: int
    ca_bundle: str


class Connection:
    """An open connection.

    It keeps a duplicate descriptor, by which the deadline of the current request can shut it down: a socket in TLS
    cannot be duplicated.

    Attributes:
        used: when the last request ended, of the monotonic clock.
    """

    __slots__ = ("_poll", "handle", "sock", "used")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.handle = sock.dup()
        self.used = 0.0
        self._poll = select.poll()
        self._poll.register(self.handle, select.POLLIN)

    def has_ended(self) -> bool:
        """Whether the server closed it while it was idle: nothing else makes an idle connection readable."""
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Close both descriptors."""
        self.handle.close()
        self.sock.close()


@dataclass(eq=False, slots=True, weakref_slot=True)
class Route:
    """The way to one server, with the connections that wait for the next request.

    Attributes:
        base: scheme, host and port.
    """

    base: SplitResult
    network: Network
    context: ssl.SSLContext | None = None
    idle: deque[Connection] = field(default_factory=deque)
    _send_limit: float = field(default=0.0, init=False)
    _receive_limit: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        network = self.network
        self._send_limit = min(network.connect_timeout, network.piece_timeout)
        self._receive_limit = min(network.read_timeout, network.piece_timeout)
        if self.base.scheme == "https":
            self.context = ssl.create_default_context(cafile=network.ca_bundle)
        weakref.finalize(self, _close_all, self.idle)

    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Exchange:
        """Send a request and wait for the head of its answer.

        A server may close an idle connection just when it is used again. The request is then made on a new one.

        Raises:
            ReadTimeoutError: the server took too long, though it may have sent a byte now and then.
            OSError, HTTPException: there is no answer, or none that is HTTP.
        """
        head = _request_head(method, path, headers)
        connection = self._take()
        if connection is not None:
            try:
                return self._send(connection, method, head, body)
            except _ENDED:
                pass
        return self._send(self.connect(), method, head, body)

    def _send(self, connection: Connection, method: str, head: bytes, body: bytes) -> Exchange:
        begun, deadline = time.monotonic(), running_deadline()
        try:
            self._send_request(connection, head, body, deadline)
            return read_answer(self, connection, to_head=method == "HEAD")
        except BaseException as error:
            connection.close()
            if deadline is not None:
                late = deadline.over
            else:
                late = isinstance(error, _TIMEOUTS) and time.monotonic() - begun >= self.network.piece_timeout
            if late and not isinstance(error, ReadTimeoutError):
                raise self.overdue() from error
            raise

    def _send_request(
        self, connection: Connection, head: bytes, body: bytes, deadline: RequestDeadline | None
    ) -> None:
        sock = connection.sock
        if deadline is not None:
            deadline.guard(connection.handle, lent=True)
        elif self.context is None:
            sent = sock.sendmsg((head, body))  # which ends after `_send_limit`, whatever was sent by then
            if sent < len(head) + len(body):
                with self.watched(connection, self.network.piece_timeout) as watched:
                    _send_blocks(sock, b"", memoryview(head + body)[sent:], watched)
            return
        large = self.context is not None and len(body) > _UNDELAYED_BYTES
        if large:
            sock.settimeout(self._send_limit)
        _send_blocks(sock, head, body, deadline)
        if large:
            sock.settimeout(self._receive_limit)

    @contextmanager
    def watched(self, connection: Connection, seconds: float) -> Iterator[RequestDeadline]:
        """Shut down a connection if the `with` block takes too long. If the caller has a deadline, that counts.

        The limits of the system calls do not suffice where each of them may bring a byte.

        Raises:
            ReadTimeoutError: it took too long.
        """
        current = running_deadline()
        with nullcontext(current) if current else RequestDeadline(seconds, by_progress=True).running() as deadline:
            deadline.guard(connection.handle, lent=True)
            try:
                yield deadline
            except (OSError, HTTPException) as error:
                if deadline.over:
                    raise self.overdue() from error
                raise
            if deadline.over:  # an answer that was cut off then may look complete
                raise self.overdue()

    def overdue(self) -> ReadTimeoutError:
        """Return the error for a server that takes too long."""
        return ReadTimeoutError(endpoint_url=self.base.netloc)

    def _take(self) -> Connection | None:
        """Return a connection that is open, as far as can be known; None if there is none."""
        while self.idle:
            try:
                connection = self.idle.pop()
            except IndexError:
                break  # another thread took the last one
            if time.monotonic() - connection.used < _REST_SECONDS or not connection.has_ended():
                return connection
            connection.close()
        return None

    def connect(self) -> Connection:
        """Open a connection.

        Raises:
            ReadTimeoutError, OSError: it cannot be opened, or takes too long.
        """
        name = self.base.hostname or ""
        port = self.base.port or (80 if self.context is None else 443)
        sock = socket.create_connection((name, port), self._send_limit)
        made = Connection(sock)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context is not None:
                with self.watched(made, self.network.piece_timeout):
                    made.sock = self.context.wrap_socket(sock, server_hostname=name)
                made.sock.settimeout(self._receive_limit)
            else:
                wait_in_kernel(sock, send=self._send_limit, receive=self._receive_limit)
        except BaseException:
            made.close()
            raise
        return made

    def release(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        if len(self.idle) < self.network.idle:
            connection.used = time.monotonic()
            self.idle.append(connection)
        else:
            connection.close()


def _request_head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    fields = "\r\n".join(map(": ".join, headers.items()))
    if fields.count("\n") != len(headers) - 1 or fields.count("\r") != len(headers) - 1:
        raise HTTPException("a field of the request holds a line break")
    return f"{method} {path} HTTP/1.1\r\naccept-encoding: identity\r\n{fields}\r\n\r\n".encode("latin-1")


def _send_blocks(
    sock: socket.socket, head: bytes, body: bytes | memoryview, deadline: RequestDeadline | None
) -> None:
    """Send a request in blocks, since the timeout of a socket and the time of the deadline are for each of them."""
    view = memoryview(body)
    sock.sendall(head + view[:_BLOCK_BYTES])
    for begin in range(_BLOCK_BYTES, len(view), _BLOCK_BYTES):
        if deadline is not None:
            deadline.progress()
        sock.sendall(view[begin : begin + _BLOCK_BYTES])
    if deadline is not None:
        deadline.progress()


def _close_all(connections: deque[Connection]) -> None:
    while connections:
        connections.pop().close()
