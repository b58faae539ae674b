"""Limits of logins: failures are counted for each client, and few logins ask the identity provider at once."""

from __future__ import annotations

import ipaddress
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.errors import Fault, MailhaulError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from starlette.requests import HTTPConnection

# Failed logins of one client, and the seconds for which they count.
FAILURES, FAILURE_SECONDS = 10, 300.0
# Clients whose failures are counted; of more, the one that failed longest ago is forgotten.
MOST_CLIENTS = 10_000
# Logins that may wait for the identity provider at once, so that requests of others find a thread.
_AT_ONCE = 8
# Somebody who has an IPv6 address has all of its network.
_V6_NETWORK = 64
_LONGEST_FORWARDED = 2_000


class TooManyLoginsError(MailhaulError):
    """Too many logins from an address failed, or too many are under way."""

    fault = Fault.OPERATOR
    code = "too_many_logins"


@dataclass
class LoginLimits:
    """Counts failed logins, in the memory of this process. Threads may share it.

    Args:
        clock: monotonic, in seconds.
    """

    clock: Callable[[], float]
    _failures: dict[str, list[float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _slots: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(_AT_ONCE))

    def require(self, client: str) -> None:
        """Check that a client may try to log in.

        Raises:
            TooManyLoginsError: too many of its logins failed lately.
        """
        with self._lock:
            if len(self._recent(client)) >= FAILURES:
                raise TooManyLoginsError("too many logins failed; try again in five minutes")

    def failed(self, client: str) -> None:
        """Count a failed login of a client."""
        with self._lock:
            recent = [*self._recent(client), self.clock()][-FAILURES:]
            self._failures.pop(client, None)
            self._failures[client] = recent
            if len(self._failures) > MOST_CLIENTS:
                self._failures.pop(next(iter(self._failures)))

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the few places for logins that ask the identity provider.

        Raises:
            TooManyLoginsError: all are taken.
        """
        if not self._slots.acquire(blocking=False):
            raise TooManyLoginsError("too many people log in at once; try again in a moment")
        try:
            yield
        finally:
            self._slots.release()

    def _recent(self, client: str) -> list[float]:
        now = self.clock()
        return [at for at in self._failures.get(client, ()) if now - at < FAILURE_SECONDS]


def client_of(request: HTTPConnection, trusted: Sequence[str]) -> str:
    """Return the address for which failed logins count.

    Args:
        request: that wants to log in.
        trusted: networks of proxies. What others write into `X-Forwarded-For` does not count, so that nobody escapes
            the limit, or lets it hit somebody else.

    Returns:
        An IPv4 address, or the network of an IPv6 address; empty if it is not known.
    """
    peer = request.client.host if request.client else ""
    listed = ",".join(request.headers.getlist("x-forwarded-for"))[-_LONGEST_FORWARDED:]
    hops = [hop.strip() for hop in listed.split(",")] if listed else []
    found = _address(peer)
    while found is not None and hops and is_in(found, trusted):
        before = _address(hops.pop())
        if before is None:
            break  # what follows was written by somebody who does not know how
        found = before
    if found is None:
        return peer
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(found), _V6_NETWORK), strict=False))
    return str(found)


def is_in(address: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: Sequence[str]) -> bool:
    """Whether an address is in one of these networks."""
    return any(address in ipaddress.ip_network(network) for network in networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, which some proxies write with a port; None if it is none."""
    bare = text.partition("]")[0].removeprefix("[") if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
