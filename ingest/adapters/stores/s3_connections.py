"""Connections to an object store, kept open between requests."""

from __future__ import annotations

import io
import re
import select
import socket
import ssl
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, RemoteDisconnected
from typing import TYPE_CHECKING, Any

from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError
from typing_extensions import override

from ingest.adapters.deadline import running_deadline

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from typing_extensions import Buffer

_ANSWER_BYTES = 64 * 1024  # of the answer to a put, which is empty, or an error of some hundred bytes
_BLOCK_BYTES = 64 * 1024
_LINE_BYTES = 64 * 1024
_MOST_FIELDS = 100
_STATUS = re.compile(r"HTTP/(1\.[01]) ([1-5]\d\d)(?: |\r?\n)")
_DIGITS = re.compile("[0-9]{1,18}")


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


class _Response(HTTPResponse):
    """An answer whose head is read by a few string operations; the standard library's reader makes an e-mail of it.

    It is stricter: what RFC 9112 does not allow a server to send is an `HTTPException`.

    Attributes:
        fields: the header, by names in lower case.
    """

    fields: dict[str, str]

    @override
    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self._to_head = method == "HEAD"

    @override
    def begin(self) -> None:
        status = 100
        while status == 100:  # noqa: PLR2004 - "go on", which may come before the answer
            status, version, self.fields = self._read_head()
        coding, length = self.fields.get("transfer-encoding"), self.fields.get("content-length", "")
        if coding not in (None, "chunked") or status < 200 or (length and not _DIGITS.fullmatch(length)):  # noqa: PLR2004
            raise HTTPException("the answer has an unknown form")
        self.code = self.status = status
        self.version = 11 if version == "1.1" else 10
        self.chunked, self.chunk_left = coding is not None, None
        self.length = None if self.chunked or not length else int(length)
        if self._to_head or status in (204, 304):  # RFC 9112 section 6.3
            self.length = 0
        closes = "close" in self.fields.get("connection", "").lower() or self.version == 10  # noqa: PLR2004
        self.will_close = closes or (self.length is None and not self.chunked)

    def _read_head(self) -> tuple[int, str, dict[str, str]]:
        """Return status, version and header; a field that is there twice has both values, as in RFC 9110."""
        line = self.fp.readline(_LINE_BYTES)
        if not line:
            raise RemoteDisconnected("the server closed the connection without an answer")
        start = _STATUS.match(line.decode("latin-1"))
        if start is None:
            raise HTTPException("the answer is not HTTP")
        fields: dict[str, str] = {}
        for _ in range(_MOST_FIELDS):
            line = self.fp.readline(_LINE_BYTES)
            if line in (b"\r\n", b"\n"):
                return int(start[2]), start[1], fields
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not line.endswith(b"\n") or not name or name != name.strip():
                raise HTTPException("the answer has a field that is none")
            name, value = name.lower(), value.strip()
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        raise HTTPException("the answer has too many fields")


class _Connection(HTTPConnection):
    """A connection whose socket the deadline of the current request can shut down.

    It keeps a duplicate descriptor for that: a socket in TLS cannot be duplicated.
    """

    handle: socket.socket | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._create_connection = self._opened

    def _opened(self, *args: Any, **options: Any) -> socket.socket:
        made = socket.create_connection(*args, **options)
        self.handle = made.dup()
        self.guard()
        return made

    def guard(self) -> None:
        """Let the current request's deadline shut down the socket."""
        if (deadline := running_deadline()) is not None:
            deadline.guard(self.handle)

    @override
    def send(self, data: Any) -> None:
        super().send(data)
        if (deadline := running_deadline()) is not None:
            deadline.progress()

    @override
    def close(self) -> None:
        handle, self.handle = self.handle, None
        if handle is not None:
            handle.close()
        super().close()


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


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
        assert connection.sock is not None
        connection.guard()
        connection.sock.settimeout(self.network.connect_timeout)
        # As a file, so that the timeout is for each block.
        connection.request(method, path, None if body is None else io.BytesIO(body), dict(headers))
        connection.sock.settimeout(self.network.read_timeout)
        response = connection.getresponse()
        if (deadline := running_deadline()) is not None and deadline.over:
            raise TimeoutError("the head of the answer was cut off")
        assert isinstance(response, _Response)
        return Exchange(self, connection, response, response.fields)

    def connected(self) -> tuple[_Connection, bool]:
        """Return a connection, and whether it was used before."""
        while self.idle:
            with suppress(IndexError):  # another thread took the last one
                connection = self.idle.pop()
                if not _has_ended(connection):
                    return connection, True
                connection.close()
        name, port, timeout = self.base.hostname or "", self.base.port, self.network.connect_timeout
        made = (
            _Connection(name, port, timeout, blocksize=_BLOCK_BYTES)
            if self.context is None
            else _TlsConnection(name, port, timeout=timeout, blocksize=_BLOCK_BYTES, context=self.context)
        )
        made.response_class = _Response
        try:
            made.connect()
        except BaseException:
            made.close()
            raise
        return made, False

    def release(self, connection: _Connection) -> None:
        """Keep a connection for the next request."""
        if len(self.idle) < self.network.idle:
            self.idle.append(connection)
        else:
            connection.close()


@dataclass(eq=False, slots=True)
class Exchange:
    """A request and its answer, which is read like boto3's `StreamingBody`."""

    route: Route
    connection: _Connection
    response: HTTPResponse
    fields: Mapping[str, str]

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status

    def read_all(self) -> bytes:
        """Read an answer to its end, or the beginning of one that is too long, and close."""
        try:
            return self.response.read(_ANSWER_BYTES)
        except (OSError, HTTPException):  # the status, which counts, was read
            return b""
        finally:
            self.close()

    def readinto(self, buffer: Buffer, /) -> int:
        """Read some bytes; 0 at the end, which comes after as many as were announced."""
        try:
            count = self.response.readinto(buffer)
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=self.route.base.netloc, error=error) from error
        except (OSError, HTTPException) as error:
            raise ResponseStreamingError(error=error) from error
        if not count and self.response.length:
            expected = int(self.fields.get("content-length", 0))
            raise IncompleteReadError(actual_bytes=expected - self.response.length, expected_bytes=expected)
        return count

    def close(self) -> None:
        """Release the connection; one with unread bytes is closed."""
        connection, complete = self.connection, self.response.isclosed() and not self.response.length
        reusable = complete and not self.response.will_close
        self.response.close()
        if reusable and connection.sock is not None:
            self.route.release(connection)
        else:
            connection.close()


def _has_ended(connection: _Connection) -> bool:
    """Whether the server closed an idle connection: nothing else makes one readable."""
    if connection.sock is None:
        return True
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _close_all(connections: deque[_Connection]) -> None:
    while connections:
        connections.pop().close()
