"""HTTP requests with one deadline each.

urllib3 limits each wait separately, so a server that sends a byte now and then can hold a request for ever. Here a
timer shuts down the connection's socket when the time of the whole request is up, in whichever phase it is. Only name
resolution has its own timeout (`resolv.conf`).
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import socket
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class RequestDeadline:
    """The deadline of one request. Sockets it uses are registered with `guard` and shut down when time is up.

    Args:
        seconds: for the request as a whole, connecting included; or, if `by_progress`, for each piece of it.
        by_progress: give each piece of the request's body these seconds.

    Attributes:
        seconds: as given.
        over: whether time is up. http.client may take a head or body that was cut off then for a complete one.
    """

    def __init__(self, seconds: float, *, by_progress: bool = False) -> None:
        self.seconds = seconds
        self.over = False
        self._by_progress = by_progress
        self._until = 0.0
        self._socket: socket.socket | None = None
        self._lent = False
        self._lock = threading.Lock()

    def running(self) -> _Running:
        """Run the deadline for the request that this thread makes in the `with` block."""
        return _Running(self)

    @contextlib.contextmanager
    def started(self) -> Iterator[None]:
        """Run the deadline during the `with` block; requests use it within `used`."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def begin(self) -> None:
        """Begin to watch the deadline."""
        self.restart()
        _watch.add(self)

    def end(self) -> None:
        """Watch it no longer, and forget the socket."""
        _watch.remove(self)
        with self._lock:
            self._keep(None)

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Let the requests that this thread makes in the `with` block have this deadline."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def progress(self) -> None:
        """Note that a piece of the body was sent or received."""
        if self._by_progress:
            self.restart()

    def restart(self) -> None:
        """Begin the time anew."""
        self._until = time.monotonic() + self.seconds

    def suspend(self) -> None:
        """Let no time count until the next `restart`."""
        self._until = math.inf

    def guard(self, handle: socket.socket | None, *, lent: bool = False) -> None:
        """Register a socket; raises `TimeoutError` if time is already up.

        Args:
            handle: the socket, None if it is yet to be opened.
            lent: whether the caller keeps it open for the whole request. Of another one a duplicate is made:
                http.client closes a connection before its body is read if the body ends with it.
        """
        with self._lock:
            if self.over:
                raise TimeoutError("the time for this request is up")
            self._keep(handle, lent=lent)

    def _keep(self, handle: socket.socket | None, *, lent: bool = False) -> None:
        if self._socket is not None and not self._lent:
            self._socket.close()
        self._socket, self._lent = handle if handle is None or lent else handle.dup(), lent

    @property
    def until(self) -> float:
        """When time is up, of the monotonic clock."""
        return self._until

    def expire(self) -> None:
        """Shut down the socket, unless another piece has begun meanwhile."""
        with self._lock:
            if self._until > time.monotonic():
                return
            self.over = True
            if self._socket is not None:
                with contextlib.suppress(OSError):  # closed, or never connected
                    self._socket.shutdown(socket.SHUT_RDWR)


class _Running:
    """A deadline that runs for the request of a `with` block. A class, since this is done for each request."""

    __slots__ = ("_deadline", "_token")

    def __init__(self, deadline: RequestDeadline) -> None:
        self._deadline = deadline

    def __enter__(self) -> RequestDeadline:
        self._token = _current.set(self._deadline)
        self._deadline.begin()
        return self._deadline

    def __exit__(self, *_: object) -> None:
        self._deadline.end()
        _current.reset(self._token)


class _Watch:
    """The thread that ends the deadlines of this process. One thread for all costs a request next to nothing."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew; called in a forked process, which has none of its parent's threads."""
        self._lock = threading.RLock()  # of the condition, which takes it by a call of Python, but waits for changes
        self._changed = threading.Condition(self._lock)
        self._running: set[RequestDeadline] = set()
        self._thread: threading.Thread | None = None
        self._next = 0.0

    def add(self, deadline: RequestDeadline) -> None:
        """Watch a deadline."""
        with self._lock:
            self._running.add(deadline)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="request-deadlines", daemon=True)
                self._thread.start()
            elif deadline.until < self._next:
                self._changed.notify()

    def remove(self, deadline: RequestDeadline) -> None:
        """Watch it no longer."""
        with self._lock:
            self._running.discard(deadline)

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                over = {deadline for deadline in self._running if deadline.until <= now and not deadline.over}
                if not over:
                    # A suspended deadline that is resumed does not wake this thread, so look now and then.
                    self._next = min((one.until for one in self._running if not one.over), default=math.inf)
                    self._next = min(self._next, now + _LOOK_SECONDS) if self._running else math.inf
                    self._changed.wait(None if math.isinf(self._next) else max(0.0, self._next - now))
                    continue
            for deadline in over:
                deadline.expire()


_LOOK_SECONDS = 1.0
_watch = _Watch()
os.register_at_fork(after_in_child=_watch.reset)
_current: ContextVar[RequestDeadline] = ContextVar("mailhaul_request_deadline")


def running_deadline() -> RequestDeadline | None:
    """Return the deadline that this thread's requests have, if there is one."""
    return _current.get(None)


@contextlib.contextmanager
def suspended() -> Iterator[None]:
    """Let the `with` block take none of the current deadline's time."""
    deadline = running_deadline()
    if deadline is not None:
        deadline.suspend()
    try:
        yield
    finally:
        if deadline is not None:
            deadline.restart()


def limited(seconds: float) -> AbstractContextManager[RequestDeadline]:
    """Give the requests in the `with` block this many seconds for each piece, unless they have a deadline already."""
    if (current := running_deadline()) is not None:
        current.restart()
        return contextlib.nullcontext(current)
    return RequestDeadline(seconds, by_progress=True).running()


def _shorter(timeout: object, seconds: float) -> float:
    """Return the connection's own timeout if it has a shorter one than the request."""
    return min(float(timeout), seconds) if isinstance(timeout, int | float) else seconds


class ForbiddenAddressError(OSError):
    """The host name resolves to an address that must not be connected to; no connection was made."""


class GuardedConnection(HTTPConnection):
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
                attempt.settimeout(_shorter(self.timeout, deadline.seconds))
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

    def send(self, data: Any) -> None:
        """Send a piece of the request, which is progress."""
        super().send(data)
        if (deadline := running_deadline()) is not None:
            deadline.progress()

    def close(self) -> None:
        """Close both descriptors."""
        self._keep(None)
        super().close()

    def _keep(self, handle: socket.socket | None) -> None:
        if self._handle is not None:
            self._handle.close()
        self._handle = handle


class GuardedTlsConnection(GuardedConnection, HTTPSConnection):
    """The same over TLS."""


class GuardedPool(HTTPConnectionPool):
    """A pool whose connections may only be used under a running `RequestDeadline`."""

    ConnectionCls = GuardedConnection


class GuardedTlsPool(HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = GuardedTlsConnection
