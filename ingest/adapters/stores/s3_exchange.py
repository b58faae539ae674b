"""Answers of an object store: as much of HTTP as its requests need, and nothing that RFC 9112 does not allow."""

from __future__ import annotations

import re
import time
from http.client import HTTPException, RemoteDisconnected
from typing import TYPE_CHECKING

from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from typing_extensions import Buffer

    from ingest.adapters.stores.s3_connections import Connection, Route

_ANSWER_BYTES = 64 * 1024  # of the answer to a put, which is empty, or an error of some hundred bytes
_BLOCK_BYTES = 64 * 1024
_HEAD_BYTES = 64 * 1024
_MOST_FIELDS = 100
_PROTOCOL = b"HTTP/1."
_END_OF_HEAD = b"\r\n\r\n"
_INTERIM = (b"HTTP/1.1 100", b"HTTP/1.0 100")
_STATUS = re.compile(r"HTTP/(1\.[01]) ([1-5]\d\d)(?: [^\r\n]*)?")
_DIGITS = re.compile("[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_LINE_BYTES = 8 * 1024


def read_answer(route: Route, connection: Connection, *, to_head: bool) -> Exchange:
    """Wait for an answer, and read its head.

    Args:
        route: where the connection is kept afterwards.
        connection: the request was sent there.
        to_head: whether it was a HEAD request, whose answer has no body.

    Raises:
        HTTPException: the answer is not one that RFC 9112 allows a server to send.
        ReadTimeoutError: the head took too long.
        OSError: there was no answer.
    """
    begun, received = time.monotonic(), connection.sock.recv(_BLOCK_BYTES)
    end = received.find(_END_OF_HEAD)
    if end < 0 or received.startswith(_INTERIM):
        with route.watched(connection, route.network.piece_timeout - (time.monotonic() - begun)):
            received, end = _whole_head(connection.sock, received)
    if end > _HEAD_BYTES:
        raise HTTPException("the head of the answer is too long")
    status, version, fields = _parsed_head(received[:end])
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    unknown = length is not None and not _DIGITS.fullmatch(length)
    if coding not in (None, "chunked") or status < 200 or unknown:  # noqa: PLR2004
        raise HTTPException("the answer has an unknown form")
    left = None if length is None or coding else int(length)
    if to_head or status in (204, 304):  # RFC 9112 section 6.3
        coding, left = None, 0
    closes = version == "1.0" or "close" in fields.get("connection", "").lower()
    exchange = Exchange(route, connection, status, fields, received=received[end + 4 :], left=left, closes=closes)
    if coding is not None:
        exchange.chunks = _Chunks(exchange)
    return exchange


def _whole_head(sock: socket.socket, received: bytes) -> tuple[bytes, int]:
    """Receive the rest of a head, past interim answers; return it with what follows, and where it ends."""
    while True:
        while (end := received.find(_END_OF_HEAD)) < 0:
            if len(received) > _HEAD_BYTES or not received.startswith(_PROTOCOL[: len(received)]):
                raise HTTPException("the answer is not HTTP, or has no end of its head")
            more = sock.recv(_BLOCK_BYTES)
            if not more and not received:
                raise RemoteDisconnected("the server closed the connection without an answer")
            if not more:
                raise HTTPException("the answer ends in its head")
            received += more
        if not received.startswith(_INTERIM):
            return received, end
        _parsed_head(received[:end])
        received = received[end + 4 :]


def _parsed_head(head: bytes) -> tuple[int, str, dict[str, str]]:
    """Return status, version and header; a field that is there twice has both values, as in RFC 9110."""
    text = head.decode("latin-1")
    first, *lines = text.split("\r\n")
    start = _STATUS.fullmatch(first)
    if start is None or len(lines) > _MOST_FIELDS:
        raise HTTPException("the answer is not HTTP, or has too many fields")
    fields: dict[str, str] = {}
    colons = True
    for line in lines:
        name, colon, value = line.partition(":")
        colons = colons and colon != ""
        name, value = name.lower(), value.strip(" \t")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    names = "".join(fields)
    if not (names.isascii() and names.isprintable()) or " " in names or "" in fields or not colons:
        raise HTTPException("the answer has a field that is none")
    if not text.count("\r") == text.count("\n") == len(lines):
        raise HTTPException("the answer has a line break in a field")
    return int(start[2]), start[1], fields


class Exchange:
    """A request and its answer, which is read like boto3's `StreamingBody`: under a deadline of the reader's.

    Attributes:
        status: the HTTP status.
        fields: the header, by names in lower case.
        chunks: reads the body if it is sent in chunks.
    """

    __slots__ = ("_closed", "_closes", "_left", "_received", "chunks", "connection", "fields", "route", "status")

    def __init__(
        self,
        route: Route,
        connection: Connection,
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
        """Read an answer to its end, or the beginning of one that is too long, and close.

        Raises:
            ReadTimeoutError: the server took too long.
        """
        try:
            if self._left is not None and self._left <= len(self._received):  # such as that to most puts
                body, self._received = self._received[: self._left], self._received[self._left :]
                self._left = 0
                return body
            with self.route.watched(self.connection, self.route.network.piece_timeout):
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
