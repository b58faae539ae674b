"""The byte stream of one session: a socket that never blocks beyond its deadline.

Reading continues while data is still to be written, so a server that stops reading until its answers are taken
(Dovecot does at 4 KiB of queued output) cannot cause a deadlock.
"""

from __future__ import annotations

import math
import select
import ssl
import sys
from typing import TYPE_CHECKING, Any, cast

from ingest.errors import MaildropConnectError, MaildropTimeoutError
from ingest.pop3.tls_errors import after_handshake

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ingest.pop3.deadlines import Deadline

# Seconds; 0 would mean not to wait at all.
_SHORTEST = 0.001
_RECORD_BYTES = 4 * 1024
# With a larger buffer, the bytes have left the CPU's cache by the time they are hashed.
_BUFFER_BYTES = 64 * 1024
_GONE = "The server closed the connection during the TLS handshake: check that this port uses TLS."


class Connection:
    """A connected socket, initially without TLS. `clock` is monotonic, in seconds."""

    def __init__(self, sock: socket.socket, clock: Callable[[], float]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._clock = clock
        self._outgoing = bytearray()
        self._asked = False
        self._with_certificate = False
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))

    def send(self, data: bytes) -> None:
        """Queue bytes and write what the socket accepts at once; `receive` writes the rest."""
        self._outgoing += data
        self._asked = True
        self._flush()

    def receive(self, deadline: Deadline) -> memoryview:
        """Return what has arrived, at least one byte, or nothing at end of stream. Valid until the next call.

        Raises:
            MaildropTimeoutError: the deadline has passed, even if bytes keep coming.
            MaildropConnectError: the connection broke.
            MaildropTlsError: the server asks for a client certificate, or refuses ours.
        """
        while True:
            self._check(deadline)
            if self._outgoing:
                self._flush()
            if self._asked and not self._held():
                # The answer takes a round trip; trying to read at once would only cost CPU, especially with TLS.
                self._asked = False
                self._wait(select.POLLIN, deadline)
                continue
            try:
                return self._buffer[: self._read()]
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(select.POLLIN, deadline)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, deadline)
            except ssl.SSLError as error:
                raise after_handshake(error, with_certificate=self._with_certificate) from error
            except OSError as error:
                raise MaildropConnectError(f"The connection broke: {error.strerror or error}.") from error

    def _read(self) -> int:
        """Fill the buffer with the available bytes; return how many.

        TLS returns one record at a time: Dovecot's have 4 KiB, or a few bytes where it flushes output. After 4 KiB,
        more are likely available, and collecting them costs less than handling each by itself. If the connection
        breaks after a record, the bytes before it still count; the next call reports the error.
        """
        size = last = self._sock.recv_into(self._buffer)
        while last and size >= _RECORD_BYTES and size < _BUFFER_BYTES:
            try:
                last = self._sock.recv_into(self._buffer[size:])
            except OSError:
                break
            size += last
        return size

    def arrived(self) -> memoryview:
        """Return what has arrived, without waiting; nothing also at end of stream. Valid until the next call."""
        try:
            if not self._held() and not self._poll(select.POLLIN).poll(0):
                return self._buffer[:0]
            return self._buffer[: self._sock.recv_into(self._buffer)]
        except OSError:  # nothing is there, or the connection broke, which the next `receive` reports
            return self._buffer[:0]

    def secure(
        self, context: ssl.SSLContext, host: str, deadline: Deadline, *, with_certificate: bool = False
    ) -> ssl.SSLSocket:
        """Do the TLS handshake; return the socket, so that its certificate can be inspected.

        `with_certificate` says whether the context has a client certificate.

        Raises:
            MaildropTimeoutError: the deadline has passed.
            ssl.SSLError: the handshake failed; the caller translates it.
            MaildropConnectError: the server closed the connection.
        """
        self._with_certificate = with_certificate
        try:
            sock = context.wrap_socket(self._sock, server_hostname=host, do_handshake_on_connect=False)
            self._sock = sock  # it owns the descriptor now
            # One blocking call in C until the deadline: a non-blocking handshake costs an exception per step,
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

    def peer_chain(self) -> list[bytes]:
        """Return the certificates that the server sent, unverified, in DER; empty if there are none."""
        if not isinstance(self._sock, ssl.SSLSocket):
            return []
        if sys.version_info >= (3, 13):
            return list(self._sock.get_unverified_chain())
        return _chain_of(self._sock)

    def close(self) -> None:
        """Close the connection; may be called again."""
        self._sock.close()

    def _flush(self) -> None:
        while self._outgoing:
            try:
                sent = self._sock.send(self._outgoing)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                # The server may have sent the reason before it closed: reading will show it.
                self._outgoing.clear()
                return
            del self._outgoing[:sent]

    def _check(self, deadline: Deadline) -> None:
        if self._clock() >= deadline.at:
            raise MaildropTimeoutError(deadline.words)

    def _wait(self, events: int, deadline: Deadline) -> None:
        """Sleep until the socket is ready or the deadline is reached."""
        events |= select.POLLOUT if self._outgoing else 0
        self._poll(events).poll(math.ceil(max(0.0, deadline.at - self._clock()) * 1000))

    def _poll(self, events: int) -> select.poll:
        poll = select.poll()  # select.select ends at descriptor 1023
        poll.register(self._sock, events)
        return poll

    def _held(self) -> bool:
        """Whether TLS has buffered bytes that polling the socket does not show."""
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0


def _chain_of(sock: ssl.SSLSocket) -> list[bytes]:
    """Return the unverified chain in Python before 3.13, which has it where no public method reaches."""
    inner = cast("Any", sock)._sslobj  # noqa: SLF001 - as above
    found = inner.get_unverified_chain() if inner is not None else None
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in found or ()]
