"""What sessions learned about servers, for later sessions of this process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

from ingest.pop3.resolve import Resolver
from ingest.pop3.tls import Certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from ingest.domain.mailbox import Server
    from ingest.pop3.capabilities import Capabilities

KeyT = TypeVar("KeyT", bound="Hashable")
ValueT = TypeVar("ValueT")

_HOUR = 3600.0
# Servers change rarely, and most of what is remembered is seen again and corrected after each login.
_CAPABILITIES_LAST = _HOUR
# Once this has expired, finding out again costs one timeout.
_STALLS_LAST = 24 * _HOUR
# About a thousand bytes each; a process with more mailboxes pays an occasional extra round trip.
_MOST = 10_000


class _Expiring(Generic[KeyT, ValueT]):
    """Values that expire; when there are too many, the least recently used are dropped."""

    def __init__(self, seconds: float, clock: Callable[[], float], most: int) -> None:
        self._seconds = seconds
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[KeyT, tuple[float, ValueT]] = OrderedDict()

    def get(self, key: KeyT) -> ValueT | None:
        """Return the value, or None if there is none or it has expired."""
        until, value = self._kept.get(key, (0.0, None))
        if value is None:
            return None
        if self._clock() >= until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return value

    def put(self, key: KeyT, value: ValueT) -> None:
        """Keep a value; its lifetime starts now."""
        self._kept[key] = (self._clock() + self._seconds, value)
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def drop(self, key: KeyT) -> None:
        """Remove a value."""
        self._kept.pop(key, None)


class HostMemory:
    """What is known about servers. One per process; thread-safe.

    Capabilities before the login belong to the server; after it they may differ by user (RFC 2449 sections 6.5 and
    6.7), so those are kept per mailbox.

    Args:
        clock: monotonic, in seconds.
        most: maximum number of servers, and of mailboxes, remembered.

    Attributes:
        resolver: caches their addresses.
        certificates: caches the expiry of their certificates.
    """

    def __init__(self, clock: Callable[[], float], most: int = _MOST) -> None:
        self.resolver = Resolver(clock)
        self.certificates = Certificates()
        self._lock = threading.Lock()
        self._servers: _Expiring[Server, Capabilities] = _Expiring(_CAPABILITIES_LAST, clock, most)
        self._mailboxes: _Expiring[tuple[Server, str], Capabilities] = _Expiring(_CAPABILITIES_LAST, clock, most)
        self._stalled: _Expiring[Server, bool] = _Expiring(_STALLS_LAST, clock, most)

    def capabilities(self, server: Server) -> Capabilities | None:
        """Return what the server announced before a login; None if unknown."""
        with self._lock:
            return self._servers.get(server)

    def capabilities_for_mailbox(self, server: Server, mailbox: str) -> Capabilities | None:
        """Return what the server announced after the last login to a mailbox; None if unknown."""
        with self._lock:
            return self._mailboxes.get((server, mailbox))

    def remember(self, server: Server, before: Capabilities) -> None:
        """Remember the capabilities before a login that succeeded."""
        with self._lock:
            self._servers.put(server, before)

    def remember_for_mailbox(self, server: Server, mailbox: str, after: Capabilities) -> None:
        """Remember the capabilities announced after the login to a mailbox."""
        with self._lock:
            self._mailboxes.put((server, mailbox), after)

    def forget(self, server: Server) -> None:
        """Forget a server's capabilities after a failed login, so that the next one asks again."""
        with self._lock:
            self._servers.drop(server)

    def stalled(self, server: Server) -> None:
        """Remember that the server fell silent when commands were pipelined."""
        with self._lock:
            self._stalled.put(server, value=True)

    def in_lockstep(self, server: Server) -> bool:
        """Whether to send the server only one command at a time."""
        with self._lock:
            return server.quirks.lockstep or self._stalled.get(server) is not None
