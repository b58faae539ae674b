"""The byte stream of one session: a socket that never blocks beyond its deadline.

Reading continues while data is still to be written, so a server that stops reading until its answers are taken
(Dovecot does at 4 KiB of queued output) cannot cause a deadlock.
"""

from __future__ import annotations

import math
import select
import ssl
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from ingest.errors import MaildropConnectError, MaildropTimeoutError
from ingest.pop3.tls_errors import after_handshake

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ingest.pop3.deadlines import Deadline

# Read at once: with more, the bytes have left the CPU's cache by the time they are hashed.
_READ_BYTES = 64 * 1024
# What a read leaves of its last record, decrypted with the next (RFC 5246 section 6.2.3).
_RECORD_BYTES = 5 + 2**14 + 2048
_GONE = "The server closed the connection during the TLS handshake: check that this port uses TLS."


class Connection:
    """A connected socket, initially without TLS. `clock` is monotonic, in seconds.

    TLS runs between two buffers in memory: a TLS socket would read each record with two system calls, and a mail of
    200 KB comes in some fifty records.
    """

    def __init__(self, sock: socket.socket, clock: Callable[[], float]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._clock = clock
        self._asked = False
        self._with_certificate = False
        self._buffer = memoryview(bytearray(_READ_BYTES + _RECORD_BYTES))
        self._wire = bytearray()  # to be written to the socket
        self._tls: ssl.SSLObject | None = None
        self._plain = bytearray()  # to be encrypted
        self._sealed, self._arrived = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._starved = True  # whether nothing can be read before more comes from the socket
        self._error: OSError | None = None  # for the next call: there were bytes before it

    def send(self, data: bytes) -> None:
        """Queue bytes and write what the socket accepts at once; `receive` writes the rest."""
        if self._tls is None:
            self._wire += data
        else:
            self._plain += data
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
            if self._wire or self._plain:
                self._flush()
            if self._asked and self._starved:
                # The answer takes a round trip; trying to read at once would only cost CPU.
                self._asked = False
                self._wait(deadline)
                continue
            try:
                return self._buffer[: self._read()]
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(deadline)
            except ssl.SSLError as error:
                raise after_handshake(error, with_certificate=self._with_certificate) from error
            except OSError as error:
                raise MaildropConnectError(f"The connection broke: {error.strerror or error}.") from error

    def arrived(self) -> memoryview:
        """Return what has arrived, without waiting; nothing also at end of stream. Valid until the next call."""
        try:
            if self._starved and not self._poll(select.POLLIN).poll(0):
                return self._buffer[:0]
            return self._buffer[: self._read()]
        except (BlockingIOError, ssl.SSLWantReadError):
            return self._buffer[:0]
        except OSError as error:
            self._error = error  # the next `receive` reports it
            return self._buffer[:0]

    def secure(
        self, context: ssl.SSLContext, host: str, deadline: Deadline, *, with_certificate: bool = False
    ) -> ssl.SSLObject:
        """Do the TLS handshake; return the TLS connection, so that its certificate can be inspected.

        `with_certificate` says whether the context has a client certificate.

        Raises:
            MaildropTimeoutError: the deadline has passed.
            ssl.SSLError: the handshake failed; the caller translates it.
            MaildropConnectError: the server closed the connection.
        """
        self._with_certificate = with_certificate
        self._tls = tls = context.wrap_bio(self._arrived, self._sealed, server_hostname=host)
        self._decrypt = cast("Callable[[int, memoryview], int]", tls.read)  # its types know no buffers
        try:
            self._shake_hands(tls, deadline)
        except ssl.SSLEOFError as error:
            raise MaildropConnectError(_GONE) from error
        except ssl.SSLError:
            raise
        except OSError as error:
            raise MaildropConnectError(_GONE) from error
        finally:
            self._flush()  # our last message, or the alert that says why we refuse the server's
        self._starved = not self._arrived.pending
        return tls

    def _shake_hands(self, tls: ssl.SSLObject, deadline: Deadline) -> None:
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._wait(deadline)
                self._check(deadline)
                with suppress(BlockingIOError):
                    self._fill()
            else:
                return

    def peer_chain(self) -> list[bytes]:
        """Return the certificates that the server sent, unverified, in DER; empty if there are none."""
        if self._tls is None:
            return []
        if sys.version_info >= (3, 13):
            return list(self._tls.get_unverified_chain())
        return _chain_of(self._tls)

    def close(self) -> None:
        """Close the connection; may be called again."""
        self._sock.close()

    def _read(self) -> int:
        """Fill the buffer with the available bytes; return how many, 0 at end of stream."""
        if self._error is not None:
            raise self._error
        if self._tls is None:
            return self._sock.recv_into(self._buffer)
        if self._starved:
            self._fill()
        return self._read_records()

    def _read_records(self) -> int:
        """Decrypt what has arrived, one record after the other, into the buffer.

        If the connection breaks behind a record, the bytes before it still count; the next call raises the error.
        """
        size = 0
        self._starved = True  # afterwards: the buffer holds all that can be decrypted now
        try:
            while more := self._decrypt(len(self._buffer) - size, self._buffer[size:]):
                size += more
                if not self._arrived.pending:
                    break
        except ssl.SSLWantReadError:  # the rest of a record is yet to come
            if not size:
                raise
        except ssl.SSLEOFError:
            pass
        except OSError as error:
            if not size:
                raise
            self._error = error
        return size

    def _fill(self) -> None:
        """Hand what the socket has to TLS, by way of the buffer, which is empty whenever more is needed.

        One call, so that a server that sends what yields no bytes cannot keep us from looking at the deadline.
        """
        size = self._sock.recv_into(self._buffer, _READ_BYTES)
        if size:
            self._arrived.write(self._buffer[:size])
        else:
            self._arrived.write_eof()
        self._starved = False

    def _seal(self, tls: ssl.SSLObject) -> None:
        """Encrypt what is to be sent, and take what TLS itself has to send."""
        try:
            while self._plain:
                del self._plain[: tls.write(self._plain)]
        except ssl.SSLWantReadError:
            pass  # in the middle of a renegotiation
        except ssl.SSLError:
            self._plain.clear()  # as below
        self._wire += self._sealed.read()

    def _flush(self) -> None:
        if self._tls is not None:
            self._seal(self._tls)
        while self._wire:
            try:
                sent = self._sock.send(self._wire)
            except BlockingIOError:
                return
            except OSError:
                # The server may have sent the reason before it closed: reading will show it.
                self._wire.clear()
                return
            del self._wire[:sent]

    def _check(self, deadline: Deadline) -> None:
        if self._clock() >= deadline.at:
            raise MaildropTimeoutError(deadline.words)

    def _wait(self, deadline: Deadline) -> None:
        """Sleep until there is something to read, or room to write what is left, or the deadline is reached."""
        if self._sealed.pending:
            self._flush()
        events = select.POLLIN | select.POLLOUT if self._wire else select.POLLIN
        self._poll(events).poll(math.ceil(max(0.0, deadline.at - self._clock()) * 1000))

    def _poll(self, events: int) -> select.poll:
        poll = select.poll()  # select.select ends at descriptor 1023
        poll.register(self._sock, events)
        return poll


def _chain_of(tls: ssl.SSLObject) -> list[bytes]:
    """Return the unverified chain in Python before 3.13, which has it where no public method reaches."""
    inner = cast("Any", tls)._sslobj  # noqa: SLF001 - as above
    found = inner.get_unverified_chain() if inner is not None else None
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in found or ()]
