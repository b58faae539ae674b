"""What sessions have learned about servers, for those that follow in this process."""

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
# Servers are upgraded by the month. Most of what is remembered is seen again after each login and corrected there.
_CAPABILITIES_LAST = _HOUR
# One wait for an answer that does not come is lost when it has run out.
_STALLS_LAST = 24 * _HOUR
# A thousand bytes each; who has more mailboxes in one process loses a round trip now and then.
_MOST = 10_000


class _Recall(Generic[KeyT, ValueT]):
    """Values that expire; of too many, those that were not asked for the longest are forgotten."""

    def __init__(self, seconds: float, clock: Callable[[], float], most: int) -> None:
        self._seconds = seconds
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[KeyT, tuple[float, ValueT]] = OrderedDict()

    def get(self, key: KeyT) -> ValueT | None:
        """The value, None where there is none or it has expired."""
        until, value = self._kept.get(key, (0.0, None))
        if value is None:
            return None
        if self._clock() >= until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return value

    def put(self, key: KeyT, value: ValueT) -> None:
        """Keep a value, from now on for its time."""
        self._kept[key] = (self._clock() + self._seconds, value)
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def drop(self, key: KeyT) -> None:
        """Forget it."""
        self._kept.pop(key, None)


class HostMemory:
    """What is known of servers. One for each process; may be used by several threads.

    Before the login, capabilities are a server's; after it they may be a user's (RFC 2449 sections 6.5 and 6.7), so
    those are kept for each mailbox.

    Args:
        clock: monotonic, in seconds.
        most: servers, and mailboxes, that are remembered.

    Attributes:
        resolver: knows their addresses.
        certificates: knows when theirs end.
    """

    def __init__(self, clock: Callable[[], float], most: int = _MOST) -> None:
        self.resolver = Resolver(clock)
        self.certificates = Certificates()
        self._lock = threading.Lock()
        self._servers: _Recall[Server, Capabilities] = _Recall(_CAPABILITIES_LAST, clock, most)
        self._mailboxes: _Recall[tuple[Server, str], Capabilities] = _Recall(_CAPABILITIES_LAST, clock, most)
        self._stalled: _Recall[Server, bool] = _Recall(_STALLS_LAST, clock, most)

    def capabilities(self, server: Server) -> Capabilities | None:
        """What it announced before a login; None where it has to be asked."""
        with self._lock:
            return self._servers.get(server)

    def capabilities_of(self, server: Server, mailbox: str) -> Capabilities | None:
        """What it announced after the last login to a mailbox; None where it has to be asked."""
        with self._lock:
            return self._mailboxes.get((server, mailbox))

    def learned(self, server: Server, before: Capabilities) -> None:
        """A login that was built on these capabilities went well."""
        with self._lock:
            self._servers.put(server, before)

    def learned_of(self, server: Server, mailbox: str, after: Capabilities) -> None:
        """It announced these after the login to a mailbox."""
        with self._lock:
            self._mailboxes.put((server, mailbox), after)

    def forget(self, server: Server) -> None:
        """A login went wrong: the next one asks again."""
        with self._lock:
            self._servers.drop(server)

    def stalled(self, server: Server) -> None:
        """It fell silent when commands were sent ahead of their answers."""
        with self._lock:
            self._stalled.put(server, value=True)

    def in_lockstep(self, server: Server) -> bool:
        """Whether one command at a time is all that it can be trusted with."""
        with self._lock:
            return server.quirks.lockstep or self._stalled.get(server) is not None
