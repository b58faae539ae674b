"""Look up host names within a deadline; results are cached for a minute."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

from ingest.errors import MaildropConnectError, MaildropTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.pop3.deadlines import Deadline

    Address = tuple[socket.AddressFamily, tuple[Any, ...]]

# Hundreds of mailboxes share a host, and the thread for a look-up costs more CPU than the rest of an empty poll.
_LASTS = 60.0


class Resolver:
    """A caching resolver. One per process; thread-safe.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._found: dict[tuple[str, int], tuple[float, list[Address]]] = {}

    def addresses(self, host: str, port: int, deadline: Deadline) -> list[Address]:
        """Return all addresses of a host, in the order in which to try them.

        Raises:
            MaildropConnectError: the host is unknown, or cannot be looked up at present.
            MaildropTimeoutError: the deadline has passed.
        """
        until, found = self._found.get((host, port), (0.0, []))
        if self._clock() < until:
            return found
        found = _looked_up(host, port, deadline, self._clock)
        self._found[host, port] = (self._clock() + _LASTS, found)
        return found

    def forget(self, host: str, port: int) -> None:
        """Drop a cached result."""
        self._found.pop((host, port), None)


def _looked_up(host: str, port: int, deadline: Deadline, clock: Callable[[], float]) -> list[Address]:
    """Look up in a separate thread, because getaddrinfo has no timeout."""
    found: list[Address] = []
    failed: list[OSError] = []

    def look_up() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label over 63 characters, or an empty one
            failed.append(error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, "not a name"))
        else:
            found.extend((row[0], row[4]) for row in rows)

    thread = threading.Thread(target=look_up, name="pop3-resolve", daemon=True)
    thread.start()
    thread.join(max(0.0, deadline.at - clock()))
    if failed:
        raise _translated(failed[0], host) from failed[0]
    if not found:
        raise MaildropTimeoutError(f"Looking up {host} took too long: check that the name server is reachable.")
    return list(found)


def _translated(error: OSError, host: str) -> MaildropConnectError:
    if error.errno == socket.EAI_AGAIN:
        return MaildropConnectError(f"The host {host} cannot be looked up at present: check the name server.")
    return MaildropConnectError(f"The host {host} is unknown: check `host`.")
