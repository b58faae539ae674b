"""HTTP requests with one deadline each.

urllib3 bounds each wait by itself, so that a server which sends a byte now and then holds a request for ever. Here
a timer shuts the connection's socket down when the time of the whole request is up, in whichever phase it is. Only
the name resolver keeps its own time (`resolv.conf`).
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


class Deadline:
    """The time of one request. Whoever opens or uses a socket hands it over, to be shut down when time is up.

    Args:
        seconds: for the request as a whole, connecting included.

    Attributes:
        seconds: as given.
        over: time is up. A head or body that was cut off then may count as whole with http.client.
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
        """The time of the request that this thread makes in the `with` block."""
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
        """Take a socket in, None where it is yet to be opened; raises `TimeoutError` when it comes too late."""
        with self._lock:
            if self.over:
                raise TimeoutError("the time for this request is up")
            self._keep(handle)

    def _keep(self, handle: socket.socket | None) -> None:
        # One of our own: http.client closes a connection before its body is read, where the body ends with it.
        if self._socket is not None:
            self._socket.close()
        self._socket = None if handle is None else handle.dup()

    def _end(self) -> None:
        with self._lock:
            self.over = True
            if self._socket is not None:
                with contextlib.suppress(OSError):  # closed, or never connected
                    self._socket.shutdown(socket.SHUT_RDWR)


_current: ContextVar[Deadline] = ContextVar("mailhaul_request_deadline")


class ForbiddenAddressError(OSError):
    """The name of a server has an address that must not be connected to; nothing was."""


class _Guarded(HTTPConnection):
    """A connection whose socket the current request's deadline can shut down.

    It keeps a second descriptor of the socket for that: wrapping a socket in TLS makes the first object useless, and
    there is no other until the handshake is over.

    Args:
        args: as urllib3 gives them.
        permitted: asked about every address that a name has, each time it is resolved; one that is not permitted
            forbids them all. What is connected to is an address that was asked about, so that a name which resolves
            otherwise a moment later changes nothing.
        options: as urllib3 gives them.
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
                # urllib3 takes these two for a server that has answered and gone, and looks for its answer.
                failed = ConnectionAbortedError(errno.ECONNABORTED, error.strerror)
            except OSError as error:
                attempt.close()
                failed = error
            else:
                return attempt
        self._keep(None)
        raise failed or OSError("the name has no address")

    def request(self, *args: Any, **kwargs: Any) -> None:
        """As urllib3 does, under the current deadline also where the connection was open already."""
        _current.get().guard(self._handle)
        super().request(*args, **kwargs)

    def close(self) -> None:
        """Both descriptors."""
        self._keep(None)
        super().close()

    def _keep(self, handle: socket.socket | None) -> None:
        if self._handle is not None:
            self._handle.close()
        self._handle = handle


class _GuardedTls(_Guarded, HTTPSConnection):
    """The same over TLS."""


class GuardedPool(HTTPConnectionPool):
    """Connections that are used under the current `Deadline` only."""

    ConnectionCls = _Guarded


class GuardedTlsPool(HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = _GuardedTls
