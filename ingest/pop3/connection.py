"""The bytes of one session: a socket that never blocks longer than its deadline allows.

Reading goes on while something is still to be written. A server that stops reading until its answers are taken
(Dovecot does at 4 KiB of queued output) can therefore never hold us up.
"""

from __future__ import annotations

import math
import select
import ssl
from typing import TYPE_CHECKING

from ingest.errors import MaildropConnectError, MaildropTimeoutError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ingest.pop3.deadlines import Deadline

# Seconds; 0 would mean not to wait at all.
_SHORTEST = 0.001
_RECORD_BYTES = 4 * 1024
# With more, the bytes have left the CPU's cache by the time they are hashed.
_BUFFER_BYTES = 64 * 1024
_GONE = "The server ended the connection during the TLS handshake: is TLS spoken on this port?"


class Connection:
    """A connected socket, at first without TLS. `clock` is monotonic, in seconds."""

    def __init__(self, sock: socket.socket, clock: Callable[[], float]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._clock = clock
        self._outgoing = bytearray()
        self._asked = False
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))

    def send(self, data: bytes) -> None:
        """Queue bytes and write what can be written at once; `receive` writes the rest."""
        self._outgoing += data
        self._asked = True
        self._flush()

    def receive(self, deadline: Deadline) -> memoryview:
        """What has arrived, at least one byte, or nothing at the end of the stream. Valid until the next call.

        Raises:
            MaildropTimeoutError: the deadline has passed, even if bytes keep coming.
            MaildropConnectError: the connection broke.
        """
        while True:
            self._check(deadline)
            if self._outgoing:
                self._flush()
            if self._asked and not self._held():
                # An answer takes its time; to look for it at once would only cost, with TLS more than the wait.
                self._asked = False
                self._wait(select.POLLIN, deadline)
                continue
            try:
                return self._buffer[: self._read()]
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(select.POLLIN, deadline)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, deadline)
            except OSError as error:
                raise MaildropConnectError(f"The connection broke: {error.strerror or error}.") from error

    def _read(self) -> int:
        """Fill the buffer with what is there; returns how many bytes.

        TLS hands out one record at a time, and Dovecot makes them of 4 KiB. Where one that large came, more are
        likely there, and to go through each by itself costs more than to gather them. Where the connection breaks
        behind a record, what came before it still counts; the next call finds it broken or ended.
        """
        size = last = self._sock.recv_into(self._buffer)
        while last >= _RECORD_BYTES and size < _BUFFER_BYTES:
            try:
                last = self._sock.recv_into(self._buffer[size:])
            except OSError:
                break
            size += last
        return size

    def arrived(self) -> memoryview:
        """What has arrived, without waiting; nothing also at the end of the stream. Valid until the next call."""
        try:
            if not self._held() and not self._poll(select.POLLIN).poll(0):
                return self._buffer[:0]
            return self._buffer[: self._sock.recv_into(self._buffer)]
        except OSError:  # nothing is there, or the connection broke, which the next `receive` will tell
            return self._buffer[:0]

    def secure(self, context: ssl.SSLContext, host: str, deadline: Deadline) -> ssl.SSLSocket:
        """Put TLS on the connection; returns the socket for a look at its certificate.

        Raises:
            MaildropTimeoutError: the deadline has passed.
            ssl.SSLError: the handshake failed; the caller knows the words for it.
            MaildropConnectError: the server went away.
        """
        try:
            sock = context.wrap_socket(self._sock, server_hostname=host, do_handshake_on_connect=False)
            self._sock = sock  # which has taken the descriptor over
            # One wait in C, until the deadline of the whole handshake: each step out here would cost an exception,
            # together a twentieth of an empty poll.
            sock.settimeout(max(_SHORTEST, deadline.at - self._clock()))
            sock.do_handshake()
            sock.setblocking(False)
        except TimeoutError as error:
            raise MaildropTimeoutError(deadline.words) from error
        except ssl.SSLEOFError as error:
            raise MaildropConnectError(_GONE) from error
        except ssl.SSLError:
            raise
        except OSError as error:
            raise MaildropConnectError(_GONE) from error
        return sock

    def close(self) -> None:
        """End the connection; again does no harm."""
        self._sock.close()

    def _flush(self) -> None:
        while self._outgoing:
            try:
                sent = self._sock.send(self._outgoing)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                # The server may have said why before it went: reading will tell.
                self._outgoing.clear()
                return
            del self._outgoing[:sent]

    def _check(self, deadline: Deadline) -> None:
        if self._clock() >= deadline.at:
            raise MaildropTimeoutError(deadline.words)

    def _wait(self, events: int, deadline: Deadline) -> None:
        """Sleep until the socket is ready or the deadline is there."""
        events |= select.POLLOUT if self._outgoing else 0
        self._poll(events).poll(math.ceil(max(0.0, deadline.at - self._clock()) * 1000))

    def _poll(self, events: int) -> select.poll:
        poll = select.poll()  # select.select ends at descriptor 1023
        poll.register(self._sock, events)
        return poll

    def _held(self) -> bool:
        """Whether TLS holds bytes of ours that the socket will not tell of."""
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0
