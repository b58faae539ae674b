"""ClamAV's daemon through its INSTREAM command (clamd(8)): the file is sent over a socket, no folder is shared.

Quirks:
- it answers a stream longer than its `StreamMaxLength` with an ERROR, or closes the connection in the middle;
- it scans a file above its `MaxFileSize`, `MaxScanSize` and the like only in part, or not at all, and answers OK,
  unless `AlertExceedsMax` is on: then it reports `Heuristics.Limits.Exceeded…`, which is not a virus.
"""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, BinaryIO, Self
from urllib.parse import urlsplit

from typing_extensions import override

from ingest.domain.manifest import Scan
from ingest.errors import ScannerUnavailableError
from ingest.ports.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 64 * 1024
_ANSWER_BYTES = 4096
_CONNECT_SECONDS = 5.0
# Seconds without scans after one timed out, so that a scanner that hangs does not cost a whole timeout per file.
_PAUSE = 30.0
_FOUND = re.compile(rb"stream: ([!-~]{1,256}) FOUND")
_LIMITS = "Heuristics.Limits.Exceeded"
UNSCANNED = Scan(status="unscanned")


class ClamdScanner(Scanner):
    """Scans through one clamd.

    Args:
        url: `unix:///run/clamav/clamd.ctl` or `tcp://host:3310`.
        timeout: seconds for one file as a whole, from connecting to the answer.
        largest: bytes; a larger file is not sent. Not above clamd's own StreamMaxLength and MaxFileSize.
        clock: monotonic, in seconds.
    """

    def __init__(
        self, url: str, *, timeout: float, largest: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url, self._timeout, self._largest, self._clock = url, timeout, largest, clock
        self._silent_until = clock()

    @override
    def scan(self, content: BinaryIO, size: int) -> Scan:
        if size > self._largest or self._clock() < self._silent_until:
            return UNSCANNED
        try:
            return _verdict(self._stream(content))
        except TimeoutError:
            self._silent_until = self._clock() + _PAUSE
            return UNSCANNED
        except OSError:
            return UNSCANNED

    @override
    def check(self) -> None:
        try:
            with self._connected(self._clock() + min(self._timeout, _CONNECT_SECONDS)) as connection:
                connection.send(b"zPING\0")
                answer = connection.answer()
        except OSError as error:
            why = error.strerror or "no answer in time"
            raise ScannerUnavailableError(
                f"clamd does not answer at {self._url} ({why}); check that it is running"
            ) from error
        if answer != b"PONG":
            raise ScannerUnavailableError(f"the server at {self._url} is not clamd; correct the address")

    def _stream(self, content: BinaryIO) -> bytes:
        with self._connected(self._clock() + self._timeout) as connection:
            connection.send(b"zINSTREAM\0")
            while chunk := content.read(_CHUNK):
                connection.send(len(chunk).to_bytes(4, "big") + chunk)
            connection.send(bytes(4))
            return connection.answer()

    def _connected(self, deadline: float) -> _Connection:
        seconds = min(_CONNECT_SECONDS, self._timeout)
        parts = urlsplit(self._url)
        if parts.scheme == "tcp":
            return _Connection(
                socket.create_connection((parts.hostname or "", parts.port or 0), seconds), deadline, self._clock
            )
        made = socket.socket(socket.AF_UNIX)
        try:
            made.settimeout(seconds)
            made.connect(parts.path)
        except BaseException:
            made.close()
            raise
        return _Connection(made, deadline, self._clock)


class _Connection:
    """A socket whose operations all end before one deadline; raises OSError, TimeoutError included."""

    def __init__(self, connected: socket.socket, deadline: float, clock: Callable[[], float]) -> None:
        self._socket, self._deadline, self._clock = connected, deadline, clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send all bytes; the timeout of `sendall` covers the whole call."""
        self._limit()
        self._socket.sendall(data)

    def answer(self) -> bytes:
        """Return what arrives up to the NUL, or to the end of the connection."""
        received = b""
        while b"\0" not in received and len(received) < _ANSWER_BYTES:
            self._limit()
            more = self._socket.recv(_ANSWER_BYTES)
            if not more:
                break
            received += more
        return received.partition(b"\0")[0]

    def _limit(self) -> None:
        left = self._deadline - self._clock()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)


def _verdict(answer: bytes) -> Scan:
    if answer == b"stream: OK":
        return Scan(status="clean")
    found = _FOUND.fullmatch(answer)
    if found is None or found[1].startswith(_LIMITS.encode()):
        return UNSCANNED
    return Scan(status="infected", signature=found[1].decode("ascii"))
