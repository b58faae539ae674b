"""Timeouts of sockets that the kernel keeps, so that each send and each receive is one system call.

Python implements the timeout of a socket itself: it calls poll before each call, and releases the interpreter lock
for both. Where threads compete for the lock, each release costs more than the call itself.
"""

from __future__ import annotations

import socket
import struct


def wait_in_kernel(sock: socket.socket, *, send: float, receive: float) -> None:
    """Let a connected socket block; a call that lasts longer than its limit raises `BlockingIOError`.

    Not for TLS: there Python would repeat the call without end.

    Args:
        sock: the socket.
        send: seconds in which some of the bytes to send have to be accepted.
        receive: seconds in which a byte has to come.
    """
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(send))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(receive))


def _timeval(seconds: float) -> bytes:
    """Return C's `struct timeval`; a limit of zero would be none."""
    microseconds = max(1, round(seconds * 1e6))
    return struct.pack("ll", *divmod(microseconds, 1_000_000))
