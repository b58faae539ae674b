"""Connections to an object store, kept open between requests: as much of HTTP as an object store needs.

The standard library's client takes more CPU time for a small request than the kernel and TLS together: it writes
head and body apart, reads the head line by line, and makes an e-mail of it. Here a small request is one write, and
its answer usually one read.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import weakref
from collections import deque
from dataclasses import dataclass, field
from http.client import HTTPException, RemoteDisconnected
from typing import TYPE_CHECKING

from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from ingest.adapters.deadline import running_deadline
from ingest.adapters.kernel_timeouts import wait_in_kernel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from typing_extensions import Buffer

_ANSWER_BYTES = 64 * 1024  # of the answer to a put, which is empty, or an error of some hundred bytes
_BLOCK_BYTES = 64 * 1024
_HEAD_BYTES = 64 * 1024
_MOST_FIELDS = 100
_PROTOCOL = b"HTTP/1."
_STATUS = re.compile(r"HTTP/(1\.[01]) ([1-5]\d\d)(?: [^\r\n]*)?\r\n")
_FIELD = re.compile(r"\n([^\s:]+):[ \t]*+([^\r\n]*)\r(?=\n)")
_DIGITS = re.compile("[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_LINE_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Network:
    """How connections are made.

    Attributes:
        connect_timeout: seconds for connecting, and for each piece of an upload to be accepted.
        read_timeout: seconds without a byte while an answer is awaited or read.
        idle: connections kept open.
        ca_bundle: file of the trusted certificates.
    """

    connect_timeout: float
    read_timeout: float
    idle: int
    ca_bundle: str


class _Connection:
    """An open connection.

    It keeps a duplicate descriptor, by which the deadline of the current request can shut it down: a socket in TLS
    cannot be duplicated.
    """

    __slots__ = ("_poll", "handle", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.handle = sock.dup()
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
    idle: deque[_Connection] = field(default_factory=deque)

    def __post_init__(self) -> None:
        if self.base.scheme == "https":
            self.context = ssl.create_default_context(cafile=self.network.ca_bundle)
        weakref.finalize(self, _close_all, self.idle)

    def send(
        self, connection: _Connection, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Exchange:
        """Send a request and wait for the head of its answer.

        Raises:
            OSError, HTTPException: there is none; the connection is of no more use.
        """
        deadline, sock = running_deadline(), connection.sock
        if deadline is not None:
            deadline.guard(connection.handle, lent=True)
        if self.context is not None:
            sock.settimeout(self.network.connect_timeout)
        rest = memoryview(_request_head(method, path, headers) + (body or b""))
        while rest:  # in blocks, since the timeout is for each
            sock.sendall(rest[:_BLOCK_BYTES])
            rest = rest[_BLOCK_BYTES:]
            if deadline is not None:
                deadline.progress()
        if self.context is not None:
            sock.settimeout(self.network.read_timeout)
        exchange = _answer(self, connection, to_head=method == "HEAD")
        if deadline is not None and deadline.over:
            raise TimeoutError("the head of the answer was cut off")
        return exchange

    def connected(self) -> tuple[_Connection, bool]:
        """Return a connection, and whether it was used before."""
        while self.idle:
            try:
                connection = self.idle.pop()
            except IndexError:
                break  # another thread took the last one
            if not connection.has_ended():
                return connection, True
            connection.close()
        return self._connect(), False

    def _connect(self) -> _Connection:
        name, timeout = self.base.hostname or "", self.network.connect_timeout
        port = self.base.port or (80 if self.context is None else 443)
        sock = socket.create_connection((name, port), timeout)
        made = _Connection(sock)
        try:
            if (deadline := running_deadline()) is not None:
                deadline.guard(made.handle, lent=True)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context is not None:
                made.sock = self.context.wrap_socket(sock, server_hostname=name)
            else:
                wait_in_kernel(sock, send=timeout, receive=self.network.read_timeout)
        except BaseException:
            made.close()
            raise
        return made

    def release(self, connection: _Connection) -> None:
        """Keep a connection for the next request."""
        if len(self.idle) < self.network.idle:
            self.idle.append(connection)
        else:
            connection.close()


def _request_head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if fields.count("\n") != len(headers) or fields.count("\r") != len(headers):
        raise HTTPException("a field of the request holds a line break")
    return f"{method} {path} HTTP/1.1\r\naccept-encoding: identity\r\n{fields}\r\n".encode("latin-1")


def _answer(route: Route, connection: _Connection, *, to_head: bool) -> Exchange:
    """Read the head of an answer. What RFC 9112 does not allow a server to send is an `HTTPException`."""
    received, status = b"", 100
    while status == 100:  # noqa: PLR2004 - "go on", which may come before the answer
        head, received = _read_head(connection.sock, received)
        status, version, fields = _parsed_head(head)
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    unknown = length is not None and not _DIGITS.fullmatch(length)
    if coding not in (None, "chunked") or status < 200 or unknown:  # noqa: PLR2004
        raise HTTPException("the answer has an unknown form")
    closes = version == "1.0" or "close" in fields.get("connection", "").lower()
    left = None if length is None else int(length)
    if to_head or status in (204, 304):  # RFC 9112 section 6.3
        coding, left = None, 0
    elif coding is not None:
        left = None
    exchange = Exchange(route, connection, status, fields, received=received, left=left, closes=closes)
    if coding is not None:
        exchange.chunks = _Chunks(exchange)
    return exchange


def _read_head(sock: socket.socket, received: bytes) -> tuple[bytes, bytes]:
    """Return the next head, without the blank line, and what was received behind it."""
    while (end := received.find(b"\r\n\r\n")) < 0:
        if len(received) > _HEAD_BYTES or not received.startswith(_PROTOCOL[: len(received)]):
            raise HTTPException("the answer is not HTTP, or has no end of its head")
        more = sock.recv(_BLOCK_BYTES)
        if not more and not received:
            raise RemoteDisconnected("the server closed the connection without an answer")
        if not more:
            raise HTTPException("the answer ends in its head")
        received += more
    if end > _HEAD_BYTES:
        raise HTTPException("the head of the answer is too long")
    return received[:end], received[end + 4 :]


def _parsed_head(head: bytes) -> tuple[int, str, dict[str, str]]:
    """Return status, version and header; a field that is there twice has both values, as in RFC 9110."""
    text = head.decode("latin-1") + "\r\n"
    start, found = _STATUS.match(text), _FIELD.findall(text)
    if start is None or len(found) > _MOST_FIELDS:
        raise HTTPException("the answer is not HTTP, or has too many fields")
    if text.count("\n") != len(found) + 1:
        raise HTTPException("the answer has a field that is none")
    if " \r" in text or "\t\r" in text:
        found = [(name, value.rstrip(" \t")) for name, value in found]
    fields: dict[str, str] = {}
    for name, value in found:
        name = name.lower()  # noqa: PLW2901 - the same field
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return int(start[2]), start[1], fields


class Exchange:
    """A request and its answer, which is read like boto3's `StreamingBody`.

    Attributes:
        status: the HTTP status.
        fields: the header, by names in lower case.
        chunks: reads the body if it is sent in chunks.
    """

    __slots__ = ("_closed", "_closes", "_left", "_received", "chunks", "connection", "fields", "route", "status")

    def __init__(
        self,
        route: Route,
        connection: _Connection,
        status: int,
        fields: Mapping[str, str],
        *,
        received: bytes,
        left: int | None,
        closes: bool,
    ) -> None:
        """Begin to read a body.

        Args:
            route: where the connection is kept afterwards.
            connection: of the answer.
            status: the HTTP status.
            fields: the header.
            received: what came of the body with the head.
            left: how many bytes the body has; None if it ends in another way.
            closes: whether the server closes the connection.
        """
        self.route, self.connection, self.status, self.fields = route, connection, status, fields
        self.chunks: _Chunks | None = None
        self._received, self._left, self._closes = received, left, closes
        self._closed = False

    def read_all(self) -> bytes:
        """Read an answer to its end, or the beginning of one that is too long, and close."""
        try:
            if self._left is not None and self._left <= len(self._received):  # such as that to most puts
                body, self._received = self._received[: self._left], self._received[self._left :]
                self._left = 0
                return body
            return self._read_some(_ANSWER_BYTES)
        finally:
            self.close()

    def _read_some(self, most: int) -> bytes:
        buffer = bytearray(most)
        try:
            return bytes(buffer[: self._fill(memoryview(buffer))])
        except (OSError, HTTPException):  # the status, which counts, was read
            return b""

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the buffer, or what the answer has left; 0 at the end, which comes after as many as were announced.

        A deadline is for what fits into the buffer, so a server that sends a byte now and then must not return here.
        """
        try:
            count = self._fill(memoryview(buffer).cast("B"))
        except (TimeoutError, BlockingIOError) as error:
            raise ReadTimeoutError(endpoint_url=self.route.base.netloc, error=error) from error
        except (OSError, HTTPException) as error:
            raise ResponseStreamingError(error=error) from error
        if not count and self._left:
            expected = int(self.fields["content-length"])
            raise IncompleteReadError(actual_bytes=expected - self._left, expected_bytes=expected)
        return count

    def _fill(self, buffer: memoryview) -> int:
        filled = 0
        while filled < len(buffer) and (count := self._readinto(buffer[filled:])):
            filled += count
        return filled

    def _readinto(self, buffer: memoryview) -> int:
        if self.chunks is not None:
            return self.chunks.readinto(buffer)
        if self._left is not None:
            buffer = buffer[: self._left]
        count = self.receive(buffer) if buffer else 0
        if self._left is not None:
            self._left -= count
        return count

    def receive(self, buffer: memoryview) -> int:
        """Receive some of the bytes behind the head, whatever they belong to; 0 at the end of the connection."""
        if self._received:
            count = min(len(buffer), len(self._received))
            buffer[:count] = self._received[:count]
            self._received = self._received[count:]
            return count
        return self.connection.sock.recv_into(buffer)

    def receive_line(self) -> bytes:
        """Receive bytes to the end of a line; less at the end of the connection, or if the line is too long."""
        while (end := self._received.find(b"\n") + 1) == 0 and len(self._received) <= _LINE_BYTES:
            more = self.connection.sock.recv(_BLOCK_BYTES)
            if not more:
                break
            self._received += more
        line, self._received = self._received[: end or None], self._received[end:] if end else b""
        return line

    def close(self) -> None:
        """Release the connection; one with unread bytes is closed."""
        if self._closed:
            return
        self._closed = True
        complete = self._left == 0 if self.chunks is None else self.chunks.complete
        if complete and not self._received and not self._closes:
            self.route.release(self.connection)
        else:
            self.connection.close()


class _Chunks:
    """Reads a body that is sent in chunks (RFC 9112 section 7.1).

    Attributes:
        complete: whether it was read to its end.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._left: int | None = None  # of the current chunk; None before the first
        self._ended = False
        self.complete = False

    def readinto(self, buffer: memoryview) -> int:
        """Read some bytes; 0 at the end."""
        if not self._left and not self._ended:
            self._begin_chunk()
        if self._ended:
            return 0
        assert self._left is not None
        count = self._exchange.receive(buffer[: self._left])
        if not count and buffer:
            raise HTTPException("the answer ends in a chunk")
        self._left -= count
        return count

    def _begin_chunk(self) -> None:
        if self._left == 0 and self._line() != b"\r\n":
            raise HTTPException("a chunk of the answer has another size than announced")
        size = _CHUNK_SIZE.fullmatch(self._line())
        if size is None:
            raise HTTPException("a chunk of the answer has no size")
        self._left = int(size[1], 16)
        if self._left == 0:
            for _ in range(_MOST_FIELDS):
                if self._line() == b"\r\n":
                    break
            else:
                raise HTTPException("the answer has too many fields")
            self._ended = self.complete = True

    def _line(self) -> bytes:
        line = self._exchange.receive_line()
        if len(line) > _LINE_BYTES or not line.endswith(b"\n"):
            raise HTTPException("the answer ends in a chunk")
        return line


def _close_all(connections: deque[_Connection]) -> None:
    while connections:
        connections.pop().close()
