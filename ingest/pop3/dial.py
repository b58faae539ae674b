"""Connect to a server, through a proxy if one is configured, within a deadline."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from ingest.errors import MaildropConnectError, MaildropTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.domain.mailbox import Server
    from ingest.pop3.deadlines import Deadline
    from ingest.pop3.resolve import Address, Resolver


def dial(
    server: Server,
    login: tuple[str, str] | None,
    *,
    resolver: Resolver,
    acquire_slot: Callable[[str], None],
    clock: Callable[[], float],
    deadline: Deadline,
) -> socket.socket:
    """Connect to a server.

    Args:
        server: the server and its proxy; with a proxy, the proxy looks up the server's name.
        login: user name and password for the proxy.
        resolver: looks up addresses.
        acquire_slot: called before each address is dialled; its error ends the attempt.
        clock: monotonic, in seconds.
        deadline: for the whole operation.

    Raises:
        MaildropConnectError: the host is unknown, no address accepts the connection, or the proxy refuses.
        MaildropTimeoutError: the deadline has passed.
    """
    proxy = server.proxy
    host, port = (server.host, server.port) if proxy is None else (proxy.host, proxy.port)
    addresses = resolver.addresses(host, port, deadline)
    try:
        sock = _dialled(addresses, acquire_slot, clock, deadline)
    except OSError as error:
        # If nothing answers any more, the addresses may have changed.
        resolver.forget(host, port)
        if isinstance(error, TimeoutError):
            raise MaildropTimeoutError(deadline.words) from error
        raise _translated(error, server) from error
    if proxy is not None:
        from ingest.pop3.proxy import connect_through_proxy  # noqa: PLC0415 - few mailboxes need it and its library

        connect_through_proxy(sock, server, login, clock, deadline)
    # Commands are small and latency matters.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _dialled(
    addresses: Sequence[Address], acquire_slot: Callable[[str], None], clock: Callable[[], float], deadline: Deadline
) -> socket.socket:
    """Try the IPv6 and IPv4 addresses in turn, each for its share of the remaining time."""
    last: OSError = TimeoutError()
    for index, (family, address) in enumerate(addresses):
        share = (deadline.at - clock()) / (len(addresses) - index)
        if share <= 0:
            break
        acquire_slot(str(address[0]))
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(share)
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise last


def _translated(error: OSError, server: Server) -> MaildropConnectError:
    what = server.label if server.proxy is None else f"The proxy {server.proxy.host}:{server.proxy.port}"
    if isinstance(error, ConnectionRefusedError):
        remedy = (
            "check `port` (995 is usual with `tls: implicit`, 110 without)" if server.proxy is None else "check it"
        )
        return MaildropConnectError(f"Nothing answers at {what[0].lower()}{what[1:]}: {remedy}.")
    return MaildropConnectError(f"{what} cannot be reached: {error.strerror or error}.")
