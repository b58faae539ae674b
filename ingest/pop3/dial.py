"""From a host name to a connected socket, within a deadline."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

from ingest.errors import MaildropConnectError, MaildropTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.domain.mailbox import Server
    from ingest.pop3.deadlines import Deadline

_Address = tuple[socket.AddressFamily, tuple[Any, ...]]


def dial(
    server: Server, admit: Callable[[str], None], clock: Callable[[], float], deadline: Deadline
) -> socket.socket:
    """Connect to a server; its IPv6 and IPv4 addresses are tried in turn, each for its share of the time left.

    `admit` is asked before each address is dialled, and its error ends the attempt.

    Raises:
        MaildropConnectError: unknown host, or no address takes the connection.
        MaildropTimeoutError: the deadline has passed.
    """
    addresses = _resolve(server, clock, deadline)
    last: OSError | None = None
    for index, (family, address) in enumerate(addresses):
        share = (deadline.at - clock()) / (len(addresses) - index)
        if share <= 0:
            break
        admit(str(address[0]))
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(share)
            sock.connect(address)
            # Commands are small and each of them is waited for.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise _translated(last, server, deadline)


def _resolve(server: Server, clock: Callable[[], float], deadline: Deadline) -> list[_Address]:
    """Look the host up in a thread of its own, because getaddrinfo has no timeout."""
    found: list[_Address] = []
    failed: list[OSError] = []

    def look_up() -> None:
        try:
            rows = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label over 63 characters, or an empty one
            failed.append(error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, "not a name"))
        else:
            found.extend((row[0], row[4]) for row in rows)

    thread = threading.Thread(target=look_up, name="pop3-resolve", daemon=True)
    thread.start()
    thread.join(max(0.0, deadline.at - clock()))
    if failed:
        raise _translated(failed[0], server, deadline)
    if not found:
        raise MaildropTimeoutError(f"Looking up {server.host} took too long: is the name server reachable?")
    return list(found)


def _translated(
    error: OSError | None, server: Server, deadline: Deadline
) -> MaildropConnectError | MaildropTimeoutError:
    if error is None or isinstance(error, TimeoutError):
        return MaildropTimeoutError(deadline.words)
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return MaildropConnectError(f"The host {server.host} could not be looked up just now.")
        return MaildropConnectError(f"The host {server.host} is not known: check `host`.")
    if isinstance(error, ConnectionRefusedError):
        return MaildropConnectError(
            f"Nothing answers at {server.label}: check `port` (995 is usual with `tls: implicit`, 110 without)."
        )
    return MaildropConnectError(f"{server.label} cannot be reached: {error.strerror or error}.")
