"""HTTP requests with one deadline each.

urllib3 limits each wait separately, so a server that sends a byte now and then can hold a request for ever. Here a
timer shuts down the connection's socket when the time of the whole request is up, in whichever phase it is. Only name
resolution has its own timeout (`resolv.conf`).
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class RequestDeadline:
    """The deadline of one request. Sockets it uses are registered with `guard` and shut down when time is up.

    Args:
        seconds: for the request as a whole, connecting included.

    Attributes:
        seconds: as given.
        over: whether time is up. http.client may take a head or body that was cut off then for a complete one.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.over = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the deadline for the request that this thread makes in the `with` block."""
        token = _current.set(self)
        self._timer.start()
        try:
            yield
        finally:
            self._timer.cancel()
            with self._lock:
                self._keep(None)
            _current.reset(token)

    def guard(self, handle: socket.socket | None) -> None:
        """Register a socket, None if it is yet to be opened. Raises `TimeoutError` if time is already up."""
        with self._lock:
            if self.over:
                raise TimeoutError("the time for this request is up")
            self._keep(handle)

    def _keep(self, handle: socket.socket | None) -> None:
        # A duplicate: http.client closes a connection before its body is read if the body ends with it.
        if self._socket is not None:
            self._socket.close()
        self._socket = None if handle is None else handle.dup()

    def _end(self) -> None:
        with self._lock:
            self.over = True
            if self._socket is not None:
                with contextlib.suppress(OSError):  # closed, or never connected
                    self._socket.shutdown(socket.SHUT_RDWR)


_current: ContextVar[RequestDeadline] = ContextVar("mailhaul_request_deadline")


class ForbiddenAddressError(OSError):
    """The host name resolves to an address that must not be connected to; no connection was made."""


class _Guarded(HTTPConnection):
    """A connection whose socket the current request's deadline can shut down.

    It keeps a duplicate descriptor of the socket for that: wrapping a socket in TLS detaches the first object, and
    there is no other until the handshake is complete.

    Args:
        args: passed on to urllib3.
        permitted: called with every address that the name resolves to, each time it is resolved; if one is not
            permitted, no connection is made. Only addresses that were checked are connected to, so a name that
            resolves differently a moment later (DNS rebinding) changes nothing.
        options: passed on to urllib3.
    """

    _handle: socket.socket | None = None

    def __init__(self, *args: Any, permitted: Callable[[str], bool] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._permitted = permitted

    def _new_conn(self) -> socket.socket:
        deadline = _current.get()
        failed: OSError | None = None
        found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        if self._permitted is not None and not all(self._permitted(str(address[0])) for *_, address in found):
            raise ForbiddenAddressError("the name has an address that must not be connected to")
        for family, kind, number, _, address in found:
            attempt = socket.socket(family, kind, number)
            try:
                self._keep(attempt.dup())
                deadline.guard(self._handle)
                attempt.settimeout(deadline.seconds)
                attempt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                attempt.connect(address)
            except (BrokenPipeError, ConnectionResetError) as error:
                attempt.close()
                # urllib3 reads these two as a server that has already answered, and looks for the answer.
                failed = ConnectionAbortedError(errno.ECONNABORTED, error.strerror)
            except OSError as error:
                attempt.close()
                failed = error
            else:
                return attempt
        self._keep(None)
        raise failed or OSError("the name has no address")

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request like urllib3, under the current deadline even if the connection was open already."""
        _current.get().guard(self._handle)
        super().request(*args, **kwargs)

    def close(self) -> None:
        """Close both descriptors."""
        self._keep(None)
        super().close()

    def _keep(self, handle: socket.socket | None) -> None:
        if self._handle is not None:
            self._handle.close()
        self._handle = handle


class _GuardedTls(_Guarded, HTTPSConnection):
    """The same over TLS."""


class GuardedPool(HTTPConnectionPool):
    """A pool whose connections may only be used under a running `RequestDeadline`."""

    ConnectionCls = _Guarded


class GuardedTlsPool(HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = _GuardedTls
